/**
 * Scores with their uncertainty. Samples without a score are left out of every mean, and so is a problem without any
 * scored sample; the denominator is the number of scored samples.
 */
import { type Interval, meanInterval, studentReach } from "./interval.ts";

export type { Interval } from "./interval.ts";

/** One problem's completions. */
export interface Tally {
  /** Scored completions. */
  samples: number;
  right: number;
}

/**
 * Unbiased probability that at least one of k completions is right, from n completions of which c are (Codex,
 * arXiv 2107.03374, eq. 1): 1 - C(n-c, k) / C(n, k), as a product, which neither overflows nor cancels, and has a factor of 0
 * where fewer than k are wrong.
 * Throws a `RangeError` for k > n: samples that do not exist cannot be counted.
 */
export function passAtK({ samples, right }: Tally, k: number): number {
  if (!Number.isInteger(k) || k < 1) throw new RangeError(`pass@k needs a whole k of at least 1, not ${k}.`);
  if (k > samples) {
    throw new RangeError(`pass@${k} needs at least ${k} samples of each problem; this one has ${samples}.`);
  }
  if (right < 0 || right > samples) throw new RangeError(`${right} of ${samples} samples cannot be right.`);
  let allWrong = 1;
  for (let i = samples - right + 1; i <= samples; i++) allWrong *= 1 - k / i;
  return 1 - allWrong;
}

/** pass@k at one k. */
export interface CurvePoint {
  k: number;
  value: number;
  /** 95 %. */
  interval: Interval;
}

/**
 * pass@k at 1, 2, 4, ... and at the largest k that every scored problem has samples for; beyond it the estimator
 * would have to leave problems out, and the points would not compare.
 */
export function passCurve(tallies: readonly Tally[]): CurvePoint[] {
  const known = scored(tallies);
  if (known.length === 0) return [];
  const most = known.reduce((least, { samples }) => Math.min(least, samples), Number.POSITIVE_INFINITY);
  const ks = Array.from({ length: Math.floor(Math.log2(most)) + 1 }, (_, power) => 2 ** power);
  return [...new Set([...ks, most])].map((k) => {
    const values = known.map((tally) => passAtK(tally, k));
    return { k, value: mean(values), interval: meanInterval(values) };
  });
}

/** pass@1 with its uncertainty. */
export interface ScoreEstimate {
  /** NaN where no problem has a score. */
  mean: number;
  /** Of the mean over problems, since completions of one problem are not independent. NaN below two problems. */
  standardError: number;
  /** 95 %, `meanInterval` over the problems. */
  interval: Interval;
  problems: number;
  samples: number;
}

/** pass@1 clustered by problem: the mean over problems of the fraction of right completions. */
export function passAt1(tallies: readonly Tally[]): ScoreEstimate {
  const known = scored(tallies);
  const shares = known.map(({ samples, right }) => right / samples);
  return {
    mean: mean(shares),
    standardError: errorOfMean(shares),
    interval: meanInterval(shares),
    problems: known.length,
    samples: known.reduce((sum, tally) => sum + tally.samples, 0),
  };
}

/** The answer of one scored completion. */
export interface Vote {
  /** The answer's value, equal for equal answers (`Verdict.canonical`); `null` where none could be read. */
  answer: string | null;
  right: boolean;
}

/** A majority vote over the answers to one problem. */
export interface Majority {
  /** 1 if the winner is right, 0 if not; for a tie, the fraction of right ones among the winners. */
  score: number;
  /** The winning value, of several the one that was given first; `null` if no answer could be read. */
  answer: string | null;
}

/**
 * Majority vote (self-consistency, arXiv 2203.11171), by value. Answers that could not be read do not vote, and
 * without any vote the problem counts as 0. A tie counts as the fraction of right ones among the winners, so the
 * order of sampling decides nothing.
 */
export function majority(votes: readonly Vote[]): Majority {
  const counts = new Map<string, { count: number; right: boolean }>();
  for (const { answer, right } of votes) {
    if (answer === null) continue;
    const entry = counts.get(answer) ?? { count: 0, right };
    entry.count += 1;
    counts.set(answer, entry);
  }
  const most = [...counts.values()].reduce((top, { count }) => Math.max(top, count), 0);
  const winners = [...counts].filter(([, { count }]) => count === most);
  if (winners.length === 0) return { score: 0, answer: null };
  return {
    score: winners.filter(([, { right }]) => right).length / winners.length,
    answer: winners[0]![0],
  };
}

/** The mean difference over problems that two evaluations share. */
export interface Difference {
  /** second - first, averaged over problems. */
  mean: number;
  /** NaN below two problems. */
  standardError: number;
  /** 95 %. */
  interval: Interval;
  /** 0 lies outside the interval. */
  significant: boolean;
  /** Problems that would make a difference of this size significant; `null` if it is 0. */
  problemsNeeded: number | null;
}

/** From so many problems on, the mean of their differences is close enough to normal for Student's t. */
const ENOUGH_FOR_T = 30;

/**
 * Compares two evaluations problem by problem: fractions of right completions, in the same order of problems. The interval
 * is the exact one of `meanInterval` over differences from -1 to 1; from 30 problems on Student's t over the
 * differences, whose squares add up to at least three of the largest one seen (of 1 where no problem differs): by the
 * rule of three, what was not seen in n problems may still happen in 3 of n. So a few equal differences, whose
 * standard error is 0, prove nothing: as in the sign test, it takes six.
 */
export function pairedDifference(first: readonly number[], second: readonly number[]): Difference {
  if (first.length !== second.length) {
    throw new RangeError(`Paired scores need the same problems: ${first.length} against ${second.length}.`);
  }
  const differences = second.map((value, index) => value - first[index]!);
  const difference = mean(differences);
  const standardError = errorOfMean(differences);
  const interval =
    differences.length < ENOUGH_FOR_T
      ? meanInterval(differences, [-1, 1])
      : studentInterval(differences, difference);
  return {
    mean: difference,
    standardError,
    interval,
    // Stryker disable next-line EqualityOperator: an end of exactly 0 does not occur
    significant: interval[0] > 0 || interval[1] < 0,
    problemsNeeded: problemsNeeded(difference, standardError * Math.sqrt(differences.length)),
  };
}

function studentInterval(differences: readonly number[], center: number): Interval {
  const count = differences.length;
  const largest = differences.reduce((top, value) => Math.max(top, Math.abs(value)), 0) || 1;
  const squares = differences.reduce((sum, value) => sum + (value - center) ** 2, 0);
  const variance = Math.max(squares, 3 * largest ** 2) / (count - 1);
  const half = studentReach(count - 1) * Math.sqrt(variance / count);
  return [Math.max(-1, center - half), Math.min(1, center + half)];
}

function problemsNeeded(difference: number, deviation: number): number | null {
  const needed = Math.ceil(((studentReach(1e4) * deviation) / difference) ** 2);
  return difference === 0 || Number.isNaN(needed) ? null : needed;
}

const scored = (tallies: readonly Tally[]): Tally[] => tallies.filter(({ samples }) => samples > 0);

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/** Standard error of a mean of independent values; NaN below two. */
function errorOfMean(values: readonly number[]): number {
  const center = mean(values);
  const squares = values.reduce((sum, value) => sum + (value - center) ** 2, 0);
  return Math.sqrt(squares / (values.length - 1) / values.length);
}
