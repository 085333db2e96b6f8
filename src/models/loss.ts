/** Parts of the losses: the cross-entropy, and the tokens of each expert. */
import { expandLike, mul, neg, reshape, scatter, sum, tokenLogProbs } from "../graph/ops.ts";
import type { Tensor } from "../graph/tensor.ts";

/** -sum w_t log p(id_t), a scalar: logits [batch, seq, vocab], ids and weights [batch, seq]. */
export const crossEntropy = (logits: Tensor, ids: Tensor, weights: Tensor): Tensor =>
  logits.graph.scope("loss", () => neg(sum(mul(tokenLogProbs(logits, ids).logProbs, weights))));

/**
 * The output that holds each expert's tokens [experts] of a layer. A stage logs `experts/LAYER/max-load`, the fullest
 * expert's tokens over the mean: 1 where the load is even, experts / active where all tokens choose the same experts.
 */
export const loadName = (layer: number): string => `experts/${layer}`;

/**
 * Tokens of each expert, [experts] f32, from `choices` [rows, active] i64 of rows that are partly padding: `fed` [rows]
 * is 1 for a token and 0 for padding, which chooses experts as well.
 */
export function loadOf(choices: Tensor, fed: Tensor, experts: number): Tensor {
  const counted = expandLike(reshape(fed, [fed.shape[0], 1]), choices);
  return sum(scatter(counted, choices, experts), [0]);
}
