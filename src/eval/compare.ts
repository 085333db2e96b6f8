/** Two evaluations on the same problems, compared problem by problem. */
import type { EvaluationRecord, ProblemTally } from "../events.ts";
import { type Difference, pairedDifference } from "./statistics.ts";

/** The part of a record that is compared. */
export type Comparable = Pick<EvaluationRecord, "tallies">;

/** The result of `compareEvaluations`: a difference where both have the same problems. */
export type Comparison =
  /** `problems`: the number of problems with a score in both. */
  | { paired: true; difference: Difference; problems: number; leftOut: number }
  /** Why the problems cannot be compared one by one, as the end of a sentence. */
  | { paired: false; why: string };

/**
 * pass@1 of the second minus that of the first over the same problems, in any order. A problem without a scored
 * completion in one of them is left out of both.
 */
export function compareEvaluations(first: Comparable, second: Comparable): Comparison {
  if (first.tallies === undefined || second.tallies === undefined)
    return { paired: false, why: "one of them was stored by a version that kept no tallies by problem" };
  const others = new Map(second.tallies.map((tally) => [tally.key, tally]));
  const shared = first.tallies.flatMap((tally): [ProblemTally, ProblemTally][] => {
    const other = others.get(tally.key);
    return other === undefined ? [] : [[tally, other]];
  });
  const [a, b] = [first.tallies.length, second.tallies.length];
  if (shared.length < a || shared.length < b)
    return {
      paired: false,
      why: `their problems differ: ${shared.length} are in both, of ${a} in the first and ${b} in the second`,
    };
  const scored = shared.filter((pair) => pair.every((tally) => scoredCount(tally) > 0));
  if (scored.length === 0) return { paired: false, why: "no problem has a score in both" };
  const shares = (which: 0 | 1): number[] =>
    scored.map((pair) => pair[which].right / scoredCount(pair[which]));
  const difference = pairedDifference(shares(0), shares(1));
  return {
    paired: true,
    difference,
    problems: scored.length,
    leftOut: shared.length - scored.length,
  };
}

/**
 * 95 % interval of second - first as if their problems were independent, from their own intervals (MOVER, Zou and
 * Donner 2008). For the same problems it is too wide, which is safe.
 */
export function unpairedInterval(
  first: Pick<EvaluationRecord, "passAt1" | "interval">,
  second: Pick<EvaluationRecord, "passAt1" | "interval">,
): [low: number, high: number] {
  const difference = second.passAt1 - first.passAt1;
  const reach = (a: number, b: number): number => Math.hypot(a, b);
  return [
    difference - reach(second.passAt1 - second.interval[0], first.interval[1] - first.passAt1),
    difference + reach(second.interval[1] - second.passAt1, first.passAt1 - first.interval[0]),
  ];
}

/**
 * The two evaluations that bracket RL: labels "base" and "final", or else the first and the last one on its problems.
 * Between different tasks there is no gain.
 */
export function bracket(
  evaluations: readonly EvaluationRecord[],
): [EvaluationRecord, EvaluationRecord] | null {
  const before = evaluations.find(({ label }) => label === "base") ?? evaluations[0];
  if (before === undefined) return null;
  const keys = new Set(before.tallies?.map(({ key }) => key));
  const alike = evaluations.filter(
    ({ task, tallies }) =>
      task === before.task && (keys.size === 0 || (tallies?.some(({ key }) => keys.has(key)) ?? true)),
  );
  const after = alike.find(({ label }) => label === "final") ?? alike.at(-1);
  // Stryker disable next-line ConditionalExpression: `before` itself is always alike
  return after === undefined || after === before ? null : [before, after];
}

/** The gain of one evaluation over another, with its interval. */
export interface Gain {
  mean: number;
  /** 95 %. */
  interval: [low: number, high: number];
  significant: boolean;
  /** "paired over 200 problems", or "not paired: " and why. */
  how: string;
  /** See `Difference`; `null` without pairs too. */
  problemsNeeded: number | null;
}

/** Paired if both have tallies of the same problems, or else as two independent evaluations. */
export function gainBetween(first: EvaluationRecord, second: EvaluationRecord): Gain {
  const compared = compareEvaluations(first, second);
  if (compared.paired) {
    const count = compared.problems.toLocaleString("en-US");
    return { ...compared.difference, how: `paired over ${count} problems` };
  }
  const interval = unpairedInterval(first, second);
  return {
    mean: second.passAt1 - first.passAt1,
    interval,
    // Stryker disable next-line EqualityOperator: an end of exactly 0 does not occur
    significant: interval[0] > 0 || interval[1] < 0,
    how: `not paired: ${compared.why}`,
    problemsNeeded: null,
  };
}

/** The number of completions with a score. */
const scoredCount = ({ right, wrong, unparsed }: ProblemTally): number => right + wrong + unparsed;
