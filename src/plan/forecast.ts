/** What RL is expected to sample and to train on, from a pass rate and the lengths of completions. */
import { miniBatchesOf, planMicroBatches } from "../train/microbatch.ts";

/** Rounds of sampling of a step, and groups that it trains on. */
export interface GroupForecast {
  rounds: number;
  kept: number;
}

/**
 * Rounds of `problems` groups that are drawn until as many carry a signal, each with probability `share`, or `furtherRounds`
 * more than the first one were drawn; in the mean, and exactly.
 */
export function forecastGroups(problems: number, share: number, furtherRounds: number): GroupForecast {
  /** Probability of so many groups with a signal so far; the last place is for enough of them. */
  let found = [1, ...new Array<number>(problems).fill(0)];
  let rounds = 0;
  for (let round = 0; round <= furtherRounds; round++) {
    rounds += 1 - found[problems];
    for (let group = 0; group < problems; group++)
      found = found.map((same, count) => {
        const gained = count === 0 ? 0 : found[count - 1] * share;
        return count === problems ? same + gained : same * (1 - share) + gained;
      });
  }
  return { rounds, kept: found.reduce((sum, probability, count) => sum + probability * count, 0) };
}

/** Micro-batches of an update: how many runs, and the mean sizes of one. */
export interface Passes {
  runs: number;
  batch: number;
  seq: number;
  completionTokens: number;
}

/** As the trainer makes them: `parts` mini-batches, in each the rows sorted and padded little. */
export function forecastPasses(
  rows: readonly { length: number; completionTokens: number }[],
  parts: number,
  tokens: number,
  maxPositions: number,
): Passes {
  const plans: { rows: number; seq: number }[] = [];
  for (const part of miniBatchesOf(rows, parts)) {
    const lengths = part.map(({ length }) => length);
    for (const plan of planMicroBatches(lengths, tokens, maxPositions))
      plans.push({ rows: plan.rows.length, seq: plan.seq });
  }
  const sum = (of: (plan: (typeof plans)[number]) => number): number =>
    plans.reduce((total, plan) => total + of(plan), 0);
  const runs = plans.length;
  return {
    runs,
    batch: Math.max(1, Math.round(sum((plan) => plan.rows) / runs)),
    seq: Math.round(sum((plan) => plan.rows * plan.seq) / sum((plan) => plan.rows)),
    completionTokens: Math.round(
      rows.reduce((total, { completionTokens }) => total + completionTokens, 0) / runs,
    ),
  };
}
