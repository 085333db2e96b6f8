/** What a completion earns: a weighted sum of its parts, from its text, its verdict and its length alone. */
import type { Metrics } from "../events.ts";
import { extract } from "../tasks/extract.ts";
import type { Verdict } from "../tasks/problem.ts";
import { equations } from "../tasks/thought-equations.ts";

export interface RewardOptions {
  accuracy: number;
  format: number;
  /** Weight of the share of true equations in the thought. */
  validity: number;
  /** DAPO's soft overlong punishment (2503.14476, eq. 13): from 0 to -penalty over the last `buffer` tokens. */
  overlong: { buffer: number; penalty: number } | null;
}

const COMPONENTS = ["accuracy", "format", "validity", "overlong"] as const;

/** A reward's parts, each with its weight. */
export type RewardComponents = Record<(typeof COMPONENTS)[number], number>;

/** An equation of the thought: its position in tokens from the row's start, and whether it is true. */
export interface LocatedEquation {
  position: number;
  holds: boolean;
}

/** DAPO's penalty for a completion of `length` tokens with the limit `limit`: 0, then linear down to -penalty. */
export function overlongPenalty(
  length: number,
  limit: number,
  { buffer, penalty }: { buffer: number; penalty: number },
): number {
  const start = limit - buffer;
  return length <= start ? 0 : -penalty * Math.min(1, (length - start) / buffer);
}

/**
 * The equations of a completion's thought, as the verifier reads it. `ends[i]` is the length of the text that is known
 * with token i; `promptLength` tokens came before. An equation's position is that of the token that completes its
 * first character.
 */
export function thoughtEquations(
  { text, ends }: { text: string; ends: readonly number[] },
  promptLength: number,
): LocatedEquation[] {
  const { thought, thoughtStart } = extract(text, { thoughtOpen: true });
  let token = 0;
  return equations(thought).map(({ index, holds }) => {
    while (token < ends.length && ends[token] <= thoughtStart + index) token++;
    return { position: promptLength + token, holds };
  });
}

/** The parts of a completion of `length` tokens with the limit `limit`; a thought without equations has no valid share. */
export function rewardComponents(
  verdict: Pick<Verdict, "value" | "format">,
  found: readonly Pick<LocatedEquation, "holds">[],
  { length, limit }: { length: number; limit: number },
  rewards: RewardOptions,
): RewardComponents {
  const validity = found.length === 0 ? 0 : found.filter(({ holds }) => holds).length / found.length;
  return {
    accuracy: rewards.accuracy * (verdict.value ?? 0),
    format: rewards.format * (verdict.format ? 1 : 0),
    validity: rewards.validity * validity,
    overlong: rewards.overlong === null ? 0 : overlongPenalty(length, limit, rewards.overlong),
  };
}

/** The sum of the parts; `null` where the verifier gave no value: such a sample leaves its group. */
export function totalReward(verdict: Pick<Verdict, "value">, components: RewardComponents): number | null {
  return verdict.value === null ? null : COMPONENTS.reduce((sum, name) => sum + components[name], 0);
}

const mean = (values: readonly number[]): number | null =>
  values.length === 0 ? null : values.reduce((a, b) => a + b, 0) / values.length;

/**
 * The rewards of a step, over its scored samples: the parts' means add up to the mean reward. `format` is the share
 * that kept the template, whatever that pays. The others are counts over all samples: without a score, without an
 * answer that could be read, and ended because their verifier took too long or too much memory.
 */
export function rewardMetrics(
  samples: readonly { verdict: Verdict; reward: number | null; components: RewardComponents }[],
): Metrics {
  const scored = samples.filter(({ reward }) => reward !== null);
  const count = (is: (verdict: Verdict) => boolean) => samples.filter(({ verdict }) => is(verdict)).length;
  return {
    "reward/mean": mean(scored.map(({ reward }) => reward as number)),
    ...Object.fromEntries(
      COMPONENTS.map((name) => [`reward/${name}`, mean(scored.map(({ components }) => components[name]))]),
    ),
    pass1: mean(scored.map(({ verdict }) => verdict.value as number)),
    format: mean(scored.map(({ verdict }) => (verdict.format ? 1 : 0))),
    unscored: samples.length - scored.length,
    unparsed: count(({ kind }) => kind === "unparsed"),
    "verifier/ended": count(({ reason }) => reason === "timeout" || reason === "memory"),
  };
}
