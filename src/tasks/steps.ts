/** Where the steps of a thought are, in tokens, and how many of them hold: the task alone knows what a step is. */
import type { CheckedStep } from "./problem.ts";

/** A checked step at its position in tokens from the start of the row. */
export interface LocatedStep {
  position: number;
  holds: boolean;
}

/**
 * A step's position is that of the token that completes its first character. `ends[i]` is the length of the text that is
 * known with token i of the completion; `promptLength` tokens came before.
 */
export function locateSteps(
  steps: readonly CheckedStep[],
  ends: readonly number[],
  promptLength: number,
): LocatedStep[] {
  let token = 0;
  return steps.map(({ index, holds }) => {
    while (token < ends.length && ends[token]! <= index) token++;
    return { position: promptLength + token, holds };
  });
}

/** Width of the buckets by position, in tokens. */
export const POSITION_BUCKET = 64;

/** The share of steps that hold, by position: `[from, to)` in tokens, and the number of steps in each bucket. */
export function validityByPosition(
  completions: readonly { steps: readonly LocatedStep[] }[],
): { from: number; to: number; share: number; steps: number }[] {
  const buckets = new Map<number, { holds: number; count: number }>();
  for (const { position, holds } of completions.flatMap(({ steps }) => steps)) {
    const index = Math.floor(position / POSITION_BUCKET);
    const bucket = buckets.get(index) ?? { holds: 0, count: 0 };
    bucket.count++;
    if (holds) bucket.holds++;
    buckets.set(index, bucket);
  }
  return [...buckets]
    .sort((a, b) => a[0] - b[0])
    .map(([index, { holds, count }]) => ({
      from: index * POSITION_BUCKET,
      to: (index + 1) * POSITION_BUCKET,
      share: holds / count,
      steps: count,
    }));
}
