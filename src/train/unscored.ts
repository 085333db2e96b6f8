/** Completions without a score: a person is told when the verifier fails, and when it is often ended. */
import { faultIn, wasEnded } from "../tasks/verdict.ts";
import type { Group } from "./rollout.ts";

/** More than this share ended is more than a few; that many completions say so. */
const FEW_ENDED = 0.03;
const LEAST_SAMPLES = 64;
/** Steps between two notices. */
const PAUSE = 50;

/** Counts since the last notice. */
export interface Unscored {
  steps: number;
  samples: number;
  ended: number;
  faults: number;
  /** The last fault. */
  reason: string;
  /** A notice was given before. */
  told: boolean;
}

export const noneUnscored = (told = false): Unscored => ({
  ...{ steps: 0, samples: 0, ended: 0, faults: 0 },
  ...{ reason: "", told },
});

/**
 * The notices that are due after a step with these groups, and the counts for the next one. A fault is told at once. Ended
 * verifiers are told when they are more than a few: an unscored completion leaves its group, so a policy that has learnt what
 * ends the verifier escapes its bad verdicts.
 */
export function unscoredNotices(
  before: Unscored,
  groups: readonly Group[],
): { notices: string[]; unscored: Unscored } {
  const verdicts = groups.flatMap(({ samples }) => samples.map(({ verdict }) => verdict));
  const reasons = verdicts.map(faultIn).filter((reason) => reason !== null);
  const unscored: Unscored = {
    steps: before.steps + 1,
    samples: before.samples + verdicts.length,
    ended: before.ended + verdicts.filter(wasEnded).length,
    faults: before.faults + reasons.length,
    reason: reasons.at(-1) ?? before.reason,
    told: before.told,
  };
  const { steps, samples, ended, faults, reason, told } = unscored;
  if (told && steps < PAUSE) return { notices: [], unscored };
  const often = ended / samples > FEW_ENDED && samples >= LEAST_SAMPLES;
  const notices = [
    ...(faults === 0
      ? []
      : [`The verifier failed on ${faults} of ${samples} completions, which have no score: ${reason}.`]),
    ...(often
      ? [
          `The verifier was ended on ${ended} of ${samples} completions (${Math.round((100 * ended) / samples)} %) that took too much time or memory. They have no score, and a policy can learn to escape a bad verdict so: make verify faster, or raise the task's timeLimit.`,
        ]
      : []),
  ];
  const begins = notices.length > 0 || steps >= PAUSE;
  return { notices, unscored: begins ? noneUnscored(notices.length > 0) : unscored };
}
