/** Activation recomputation (Chen et al. 2016): a part's inner values are computed again in the backward pass, not kept. */
import { gradients } from "./grad.ts";
import { applyComposite, defineOp, type Op, type TensorSpec } from "./op.ts";
import { add, detach, mul, silu, slice, sum } from "./ops.ts";
import type { Tensor } from "./tensor.ts";

type Part = (inputs: readonly Tensor[]) => Tensor;
type Parts = (inputs: readonly Tensor[]) => readonly Tensor[];

interface RecomputeAttrs {
  part: Parts;
  outputs: TensorSpec[];
}

const recomputeOp: Op<RecomputeAttrs> = defineOp<RecomputeAttrs>({
  name: "recompute",
  shape: (_inputs, { outputs }) => outputs,
  lower: "body",
  grad: (node, incoming, { part }) => {
    const g = incoming.find((one) => one !== null);
    if (g === undefined || g === null) return node.inputs.map(() => null);
    const [first, ...rest] = node.inputs;
    // The copy must differ from the first pass and wait for the gradient, or the engine would merge the two:
    // its input gets 0 · (a part of the gradient) added, which is not folded away because 0 · NaN is not 0.
    const wait = mul(g.rank === 0 ? g : sum(slice(g, -1, 0, 1)), 0);
    // Detached, so that the walk ends at the part's own inputs, whatever they depend on.
    const inputs = [add(detach(first), wait), ...rest.map(detach)];
    return gradients(part(inputs), incoming, inputs);
  },
  flops: "body",
  samples: [
    {
      label: "a block",
      inputs: [{ shape: [2, 3] }, { shape: [3] }],
      build: (x, w) => recompute([x, w], ([a, b]) => mul(silu(mul(a, b)), a)),
    },
    {
      label: "a second result",
      inputs: [{ shape: [2, 3] }, { shape: [3] }],
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
  const traced = inputs[0].graph.scope("recompute", () => part(inputs));
  const outputs = traced.map(({ dtype, shape }) => ({ dtype, shape }));
  const { leaves, gather } = unmade(inputs);
  const attrs = { part: (own: readonly Tensor[]) => part(gather(own)), outputs };
  return applyComposite(recomputeOp, leaves, attrs, () => traced);
}

/**
 * What a weight is made of takes its place among the inputs, and `gather` makes weights of such inputs: gradients end at
 * these, so that a weight that no product needs whole is not made for them either.
 */
function unmade(inputs: readonly Tensor[]) {
  const parts = inputs.map((input) => {
    const { again } = input.node.op as unknown as Op<unknown>;
    return again === undefined
      ? { own: [input], gather: ([only]: readonly Tensor[]) => only }
      : { own: input.node.inputs, gather: (own: readonly Tensor[]) => again(own, input.node.attrs) };
  });
  const gather = (leaves: readonly Tensor[]): Tensor[] => {
    let start = 0;
    return parts.map(({ own, gather }) => {
      start += own.length;
      return gather(leaves.slice(start - own.length, start));
    });
  };
  return { leaves: parts.flatMap(({ own }) => own), gather };
}
