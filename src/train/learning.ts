/** Whether a run learns: counts the groups that carry a signal, and tells a person the cause and the remedy. */
import { hasSignal } from "./advantages.ts";
import type { GrpoOptions } from "./options.ts";
import type { Group } from "./rollout.ts";
import { type Unscored, unscoredNotices } from "./unscored.ts";

/** From this fraction of cut completions on, the remedy is to raise maxNewTokens. */
export const CUT_LIMIT = 0.5;

/** Below this fraction of groups with a signal, most samples teach nothing, and the person is told. */
export const FEW_SIGNALS = 0.5;

/** Groups that a notice is drawn from, at least, and steps between two notices. */
const LEAST_GROUPS = 24;
const PAUSE = 50;

/** Counts of the steps since the last notice. */
export interface Signals {
  steps: number;
  groups: number;
  /** Groups whose rewards differ. */
  withSignal: number;
  samples: number;
  scored: number;
  right: number;
  cut: number;
  /** A notice was given before. */
  told: boolean;
}

export const noSignals = (told = false): Signals => ({
  ...{ steps: 0, groups: 0, withSignal: 0, samples: 0, scored: 0, right: 0, cut: 0 },
  told,
});

/** Counts as a checkpoint holds them, perhaps one of an older version, which had none or another name for `withSignal`. */
export function signalsFrom(stored: Partial<Signals> & { informative?: number } = {}): Signals {
  const { informative: withSignal = 0, ...signals } = stored;
  return { ...noSignals(), withSignal, ...signals };
}

/** With one more step's groups. */
export function countSignals(before: Signals, groups: readonly Group[]): Signals {
  const samples = groups.flatMap((group) => group.samples);
  const count = (holds: (sample: (typeof samples)[number]) => boolean): number =>
    samples.filter(holds).length;
  return {
    steps: before.steps + 1,
    groups: before.groups + groups.length,
    withSignal: before.withSignal + groups.filter((g) => hasSignal(g.samples.map((s) => s.reward))).length,
    samples: before.samples + samples.length,
    scored: before.scored + count((s) => s.verdict.value !== null),
    right: before.right + count((s) => s.verdict.value === 1),
    cut: before.cut + count((s) => s.finish === "length"),
    told: before.told,
  };
}

/**
 * 1 - p^G - (1 - p)^G: the fraction of groups of G samples that are neither all right nor all wrong, where each sample is
 * right with probability p. Problems of different difficulty give less.
 */
export const signalShare = (passRate: number, groupSize: number): number =>
  1 - passRate ** groupSize - (1 - passRate) ** groupSize;

export const percent = (share: number): string => `${Math.round(100 * share)} %`;

/** Below this fraction even a group four times as large is no remedy. */
const HOPELESS = 0.25;

/**
 * What to do about few signals, in a sentence without its end.
 * @param redrawn dynamic sampling draws further problems already
 */
export function signalRemedy(pass1: number, groupSize: number, cut: number, redrawn = false): string {
  if (cut > CUT_LIMIT) return `${percent(cut)} of the completions are cut off: raise maxNewTokens`;
  if (pass1 > 0.5) return `at a pass@1 of ${percent(pass1)} make the task harder, or sample larger groups`;
  const larger = [2, 4, 8].map((times) => times * groupSize);
  const size = larger.find((groups) => signalShare(pass1, groups) >= 0.75) ?? larger[1];
  const share = signalShare(pass1, size);
  if (share < HOPELESS)
    return `at a pass@1 of ${percent(pass1)} even groups of ${size} would carry one in only ${percent(share)}: make the task easier, or train the base longer`;
  const further = redrawn
    ? ", or make the task easier"
    : ", make the task easier, or draw further problems with dynamicSampling";
  return `at a pass@1 of ${percent(pass1)}, groups of ${size} would carry one in about ${percent(share)}: raise groupSize (now ${groupSize})${further}`;
}

