/** The rollout of one RL step: problems, sampled completions, verdicts and rewards, group by group. */
import { type Sampled, sampleConversations } from "../data/conversation.ts";
import { encodeProblem } from "../data/prompt.ts";
import type { GroupRecord, Metrics } from "../events.ts";
import { Random } from "../lib/random.ts";
import type { InferenceModel } from "../sample/inference.ts";
import type { Sampling } from "../sample/sampling.ts";
import { problemLevel } from "../tasks/curriculum.ts";
import { atEffort } from "../tasks/effort.ts";
import type { Problem, Task, Verdict } from "../tasks/problem.ts";
import { type LocatedStep, locateSteps, validityByPosition } from "../tasks/steps.ts";
import { fault, verdictsOf, wasEnded } from "../tasks/verdict.ts";
import { hasSignal } from "./advantages.ts";
import { type EffortOptions, effortMetrics, placeOf } from "./effort.ts";
import { Meter } from "./meter.ts";
import { scoreCompletion, type WeightedReward } from "./rewards.ts";

/** A completion, or an environment's conversation, with its verdict and its reward. */
export interface Sample extends Sampled {
  prompt: number[];
  verdict: Verdict;
  /** The sum of the components; `null`: unscored. */
  reward: number | null;
  /** Weighted rewards by name. */
  components: Readonly<Record<string, number>>;
  /** Checked steps of the thought; `null` where the task checks none. */
  steps: readonly LocatedStep[] | null;
}

/** A problem with all of its completions, which are compared with each other. */
export interface Group {
  problem: Problem;
  samples: Sample[];
}

/** How completions are sampled and rewarded. */
export interface RolloutOptions {
  seed: number;
  groupSize: number;
  maxNewTokens: number;
  sampling: Sampling;
  maxBatch?: number;
  /** Of the problems, where the task has a curriculum. */
  level?: number;
  rewards: readonly WeightedReward[];
  /** Each problem is asked at each of its levels, in groups that follow one another. */
  effort?: EffortOptions;
}

/** What was sampled and verified, with its checked steps and its reward. */
export function rewardedSample(
  task: Pick<Task, "checkSteps">,
  { problem, prompt, sampled, verdict }: SampledProblem & { verdict: Verdict },
  { rewards, maxNewTokens }: Pick<RolloutOptions, "rewards" | "maxNewTokens">,
): Sample {
  const { tokens, ends, spoken } = sampled;
  // What an environment says earns nothing.
  const text = spoken === null ? sampled.text : spoken.completions.join("\n");
  const steps = task.checkSteps?.(text);
  const turns = spoken === null ? {} : { turns: spoken.completions };
  const checked = { text, verdict, steps: steps ?? [], tokens, maxNewTokens, ...turns };
  return {
    ...{ ...sampled, prompt, verdict },
    ...scoreOrFault(rewards, problem, checked),
    steps: steps === undefined ? null : locateSteps(steps, ends, prompt.length),
  };
}

interface SampledProblem {
  problem: Problem;
  prompt: number[];
  sampled: Sampled;
}

/** A reward that fails leaves the completion unscored, as a verifier that fails does. */
function scoreOrFault(
  ...args: Parameters<typeof scoreCompletion>
): Partial<Sample> & Pick<Sample, "reward" | "components"> {
  try {
    return scoreCompletion(...args);
  } catch (error) {
    return { reward: null, components: {}, verdict: fault(error) };
  }
}

/** Samples `groupSize` completions of each of these training problems, verifies them and computes their rewards. */
export async function rollout(
  model: InferenceModel,
  task: Task,
  indices: readonly number[],
  options: RolloutOptions,
): Promise<Group[]> {
  const { seed, groupSize, maxNewTokens, sampling, maxBatch, level } = options;
  const problems = indices.map((place) => {
    const { index, effort } = placeOf(place, options.effort);
    const own = level === undefined ? {} : { level: problemLevel(level, new Random(seed, "level", index)) };
    return atEffort(task.generate({ seed, split: "train", index, ...own }), effort);
  });
  const prompts = problems.map((problem) => encodeProblem(model, problem));
  const requests = indices.flatMap((index, i) =>
    Array.from({ length: groupSize }, (_, sample) => ({
      ...{ problem: problems[i], prompt: prompts[i] },
      key: [seed, "sample", "train", index, sample],
    })),
  );
  const { sampled } = await sampleConversations(model, task, requests, { maxNewTokens, sampling, maxBatch });
  const verdicts = await verdictsFor(
    task,
    requests.map((request, i) => ({ ...request, sampled: sampled[i] })),
  );
  const samples = requests.map((request, i) =>
    rewardedSample(task, { ...request, sampled: sampled[i], verdict: verdicts[i] }, options),
  );
  return problems.map((problem, i) => ({
    problem,
    samples: samples.slice(i * groupSize, (i + 1) * groupSize),
  }));
}

