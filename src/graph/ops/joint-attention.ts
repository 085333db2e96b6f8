/** Attention of new tokens over what a cache holds and over themselves, without a copy of the cache. */
import { defineComposite } from "../op.ts";
import { operands, type SampleRule } from "../samples.ts";
import type { Tensor } from "../tensor.ts";
import { add, div, exp, maximum, mul, sub } from "./elementwise.ts";
import { matmul } from "./matmul.ts";
import { reshape } from "./movement.ts";
import { causal, MASKED } from "./nn.ts";
import { max, sum } from "./reduce.ts";

/** The rows of a key head are query heads that share it, times new tokens; several new tokens need a mask. */
const sample = (rows: number, seq: number): SampleRule => ({
  label: `${rows} rows, ${seq} new`,
  inputs: operands(
    [2, 2, rows, 4],
    [2, 2, seq, 4],
    [2, 2, seq, 3],
    [2, 2, 5, 4],
    [2, 2, 5, 3],
    { shape: [2, 1, 1, 5], values: (_random, i) => (i % 5 < 3 ? 0 : MASKED) },
    ...(seq === 1 ? [] : [causal(rows, seq)]),
  ),
  build: (q, ownKeys, ownValues, keys, values, mask, ownMask) =>
    jointAttention(q, [ownKeys, ownValues], [keys, values], { scale: 0.5, mask, ownMask }),
  differentiable: [0, 1, 2, 3, 4],
});

const jointAttentionOp = defineComposite<number>({
  name: "jointAttention",
  // With m the largest score: out = (e^(s - m) V + e^(s₀ - m) v₀) / (sum e^(s - m) + sum e^(s₀ - m)).
  body: ([q, ownKeys, ownValues, keys, values, mask, ownMask], scale) => {
    const scaled = mul(q, scale);
    const scores = add(products(scaled, keys), mask);
    const alone = ownMask === undefined;
    const ownScores = alone
      ? sum(mul(scaled, ownKeys), [-1], true)
      : add(matmul(scaled, ownKeys, { transB: true }), ownMask);
    const peak = maximum(max(scores, [-1], true), alone ? ownScores : max(ownScores, [-1], true));
    const weights = exp(sub(scores, peak));
    const ownWeights = exp(sub(ownScores, peak));
    const total = add(sum(weights, [-1], true), alone ? ownWeights : sum(ownWeights, [-1], true));
    const ownPart = alone ? mul(ownWeights, ownValues) : matmul(ownWeights, ownValues);
    return [div(add(matmul(weights, values), ownPart), total)];
  },
  fused: {
    // One softmax over both kinds of scores, side by side: half as many nodes as the body.
    cpu: {
      lower: (ctx, [q, ownKeys, ownValues, keys, values, mask, ownMask], scale, { inputs }) => {
        const scores = (left: string, right: string, transB: number) =>
          ctx.emit("FusedMatMul", [left, right], { transB, alpha: { float: scale } }, "com.microsoft");
        const reshaped = (shape: readonly number[], of: string) => ctx.emit("Reshape", [of, ctx.ints(shape)]);
        const { shape } = inputs[0];
        // A single query is a column: keys · query reads the keys twice as fast as query · keysᵀ.
        const past =
          shape[2] === 1
            ? reshaped([0, 0, 1, -1], scores(keys, reshaped([0, 0, shape[3] as number, 1], q), 0))
            : scores(q, keys, 1);
        const masked = ctx.emit("Add", [past, mask]);
        const own = scores(q, ownKeys, 1);
        const ownMasked = ownMask === undefined ? own : ctx.emit("Add", [own, ownMask]);
        const joined = ctx.emit("Concat", [ownMasked, masked], { axis: -1 });
        const weights = ctx.emit("Softmax", [joined], { axis: -1 });
        const length = (x: string) => ctx.emit("Shape", [x], { start: 3 });
        const first = ownMask === undefined ? ctx.ints([1]) : length(ownMask);
        const sizes = ctx.emit("Concat", [first, length(mask)], { axis: 0 });
        const [ownWeights, pastWeights] = ctx.emitAll("Split", [weights, sizes], 2, { axis: -1 });
        return [
          ctx.emit("Add", [
            ctx.emit("MatMul", [pastWeights, values]),
            ctx.emit(ownMask === undefined ? "Mul" : "MatMul", [ownWeights, ownValues]),
          ]),
        ];
      },
    },
  },
  samples: [sample(1, 1), sample(3, 1), sample(6, 3)],
});

/** queries · keysᵀ, [batch, kvHeads, rows, past]. */
function products(queries: Tensor, keys: Tensor): Tensor {
  const [batch, kvHeads, rows, width] = queries.shape;
  if (rows !== 1) return matmul(queries, keys, { transB: true });
  const columns = matmul(keys, reshape(queries, [batch, kvHeads, width, 1]));
  return reshape(columns, [batch, kvHeads, 1, keys.shape[2]]);
}

/**
 * softmax over the scores of the cache and of the new tokens together, times both kinds of values.
 * q [batch, kvHeads, rows, width], where the rows are the query heads that share a key head, times `seq` new tokens; their
 * own keys and values [batch, kvHeads, seq, width], those of the cache [batch, kvHeads, past, width], and its mask
 * [batch, 1, 1, past] -> [batch, kvHeads, rows, value width]. Several new tokens attend to each other where `ownMask`
 * [1, 1, rows, seq] is 0.
 */
export function jointAttention(
  q: Tensor,
  [ownKeys, ownValues]: readonly [Tensor, Tensor],
  [keys, values]: readonly [Tensor, Tensor],
  { scale, mask, ownMask }: { scale: number; mask: Tensor; ownMask?: Tensor },
): Tensor {
  const inputs = [q, ownKeys, ownValues, keys, values, mask, ...(ownMask === undefined ? [] : [ownMask])];
  return jointAttentionOp(inputs, scale);
}
