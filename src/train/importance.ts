/**
 * Truncated importance sampling between sampler and trainer: min(π_old/π_sampler, cap), at a level that is said, since a
 * harmless token mismatch grows exponentially when summed over a sequence.
 */
export type ImportanceLevel = "token" | "sequence" | "length-normalised";

/** Weights of one sequence's tokens from both log-probabilities, and how many tokens were cut at the cap. */
export function importanceWeights(
  old: readonly number[],
  sampled: readonly number[],
  level: ImportanceLevel,
  cap: number,
): { weights: number[]; cut: number } {
  const difference = old.map((value, i) => value - sampled[i]);
  const total = difference.reduce((a, b) => a + b, 0);
  const raw = difference.map((d) =>
    Math.exp(level === "token" ? d : level === "sequence" ? total : total / difference.length),
  );
  return { weights: raw.map((w) => Math.min(w, cap)), cut: raw.filter((w) => w > cap).length };
}
