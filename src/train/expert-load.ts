/** How evenly tokens use the experts of each routed layer: what a stage logs of a mixture-of-experts model. */
import { div, expandLike, max, mean, reshape, scatterLast, sum } from "../graph/ops.ts";
import type { Tensor } from "../graph/tensor.ts";

/** The metric of a layer, which is 1 where the load is even and experts / active where all tokens choose the same ones. */
const NAME = /^experts\/\d+\/max-load$/;

export const isLoad = (name: string): boolean => NAME.test(name);

/** The fullest expert's tokens over the mean, from `counts` [experts] f32. */
export function measureLoad(layer: number, counts: Tensor): Record<string, Tensor> {
  return { [`experts/${layer}/max-load`]: div(max(counts), mean(counts)) };
}

/**
 * Tokens of each expert, [experts] f32, from `choices` [rows, active] i64 of rows that are partly padding: `fed` [rows]
 * is 1 for a token and 0 for padding, which chooses experts as well.
 */
export function loadOf(choices: Tensor, fed: Tensor, experts: number): Tensor {
  const counted = expandLike(reshape(fed, [fed.shape[0], 1]), choices);
  return sum(scatterLast(counted, choices, experts), [0]);
}
