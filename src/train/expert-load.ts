/**
 * How evenly tokens use the experts of each layer: a stage logs `experts/LAYER/max-load`, the fullest expert's tokens over the
 * mean. It is 1 where the load is even, and experts / active where all tokens choose the same experts.
 */

import { expandLike, reshape, scatter, sum } from "../graph/ops.ts";
import type { Tensor } from "../graph/tensor.ts";

/** The output that holds each expert's tokens [experts] of a layer. */
export const loadName = (layer: number): string => `experts/${layer}`;

/**
 * Tokens of each expert, [experts] f32, from `choices` [rows, active] i64 of rows that are partly padding: `fed` [rows]
 * is 1 for a token and 0 for padding, which chooses experts as well.
 */
export function loadOf(choices: Tensor, fed: Tensor, experts: number): Tensor {
  const counted = expandLike(reshape(fed, [fed.shape[0], 1]), choices);
  return sum(scatter(counted, choices, experts), [0]);
}
