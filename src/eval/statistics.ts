/** Scores with their uncertainty. The denominator is always the number of samples that are held. */

/** Two-sided 95 % of the normal distribution. */
export const Z95 = 1.959963984540054;

export type Interval = [low: number, high: number];

/**
 * Wilson's score interval of a share (Wilson 1927): within [0, 1] and of sensible width at 0 and at 1.
 * `trials` may be fractional (an effective sample size); without trials nothing is known: [0, 1].
 */
export function wilsonInterval(successes: number, trials: number, z = Z95): Interval {
  if (successes < 0 || successes > trials) {
    throw new RangeError(`${successes} successes in ${trials} trials are impossible.`);
  }
  if (trials === 0) return [0, 1];
  const p = successes / trials;
  const squared = z * z;
  const center = (p + squared / (2 * trials)) / (1 + squared / trials);
  const half =
    (z / (1 + squared / trials)) * Math.sqrt((p * (1 - p)) / trials + squared / (4 * trials * trials));
  // At the ends the root equals the center's distance up to rounding.
  return [p === 0 ? 0 : Math.max(0, center - half), p === 1 ? 1 : Math.min(1, center + half)];
}

/** One problem's answers. */
export interface Tally {
  /** Graded answers: those that are unscored are not among them. */
  samples: number;
  right: number;
}

/**
 * Unbiased probability that at least one of k answers is right, from n answers of which c are (Codex,
 * arXiv 2107.03374, eq. 1): 1 - C(n-c, k) / C(n, k), as a product, which neither overflows nor cancels.
 * Throws a `RangeError` for k > n: samples that do not exist cannot be counted.
 */
export function passAtK({ samples, right }: Tally, k: number): number {
  if (!Number.isInteger(k) || k < 1) throw new RangeError(`pass@k needs a whole k of at least 1, not ${k}.`);
  if (k > samples) {
    throw new RangeError(`pass@${k} needs at least ${k} samples of each problem; this one has ${samples}.`);
  }
  if (right < 0 || right > samples) throw new RangeError(`${right} of ${samples} samples cannot be right.`);
  if (samples - right < k) return 1;
  let allWrong = 1;
  for (let i = samples - right + 1; i <= samples; i++) allWrong *= 1 - k / i;
  return 1 - allWrong;
}

/** pass@k averaged over problems; problems without a graded answer are left out. NaN if none is left. */
export function meanPassAtK(tallies: readonly Tally[], k: number): number {
  return mean(graded(tallies).map((tally) => passAtK(tally, k)));
}

export interface ScoreEstimate {
  mean: number;
  /** Of the mean over problems; answers to one problem are not independent, so problems are the unit. */
  standardError: number;
  /** 95 %. */
  interval: Interval;
  problems: number;
  samples: number;
}

/**
 * pass@1 clustered by problem: the mean of each problem's share of right answers. The interval is Wilson's
 * at the number of independent answers that would have this standard error.
 */
export function passAt1(tallies: readonly Tally[]): ScoreEstimate {
  const known = graded(tallies);
  const shares = known.map(({ samples, right }) => right / samples);
  const samples = known.reduce((sum, tally) => sum + tally.samples, 0);
  const score = mean(shares);
  const standardError = errorOfMean(shares);
  if (known.length === 0) return { mean: score, standardError, interval: [0, 1], problems: 0, samples: 0 };
  const variance = score * (1 - score);
  // All right or all wrong, or one problem only: repeated answers tell little, so count the problems.
  const independent = variance === 0 || shares.length < 2 ? shares.length : variance / standardError ** 2;
  const trials = Math.min(samples, independent);
  return {
    mean: score,
    standardError,
    interval: wilsonInterval(Math.min(score * trials, trials), trials),
    problems: known.length,
    samples,
  };
}

/** An answer as the verifier extracted it; `null` where there is none. */
export interface Vote {
  answer: string | null;
  right: boolean;
}

/**
 * Majority vote over one problem's answers (self-consistency, arXiv 2203.11171). Answers that were not
 * found do not vote. A tie counts as the share of right ones among the winners: the order is no judge.
 */
export function majorityAtK(votes: readonly Vote[]): number {
  const counts = new Map<string, { count: number; right: boolean }>();
  for (const { answer, right } of votes) {
    if (answer === null) continue;
    const entry = counts.get(answer) ?? { count: 0, right };
    entry.count += 1;
    counts.set(answer, entry);
  }
  const most = Math.max(0, ...[...counts.values()].map(({ count }) => count));
  const winners = [...counts.values()].filter(({ count }) => count === most);
  return winners.length === 0 ? 0 : winners.filter(({ right }) => right).length / winners.length;
}

export interface Difference {
  /** second - first, averaged over problems. */
  mean: number;
  standardError: number;
  /** 95 %. */
  interval: Interval;
  /** 0 lies outside the interval. */
  significant: boolean;
  /** Problems at which a difference of this size would stand outside the noise; `null` if it is 0. */
  problemsNeeded: number | null;
}

/** Two scorings of the same problems, problem by problem: shares of right answers, in the same order. */
export function pairedDifference(first: readonly number[], second: readonly number[]): Difference {
  if (first.length !== second.length) {
    throw new RangeError(`Paired scores need the same problems: ${first.length} against ${second.length}.`);
  }
  const differences = second.map((value, index) => value - first[index]!);
  const difference = mean(differences);
  const standardError = errorOfMean(differences);
  const half = Z95 * standardError;
  const deviation = standardError * Math.sqrt(differences.length);
  return {
    mean: difference,
    standardError,
    interval: [difference - half, difference + half],
    significant: Math.abs(difference) > half,
    problemsNeeded: difference === 0 ? null : Math.ceil(((Z95 * deviation) / difference) ** 2),
  };
}

const graded = (tallies: readonly Tally[]): Tally[] => tallies.filter(({ samples }) => samples > 0);

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/** Standard error of a mean of independent values; NaN below two. */
function errorOfMean(values: readonly number[]): number {
  const center = mean(values);
  const squares = values.reduce((sum, value) => sum + (value - center) ** 2, 0);
  return Math.sqrt(squares / (values.length - 1) / values.length);
}
