/**
 * A curriculum by measured success. GRPO learns from problems that are solved sometimes: a group of G completions has a signal
 * with probability 1 - p^G - (1 - p)^G at the pass rate p, which is largest at 1/2. So the level of the problems follows the
 * pass rate of each step: up where more is right than the target, down where less is.
 */
import { z } from "zod";
import type { Random } from "../lib/random.ts";
import { positive } from "../lib/schema.ts";

export const targetDifficulty = z.strictObject({
  target: z
    .number()
    .gt(0)
    .lt(1)
    .describe(
      "Pass rate that a GRPO stage moves the level towards, step by step. Evaluations ask all levels evenly.",
    ),
  rate: positive
    .default(0.5)
    .describe("Levels that a step moves, times its pass rate's distance from the target."),
  start: z.number().optional().describe("Level of the first step; default: the lowest."),
});

export type TargetDifficulty = z.output<typeof targetDifficulty>;

/** A task's levels are the whole numbers from `low` to `high`. */
export interface Curriculum extends TargetDifficulty {
  low: number;
  high: number;
}

/** What a list of levels or a target says, of a task with the levels from 1 to `high`. */
export function levelsOf(
  difficulty: readonly number[] | TargetDifficulty,
  high: number,
): { levels: readonly number[]; curriculum?: Curriculum } {
  if ("target" in difficulty)
    return { levels: wholeLevels(1, high), curriculum: { ...difficulty, low: 1, high } };
  return { levels: difficulty };
}

export const wholeLevels = (low: number, high: number): number[] =>
  Array.from({ length: high - low + 1 }, (_, i) => low + i);

const within = ({ low, high }: Curriculum, level: number): number => Math.min(high, Math.max(low, level));

export const firstLevel = (curriculum: Curriculum): number =>
  within(curriculum, curriculum.start ?? curriculum.low);

/**
 * The level after a step at `level`, a real number; the same where nothing was scored.
 * @param values of the step's verdicts, `null` where there is no score
 */
export function movedLevel(
  curriculum: Curriculum,
  level: number,
  values: readonly (number | null)[],
): number {
  const scored = values.filter((value) => value !== null);
  if (scored.length === 0) return level;
  const passRate = scored.reduce((sum, value) => sum + value, 0) / scored.length;
  return within(curriculum, level + curriculum.rate * (passRate - curriculum.target));
}

/** The level of one problem: at 2.25 a quarter of the problems are of level 3 and the others of level 2. */
export function problemLevel(level: number, random: Random): number {
  const whole = Math.floor(level);
  return random.uniform() < level - whole ? whole + 1 : whole;
}
