/** How many groups carry a signal: the forecast from a pass rate, and the notice where it is few of them. */

import { hasSignal } from "./advantages.ts";
import type { Group } from "./rollout.ts";

/** From this share of cut completions on, the remedy is to raise maxNewTokens. */
export const CUT_LIMIT = 0.5;

/** Below this share of groups with a signal, most of what is sampled teaches nothing, and the person is told. */
export const FEW_SIGNALS = 0.5;

/** Groups that a notice is drawn from, at least, and steps between two notices. */
const LEAST_GROUPS = 24;
const PAUSE = 50;

/** Counted over steps since the last notice. */
export interface Signals {
  steps: number;
  groups: number;
  informative: number;
  samples: number;
  scored: number;
  right: number;
  cut: number;
  /** A notice was given before. */
  told: boolean;
}

export const noSignals = (told = false): Signals => ({
  ...{ steps: 0, groups: 0, informative: 0, samples: 0, scored: 0, right: 0, cut: 0 },
  told,
});

/** With one more step's groups. */
export function countSignals(before: Signals, groups: readonly Group[]): Signals {
  const samples = groups.flatMap((group) => group.samples);
  const count = (holds: (sample: (typeof samples)[number]) => boolean): number =>
    samples.filter(holds).length;
  return {
    steps: before.steps + 1,
    groups: before.groups + groups.length,
    informative: before.informative + groups.filter((g) => hasSignal(g.samples.map((s) => s.reward))).length,
    samples: before.samples + samples.length,
    scored: before.scored + count((s) => s.verdict.value !== null),
    right: before.right + count((s) => s.verdict.value === 1),
    cut: before.cut + count((s) => s.finish === "length"),
    told: before.told,
  };
}

/**
 * 1 - p^G - (1 - p)^G: the share of groups of G samples that are neither all right nor all wrong, where each sample is
 * right with probability p. Problems of different difficulty give less.
 */
export const signalShare = (passRate: number, groupSize: number): number =>
  1 - passRate ** groupSize - (1 - passRate) ** groupSize;

export const percent = (share: number): string => `${Math.round(100 * share)} %`;

/** Below this share even a group four times as large is no remedy. */
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

/** The notice that is due after a step, and what is counted from then on. `last`: the stage ends with this step. */
export function fewSignals(
  signals: Signals,
  { groupSize, last, redrawn }: { groupSize: number; last: boolean; redrawn?: boolean },
): { notices: string[]; signals: Signals } {
  const { steps, groups, informative: carrying, told } = signals;
  const enough = told ? steps >= PAUSE : groups >= LEAST_GROUPS || last;
  // Where no group carries one, `whyNothingWasLearned` speaks.
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
