/** The rollout of one RL step: problems, sampled completions, verdicts and rewards, group by group. */
import { encodeProblem } from "../data/prompt.ts";
import type { GroupRecord, Metrics } from "../events.ts";
import type { InferenceModel } from "../sample/inference.ts";
import type { Generation } from "../sample/requests.ts";
import type { Sampling } from "../sample/sampling.ts";
import type { Problem, Task, Verdict } from "../tasks/problem.ts";
import { type LocatedStep, locateSteps, validityByPosition } from "../tasks/steps.ts";
import { fault, verdictsOf, wasEnded } from "../tasks/verdict.ts";
import { completionText } from "../tokenizer/stream.ts";
import { hasSignal } from "./advantages.ts";
import { Meter } from "./meter.ts";
import { scoreCompletion, type WeightedReward } from "./rewards.ts";

/** A completion with its verdict and its reward. */
export interface Sample extends Generation {
  prompt: number[];
  text: string;
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
  rewards: readonly WeightedReward[];
}

/** A verified completion with its checked steps and its reward. */
export function rewardedSample(
  task: Pick<Task, "checkSteps">,
  completion: {
    problem: Problem;
    prompt: number[];
    completion: string;
    /** Of each token, the length of the text that is known with it. */
    ends: readonly number[];
    generation: Generation;
    verdict: Verdict;
  },
  { rewards, maxNewTokens }: Pick<RolloutOptions, "rewards" | "maxNewTokens">,
): Sample {
  const { problem, prompt, completion: text, ends, generation, verdict } = completion;
  const steps = task.checkSteps?.(text);
  const tokens = generation.ids.length;
  const checked = { text, verdict, steps: steps ?? [], tokens, maxNewTokens };
  return {
    ...{ ...generation, prompt, text, verdict },
    ...scoreOrFault(rewards, problem, checked),
    steps: steps === undefined ? null : locateSteps(steps, ends, prompt.length),
  };
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
  const { seed, groupSize, maxNewTokens, sampling, maxBatch } = options;
  const problems = indices.map((index) => task.generate({ seed, split: "train", index }));
  const prompts = problems.map((problem) => encodeProblem(model, problem));
  const requests = indices.flatMap((index, i) =>
    Array.from({ length: groupSize }, (_, sample) => ({
      prompt: prompts[i],
      maxNewTokens,
      key: [seed, "sample", "train", index, sample],
    })),
  );
  const { stopIds } = model.tokenizer;
  const { generations } = await model.generate(requests, { sampling, maxBatch, stopIds });
  const items = generations.map(({ ids }, i) => {
    const group = Math.floor(i / groupSize);
    const { text, ends } = completionText(model.tokenizer, prompts[group], ids);
    return { problem: problems[group], prompt: prompts[group], completion: text, ends };
  });
  const verdicts = await verdictsOf(task, items);
  const samples = generations.map((generation, i) =>
    rewardedSample(task, { ...items[i], generation, verdict: verdicts[i] }, options),
  );
  return problems.map((problem, i) => ({
    problem,
    samples: samples.slice(i * groupSize, (i + 1) * groupSize),
  }));
}

/**
 * Metrics of the samples. Rewards are means over scored samples: the components' means add up to the mean reward.
 * `format` is the fraction that kept the template, whatever that pays. Counts are over all samples: without a score, without
 * an answer that could be read, and those whose verifier was ended for taking too long or too much memory.
 */
export function rolloutMetrics(groups: readonly Group[]): Metrics {
  const meter = new Meter([
    ...["reward/mean", "pass@1", "format", "length/min", "length/max", "length/mean", "truncated"],
    ...["length/mean-finished", "length/min-finished", "groups/signal"],
  ]);
  for (const { samples } of groups) {
    meter.mean("groups/signal", hasSignal(samples.map(({ reward }) => reward)) ? 1 : 0);
    for (const { ids, finish, verdict, reward, components, steps } of samples) {
      meter.mean("length/mean", ids.length);
      meter.min("length/min", ids.length);
      meter.max("length/max", ids.length);
      // The length of a truncated completion is the limit's.
      if (finish === "stop") {
        meter.mean("length/mean-finished", ids.length);
        meter.min("length/min-finished", ids.length);
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
  return meter.metrics();
}

/** A group as the page and the journal show it; a sample's advantage is the mean over its tokens. */
export function groupRecord(group: Group, advantages: readonly number[]): GroupRecord {
  return {
    problem: group.problem.id,
    prompt: group.problem.prompt,
    samples: group.samples.map((sample, i) => ({
      completion: sample.text,
      tokens: sample.ids.length,
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
