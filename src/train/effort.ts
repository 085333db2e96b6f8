/**
 * Effort as a dial (DeepSeek-V4.1): each problem is asked at several levels, which are numbers in the prompt, and a penalty on
 * the length of completions falls exponentially from the lowest level to the highest. Advantages are centred within
 * (problem, effort): each level of a problem is a group of its own.
 */
import { z } from "zod";
import { count, positive } from "../lib/schema.ts";
import { effortLevel } from "../tasks/effort.ts";
import type { Problem, Reward, Verdict } from "../tasks/problem.ts";

export const effortOptions = z
  .strictObject({
    levels: z
      .array(effortLevel)
      .min(2)
      .describe(
        "Levels, each a number in the prompt. Each problem is asked at each of them, in a group each.",
      ),
    penalty: z
      .strictObject({
        scale: positive.describe("k0: the penalty of a completion of `length` tokens at the lowest level."),
        decay: positive.describe("τ: by so many levels more, the penalty falls by a factor of e."),
        length: count.optional().describe("Lnorm, in tokens; default: `maxNewTokens`."),
        most: positive.default(1).describe("Cmax: the largest penalty."),
      })
      .describe("Of a completion's length: min(Cmax, k0 exp(-(level - lowest) / τ) tokens / Lnorm)."),
  })
  .describe("Effort as a dial (DeepSeek-V4.1): `problemsPerStep` then counts each level of a problem.");

export type EffortOptions = z.output<typeof effortOptions>;

/** The penalty as a reward of a problem that was asked at an effort; 0 for others. */
export function effortReward({ levels, penalty }: EffortOptions, maxNewTokens: number): Reward {
  const { scale, decay, length = maxNewTokens, most } = penalty;
  const lowest = Math.min(...levels);
  return ({ effort }, { tokens }) =>
    effort === undefined
      ? 0
      : -Math.min(most, (scale * Math.exp(-(effort - lowest) / decay) * tokens) / length);
}

/** Which problem of the stream the group at `index` is about, and at which effort: the levels of a problem follow one another. */
export function placeOf(
  index: number,
  effort: Pick<EffortOptions, "levels"> | undefined,
): { index: number; effort?: number } {
  if (effort === undefined) return { index };
  const { levels } = effort;
  return { index: Math.floor(index / levels.length), effort: levels[index % levels.length] };
}

interface Asked {
  problem: Problem;
  samples: readonly { tokens: number; reward: number | null; verdict: Verdict }[];
}

/** Per level: the share of right completions among the scored ones, and the mean length in tokens. */
export function effortMetrics(groups: readonly Asked[]): Record<string, number | null> {
  const levels = new Map<number, Asked["samples"]>();
  for (const { problem, samples } of groups)
    if (problem.effort !== undefined)
      levels.set(problem.effort, [...(levels.get(problem.effort) ?? []), ...samples]);
  return Object.fromEntries(
    [...levels]
      .sort(([a], [b]) => a - b)
      .flatMap(([level, samples]) => {
        const scored = samples.flatMap(({ reward, verdict }) =>
          reward === null ? [] : (verdict.value ?? 0),
        );
        return [
          [`effort/${level}/pass@1`, scored.length === 0 ? null : mean(scored)],
          [`effort/${level}/length`, mean(samples.map(({ tokens }) => tokens))],
        ];
      }),
  );
}

const mean = (values: readonly number[]): number =>
  values.reduce((total, value) => total + value, 0) / values.length;
