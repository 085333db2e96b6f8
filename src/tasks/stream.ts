/** Seeded problems, and splits that cannot overlap. */
import { UserError } from "../lib/errors.ts";
import { Random } from "../lib/random.ts";
import type { StreamKey } from "./problem.ts";

export type Split = StreamKey["split"];

export type Shares = Record<"validation" | "test", number>;

/** Fractions of all possible problems; all others are for training. */
export const SPLIT_SHARES: Shares = { validation: 0.1, test: 0.1 };

/** Draws before a generator gives up: a split holds a tenth of the problems, so 10 is typical. */
const MAX_DRAWS = 20_000;

/** The random stream of one problem: a hash of all its key, so seed 1, index 2 is not seed 2, index 1. */
export function stream(seed: number, task: string, split: Split, index: number): Random {
  return new Random(seed, task, split, index);
}

/**
 * The split of a problem, which depends on its content and on no seed. `content` must be
 * canonical, so that two problems that differ in order only are one.
 */
export function splitOf(task: string, content: string, shares: Shares = SPLIT_SHARES): Split {
  const place = new Random("split", task, content).uniform();
  if (place < shares.test) return "test";
  return place < shares.test + shares.validation ? "validation" : "train";
}

/**
 * Draws from the key's stream until a problem belongs to its split.
 * @param draw one problem, or `null` where the random choices led nowhere
 * @param content the problem's canonical content, for `splitOf`
 * @throws UserError "generation" after `MAX_DRAWS`: the options leave the split no problem, or next to none
 */
export function drawInSplit<T>(
  task: string,
  key: StreamKey,
  draw: (random: Random) => T | null,
  content: (problem: T) => string,
): T {
  const random = stream(key.seed, task, key.split, key.index);
  for (let i = 0; i < MAX_DRAWS; i++) {
    const problem = draw(random);
    if (problem !== null && splitOf(task, content(problem)) === key.split) return problem;
  }
  throw new UserError({
    kind: "generation",
    what: `The task ${task} found no ${key.split} problem in ${MAX_DRAWS} draws: its options allow too few problems`,
    remedy: "Widen the ranges of the task's options.",
    data: { task, split: key.split, draws: MAX_DRAWS },
  });
}

/** Unique among the problems of a task. */
export function problemId(task: string, key: StreamKey): string {
  return `${task}/${key.seed}/${key.split}/${key.index}`;
}
