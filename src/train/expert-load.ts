/** How evenly tokens use the experts of each routed layer: what a stage logs of a mixture-of-experts model. */

import type { Metrics } from "../events.ts";
import { expandLike, reshape, scatter, sum } from "../graph/ops.ts";
import type { Tensor } from "../graph/tensor.ts";

/** The output that holds each expert's tokens [experts] of a layer. */
export const loadName = (layer: number): string => `experts/${layer}`;

/** Adds up the loads of a step's micro-batches. */
export class ExpertLoads {
  private readonly counts = new Map<string, number[]>();

  /** Takes the vectors of one run, by `loadName`. */
  add(vectors: ReadonlyMap<string, ArrayLike<number>>): void {
    for (const [name, tokens] of vectors) {
      const before = this.counts.get(name);
      this.counts.set(
        name,
        Array.from(tokens, (count, expert) => count + (before?.[expert] ?? 0)),
      );
    }
  }

  /**
   * `experts/LAYER/max-load`: the fullest expert's tokens over the mean, of all tokens of the step. It is 1 where the load
   * is even and experts / active where all tokens choose the same ones.
   */
  metrics(): Metrics {
    return Object.fromEntries(
      [...this.counts].map(([name, counts]) => [
        `${name}/max-load`,
        Math.max(...counts) / (counts.reduce((total, count) => total + count, 0) / counts.length),
      ]),
    );
  }
}

/**
 * Tokens of each expert, [experts] f32, from `choices` [rows, active] i64 of rows that are partly padding: `fed` [rows]
 * is 1 for a token and 0 for padding, which chooses experts as well.
 */
export function loadOf(choices: Tensor, fed: Tensor, experts: number): Tensor {
  const counted = expandLike(reshape(fed, [fed.shape[0], 1]), choices);
  return sum(scatter(counted, choices, experts), [0]);
}
