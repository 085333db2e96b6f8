/** Activation recomputation (Chen et al. 2016): a part's inner values are computed again in the backward pass, not kept. */
import { gradients } from "./grad.ts";
import { applyComposite, defineOp, type Op } from "./op.ts";
import { add, detach, mul, silu, slice, sum } from "./ops.ts";
import type { Tensor } from "./tensor.ts";

type Part = (inputs: readonly Tensor[]) => Tensor;

const recomputeOp: Op<Part> = defineOp<Part>({
  name: "recompute",
  shape: ([x]) => [{ dtype: x.dtype, shape: x.shape }],
  lower: "body",
  grad: (node, [g], part) => {
    if (g === null) return node.inputs.map(() => null);
    const [first, ...rest] = node.inputs;
    // The copy must differ from the first pass and wait for the gradient, or the engine would merge the two:
    // its input gets 0 · (a part of the gradient) added, which is not folded away because 0 · NaN is not 0.
    const wait = mul(sum(slice(g, -1, 0, 1)), 0);
    // Detached, so that the walk ends at the part's own inputs, whatever they depend on.
    const inputs = [add(detach(first), wait), ...rest.map(detach)];
    const again = part(inputs);
    return gradients([again], [g], inputs);
  },
  flops: "body",
  samples: [
    {
      label: "a block",
      inputs: [{ shape: [2, 3] }, { shape: [3] }],
      build: (x, w) => recompute([x, w], ([a, b]) => mul(silu(mul(a, b)), a)),
    },
  ],
});

/** `part(inputs)` whose gradient traces `part` once more; the result has the shape of the first input. */
export function recompute(inputs: readonly Tensor[], part: Part): Tensor {
  return applyComposite(recomputeOp, inputs, part, () => [part(inputs)])[0];
}