/** The notice that is due after a step, and the counts for the next one. `last`: the stage ends with this step. */
export function fewSignals(
  signals: Signals,
  { groupSize, last, redrawn }: { groupSize: number; last: boolean; redrawn?: boolean },
): { notices: string[]; signals: Signals } {
  const { steps, groups, withSignal: carrying, told } = signals;
  const enough = told ? steps >= PAUSE : groups >= LEAST_GROUPS || last;
  // `whyNothingWasLearned` gives the notice where no group carries one.
  if (!enough || carrying === 0) return { notices: [], signals };
  const share = carrying / groups;
  if (share >= FEW_SIGNALS) return { notices: [], signals: steps >= PAUSE ? noSignals(told) : signals };
  const pass1 = signals.scored === 0 ? 0 : signals.right / signals.scored;
  return {
    notices: [
      `Only ${carrying} of ${groups} groups (${percent(share)}) of the last ${steps} steps carried a signal: in the others all rewards are equal, and they teach nothing; ${signalRemedy(pass1, groupSize, signals.cut / signals.samples, redrawn)}.`,
    ],
    signals: noSignals(true),
  };
}

/** Steps without a signal before the person is told. */
const PATIENCE = 3;

const sharesOf = ({ samples, groups, scored, cut, withSignal, right }: Signals) => ({
  truncated: cut / Math.max(1, samples),
  withSignal: withSignal / Math.max(1, groups),
  pass1: right / Math.max(1, scored),
});

/** In words, with the remedy; empty while the run can learn. */
export function whyNothingWasLearned(
  { truncated, withSignal, pass1 }: ReturnType<typeof sharesOf>,
  idleSteps: number,
  maxNewTokens: number,
): string[] {
  // There were groups with a signal, so only the mask over truncated samples can have left nothing: said at once.
  const allMasked = withSignal > 0;
  const due = idleSteps > 0 && (idleSteps % PATIENCE === 0 || (allMasked && idleSteps === 1));
  if (!due) return [];
  const facts = `truncated ${percent(truncated)}, groups with a signal ${percent(withSignal)}, pass@1 ${percent(pass1)}`;
  const cause = allMasked
    ? "all samples were cut off, and overlong: mask leaves those out"
    : "in each group all rewards are equal";
  const remedy =
    truncated > CUT_LIMIT
      ? `Completions are cut off at ${maxNewTokens} tokens, before their answer: raise maxNewTokens.`
      : pass1 > 0.5
        ? `${pass1 === 1 ? "Every problem is" : "Most problems are"} solved by all samples: make the task harder.`
        : "No sample earns a reward: train the base longer, make the task easier, or sample larger groups.";
  const since = idleSteps === 1 ? "in this step" : `for ${idleSteps} steps`;
  return [`Nothing was learned ${since}: ${cause} (${facts}). ${remedy}`];
}

/** What a stage remembers from step to step, to notice that it learns little or nothing. */
export interface LearningState {
  /** Steps in a row in which nothing could be learned. */
  idleSteps: number;
  signals: Signals;
  unscored: Unscored;
}

/** The notices that are due after a step. `learned`: some row had an advantage; `last`: the stage ends with this step. */
export function learningNotices(
  before: LearningState,
  step: { groups: readonly Group[]; learned: boolean; last: boolean },
  { groupSize, maxNewTokens, dynamicSampling }: GrpoOptions,
): { notices: string[]; state: LearningState } {
  const idleSteps = step.learned ? 0 : before.idleSteps + 1;
  const few = fewSignals(countSignals(before.signals, step.groups), {
    ...{ groupSize, last: step.last, redrawn: dynamicSampling !== undefined },
  });
  const { notices, unscored } = unscoredNotices(before.unscored, step.groups);
  const shares = sharesOf(countSignals(noSignals(), step.groups));
  return {
    notices: [...whyNothingWasLearned(shares, idleSteps, maxNewTokens), ...few.notices, ...notices],
    state: { idleSteps, signals: few.signals, unscored },
  };
}
