/** Attention of one new token a row over what a cache holds. */
import { add, div, exp, matmul, max, maximum, mul, reshape, sub, sum } from "../graph/ops.ts";
import type { Tensor } from "../graph/tensor.ts";

/** Keys and values of one layer, [batch, kvHeads, seq, width] each. */
export interface KeysValues {
  keys: Tensor;
  values: Tensor;
}

/**
 * Attention of one new token to the cache and to itself, the two joined in one softmax without a copy of the cache:
 * with m the largest score, out = (e^(s - m) V + e^(s₀ - m) v₀) / (sum e^(s - m) + e^(s₀ - m)).
 * queries [batch, kvHeads, rows, width] (rows: the heads that share a key head), own [batch, kvHeads, 1, width],
 * past [batch, kvHeads, past, width] -> [batch, kvHeads, rows, value width].
 * Several new tokens, own [batch, kvHeads, seq, width], see each other where `ownMask` [1, 1, rows, seq] is 0 (rows:
 * those heads, seq each).
 */
export function cachedAttention(
  queries: Tensor,
  own: KeysValues,
  past: KeysValues,
  mask: Tensor,
  scale: number,
  ownMask?: Tensor,
): Tensor {
  const scaled = mul(queries, scale);
  const scores = add(products(scaled, past.keys), mask);
  const alone = ownMask === undefined;
  const ownScores = alone
    ? sum(mul(scaled, own.keys), [-1], true)
    : add(matmul(scaled, own.keys, { transB: true }), ownMask);
  const peak = maximum(max(scores, [-1], true), alone ? ownScores : max(ownScores, [-1], true));
  const weights = exp(sub(scores, peak));
  const ownWeights = exp(sub(ownScores, peak));
  const total = add(sum(weights, [-1], true), alone ? ownWeights : sum(ownWeights, [-1], true));
  const ownPart = alone ? mul(ownWeights, own.values) : matmul(ownWeights, own.values);
  return div(add(matmul(weights, past.values), ownPart), total);
}

/** queries · keysᵀ, [batch, kvHeads, rows, past]. */
function products(queries: Tensor, keys: Tensor): Tensor {
  const [batch, kvHeads, rows, width] = queries.shape;
  if (rows !== 1) return matmul(queries, keys, { transB: true });
  // A query alone is a column: keys · query reads the keys twice as fast as query · keysᵀ.
  const columns = matmul(keys, reshape(queries, [batch, kvHeads, width, 1]));
  return reshape(columns, [batch, kvHeads, 1, keys.shape[2]]);
}