/** An environment has judged its conversations already. */
async function verdictsFor(task: Task, items: readonly SampledProblem[]): Promise<Verdict[]> {
  if (task.environment !== undefined) return items.map(({ sampled }) => sampled.spoken!.verdict);
  return verdictsOf(
    task,
    items.map(({ problem, sampled }) => ({ problem, completion: sampled.text })),
  );
}

/**
 * Metrics of the samples. Rewards are means over scored samples: the components' means add up to the mean reward.
 * `format` is the fraction that kept the template, whatever that pays. Counts are over all samples: without a score, without
 * an answer that could be read, and those whose verifier was ended for taking too long or too much memory. Lengths are of what
 * the model sampled, without an environment's replies.
 */
export function rolloutMetrics(groups: readonly Group[]): Metrics {
  const meter = new Meter([
    ...["reward/mean", "pass@1", "format", "length/min", "length/max", "length/mean", "truncated"],
    ...["length/mean-finished", "length/min-finished", "groups/signal"],
  ]);
  for (const { samples } of groups) {
    meter.mean("groups/signal", hasSignal(samples.map(({ reward }) => reward)) ? 1 : 0);
    for (const { tokens, finish, spoken, verdict, reward, components, steps } of samples) {
      meter.mean("length/mean", tokens);
      meter.min("length/min", tokens);
      meter.max("length/max", tokens);
      // The length of a truncated completion is the limit's.
      if (finish === "stop") {
        meter.mean("length/mean-finished", tokens);
        meter.min("length/min-finished", tokens);
      }
      if (spoken !== null) {
        meter.mean("turns/mean", spoken.completions.length);
        meter.mean("turns/limit", spoken.turnLimit ? 1 : 0);
      }
      meter.mean("truncated", finish === "length" ? 1 : 0);
      meter.sum("unscored", reward === null ? 1 : 0);
      meter.sum("unparsed", verdict.kind === "unparsed" ? 1 : 0);
      meter.sum("verifier/ended", wasEnded(verdict) ? 1 : 0);
      const scored = reward === null ? 0 : 1;
      meter.mean("reward/mean", reward ?? 0, scored);
      for (const [name, value] of Object.entries(components))
        meter.mean(`reward/${name}`, scored * value, scored);
      meter.mean("pass@1", scored * (verdict.value ?? 0), scored);
      meter.mean("format", scored * (verdict.format ? 1 : 0), scored);
      // The thought must not become decoration while the score rises.
      if (steps !== null) meter.mean("validity", steps.filter(({ holds }) => holds).length, steps.length);
    }
  }
  const located = groups.flatMap(({ samples }) => samples.map(({ steps }) => ({ steps: steps ?? [] })));
  for (const { from, to, share } of validityByPosition(located))
    meter.mean(`validity/${from}-${to - 1}`, share);
  return { ...meter.metrics(), ...effortMetrics(groups) };
}

/** A group as the page and the journal show it; a sample's advantage is the mean over its tokens. */
export function groupRecord(group: Group, advantages: readonly number[]): GroupRecord {
  return {
    problem: group.problem.id,
    prompt: group.problem.prompt,
    samples: group.samples.map((sample, i) => ({
      completion: sample.text,
      tokens: sample.tokens,
      verdict: sample.verdict,
      reward: sample.reward,
      advantage: advantages[i],
    })),
  };
}

/** Groups kept for the page and the journal. */
const SHOWN_GROUPS = 2;

/** The first groups that carry a signal, then the first ones that do not. */
export function shown<T extends { advantages: readonly number[] }>(all: readonly T[]): T[] {
  const teaches = ({ advantages: own }: T): boolean => own.some((advantage) => advantage !== 0);
  return [...all.filter(teaches), ...all.filter((one) => !teaches(one))].slice(0, SHOWN_GROUPS);
}
