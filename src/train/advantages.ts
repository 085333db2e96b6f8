/**
 * What weighs each token of a GRPO step, as pure functions of plain numbers: advantages from a group's rewards, loss weights
 * from lengths, and corrections for the difference between sampler and trainer.
 */
import { registry } from "../lib/schema.ts";

/** Rewards of a group's samples; `null` is unscored. */
type Rewards = readonly (number | null)[];

/**
 * Advantages of one group's samples from their rewards. `null` (unscored) leaves the group: advantage 0, and the others
 * are compared among themselves. A group without variance gives zeros.
 */
export const advantages = registry<(rewards: Rewards) => number[]>()({
  /** (r - mean) / std, the sample standard deviation (DeepSeekMath section 4.1.2 leaves the form open; TRL and verl use this). */
  grpo: (rewards) => centred(rewards, (scored) => standardDeviation(scored)),
  /** r - mean: no division, which would favour problems that are nearly solved or nearly hopeless (Liu et al. 2025, 2503.20783). */
  "dr-grpo": (rewards) => centred(rewards, () => 1),
  /** r - mean of the others (Ahmadian et al. 2024, 2402.14740, eq. 8). */
  rloo: (rewards) => centred(rewards, (scored) => (scored.length - 1) / scored.length),
});

/** (r - mean) / scale over the scored samples. */
function centred(rewards: readonly (number | null)[], scale: (scored: number[]) => number): number[] {
  const scored = rewards.filter((r): r is number => r !== null);
  if (!hasSignal(rewards)) return rewards.map(() => 0);
  const mean = scored.reduce((a, b) => a + b, 0) / scored.length;
  const divisor = scale(scored);
  return rewards.map((r) => (r === null ? 0 : (r - mean) / divisor));
}

function standardDeviation(values: readonly number[]): number {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  return Math.sqrt(values.reduce((total, v) => total + (v - mean) ** 2, 0) / (values.length - 1));
}

/** Whether a group can teach anything: it has at least two scored samples with different rewards. */
export function hasSignal(rewards: readonly (number | null)[]): boolean {
  const scored = rewards.filter((r): r is number => r !== null);
  return scored.length > 1 && Math.max(...scored) - Math.min(...scored) > 1e-9;
}

/**
 * The weight of each token of each sequence in the loss. `lengths` counts trained tokens; 0 is a masked sequence, which
 * leaves numerator and denominator alike. `constant` is the length that Dr. GRPO divides by.
 */
export const aggregations = registry<(lengths: readonly number[], constant: number) => number[]>()({
  /** 1/N sum 1/|o| sum: GRPO's own (DeepSeekMath eq. 3). */
  "sequence-mean": (lengths) => {
    const kept = lengths.filter((length) => length > 0).length;
    return lengths.map((length) => (length > 0 ? 1 / (kept * length) : 0));
  },
  /** 1 / sum |o|: every token alike (DAPO, 2503.14476, eq. 8). */
  "token-mean": (lengths) => {
    const total = lengths.reduce((a, b) => a + b, 0);
    return lengths.map((length) => (length > 0 ? 1 / total : 0));
  },
  /** 1 / (N · constant): no reward for being short or long (Dr. GRPO, 2503.20783, section 3.2). */
  constant: (lengths, constant) => {
    const kept = lengths.filter((length) => length > 0).length;
    return lengths.map((length) => (length > 0 ? 1 / (kept * constant) : 0));
  },
});

/**
 * Truncated importance sampling between sampler and trainer weighs tokens by min(π_old/π_sampler, cap). The levels: the log of
 * each token's weight, from the differences of log-probabilities of a sequence's tokens. A harmless
 * mismatch of single tokens grows exponentially when it is summed over a sequence.
 */
export const importanceLevels = registry<(differences: readonly number[]) => readonly number[]>()({
  token: (differences) => differences,
  sequence: (differences) => {
    const total = sum(differences);
    return differences.map(() => total);
  },
  "length-normalised": (differences) => {
    const mean = sum(differences) / differences.length;
    return differences.map(() => mean);
  },
});

export type ImportanceLevel = keyof typeof importanceLevels;

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

/** Weights of one sequence's tokens from both log-probabilities, and how many tokens were cut at the cap. */
export function importanceWeights(
  old: readonly number[],
  sampled: readonly number[],
  level: ImportanceLevel,
  cap: number,
): { weights: number[]; cut: number } {
  const differences = old.map((value, i) => value - sampled[i]);
  const raw = importanceLevels[level](differences).map(Math.exp);
  return { weights: raw.map((w) => Math.min(w, cap)), cut: raw.filter((w) => w > cap).length };
}
