/** Activation recomputation (Chen et al. 2016): a part's inner values are computed again in the backward pass, not kept. */
import { gradients } from "./grad.ts";
import { defineComposite } from "./op.ts";
import { add, detach, mul, silu, slice, sum } from "./ops.ts";
import { operands } from "./samples.ts";
import type { Tensor } from "./tensor.ts";

type Part = (inputs: readonly Tensor[]) => Tensor;
type Parts = (inputs: readonly Tensor[]) => readonly Tensor[];

interface RecomputeAttrs {
  /** The first pass. */
  traced: () => readonly Tensor[];
  /** The part over the op's inputs. */
  part: Parts;
}

const recomputeOp = defineComposite<RecomputeAttrs>({
  name: "recompute",
  body: (_inputs, { traced }) => traced(),
  grad: {
    all: (incoming, { inputs: [first, ...rest] }, { part }) => {
      const g = incoming.find((one) => one !== null);
      if (g === undefined || g === null) return [];
      // The copy must differ from the first pass and wait for the gradient, or ONNX Runtime would merge the two:
      // its input gets 0 · (a part of the gradient) added, which is not folded away because 0 · NaN is not 0.
      const wait = mul(g.rank === 0 ? g : sum(slice(g, -1, 0, 1)), 0);
      // Detached, so that the walk ends at the part's inputs, whatever they depend on.
      const inputs = [add(detach(first), wait), ...rest.map(detach)];
      return gradients(part(inputs), incoming, inputs);
    },
  },
  samples: [
    {
      label: "a block",
      inputs: operands([2, 3], [3]),
      build: (x, w) => recompute([x, w], ([a, b]) => mul(silu(mul(a, b)), a)),
    },
    {
      label: "a second result",
      inputs: operands([2, 3], [3]),
      build: (x, w) => {
        const [y, z] = recomputeAll([x, w], ([a, b]) => [mul(silu(a), b), sum(mul(a, b))]);
        return add(y, z);
      },
    },
  ],
});

/** `part(inputs)` whose gradient traces `part` once more. */
export function recompute(inputs: readonly Tensor[], part: Part): Tensor {
  return recomputeAll(inputs, (again) => [part(again)])[0];
}

/** The same for a part with several results. */
export function recomputeAll(inputs: readonly Tensor[], part: Parts): readonly Tensor[] {
  const { leaves, remake } = unmade(inputs);
  return recomputeOp.all(leaves, { traced: () => part(inputs), part: (own) => part(remake(own)) });
}

/**
 * The inputs, but for a weight that an op makes the inputs of that op; `remake` makes the weights of such inputs. Gradients
 * end at them, so that a weight that only `linear` reads is not made for its gradient either.
 */
function unmade(inputs: readonly Tensor[]) {
  const parts = inputs.map((input) => {
    const { op, attrs, inputs: own } = input.node;
    const { remake } = op;
    return remake === undefined
      ? { own: [input], remake: ([only]: readonly Tensor[]) => only }
      : { own, remake: (others: readonly Tensor[]) => remake(others, attrs) };
  });
  const remake = (leaves: readonly Tensor[]): Tensor[] => {
    let start = 0;
    return parts.map(({ own, remake }) => {
      start += own.length;
      return remake(leaves.slice(start - own.length, start));
    });
  };
  return { leaves: parts.flatMap(({ own }) => own), remake };
}
