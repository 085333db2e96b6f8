/**
 * `sputnik-r1/eval`: evaluations of a model on a task, pass@k with exact intervals, and paired comparisons.
 * @module sputnik-r1/eval
 */

export { type Comparison, compareEvaluations, unpairedInterval } from "../eval/compare.ts";
export { type EvaluateOptions, evaluate } from "../eval/evaluate.ts";
export { chooseProblems, type EvaluatedProblem, type ProblemChoice } from "../eval/problems.ts";
export {
  type CurvePoint,
  type Difference,
  type Interval,
  type Majority,
  majority,
  pairedDifference,
  passAt1,
  passAtK,
  passCurve,
  type ScoreEstimate,
  type Tally,
  type Vote,
} from "../eval/statistics.ts";
export type { EvaluationRecord, ProblemTally } from "../events.ts";
