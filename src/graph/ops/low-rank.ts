/** A frozen matrix with a trained one of low rank beside it (LoRA, arXiv 2106.09685, section 4.1). */
import { defineComposite } from "../op.ts";
import { operands } from "../samples.ts";
import type { Tensor } from "../tensor.ts";
import { add, mul } from "./elementwise.ts";
import { linear, matmul } from "./matmul.ts";

const lowRankOp = defineComposite<number>({
  name: "lowRank",
  body: ([weight, down, up], scale) => [add(weight, matmul(up, down, { alpha: scale }))],
  // h = W x + s B A x (eq. 3): neither B A nor a gradient of the size of W is ever made.
  linear: (x, { inputs: [weight, down, up] }, scale) => {
    const inner = x.graph.scope("lora", () => mul(matmul(x, down, { transB: true }), scale));
    return add(
      linear(x, weight),
      x.graph.scope("lora", () => matmul(inner, up, { transB: true })),
    );
  },
  remake: ([weight, down, up], scale) => lowRank(weight, down, up, scale),
  samples: [
    {
      label: "made",
      inputs: operands([4, 3], [2, 3], [4, 2]),
      build: (weight, down, up) => lowRank(weight, down, up, 0.5),
    },
    {
      label: "applied",
      inputs: operands([2, 5, 3], [4, 3], [2, 3], [4, 2]),
      build: (x, weight, down, up) => linear(x, lowRank(weight, down, up, 0.5)),
    },
  ],
});

/** W + scale · B A for a weight [out, in], `down` = A [rank, in] and `up` = B [out, rank]. */
export function lowRank(weight: Tensor, down: Tensor, up: Tensor, scale: number): Tensor {
  return lowRankOp([weight, down, up], scale);
}
