/** The experience of one RL step: problems, sampled completions, verdicts and rewards, group by group. */

import type { ModelShape } from "../checkpoint/folder.ts";
import { encodeProblem } from "../data/prompt.ts";
import type { GroupRecord } from "../events.ts";
import type { InferenceModel } from "../sample/inference.ts";
import type { GenerateOptions, Generation } from "../sample/requests.ts";
import type { Sampling } from "../sample/sampling.ts";
import type { Problem, StreamKey, Task, Verdict } from "../tasks/problem.ts";
import { checkedVerdict } from "../tasks/verdict.ts";
import { completionText } from "../tokenizer/stream.ts";
import {
  type LocatedEquation,
  type RewardComponents,
  type RewardOptions,
  rewardComponents,
  thoughtEquations,
  totalReward,
} from "./rewards.ts";

export { overlongPenalty, type RewardComponents, type RewardOptions } from "./rewards.ts";

export interface Sample extends Generation {
  prompt: number[];
  text: string;
  verdict: Verdict;
  /** The sum of the components; `null`: unscored. */
  reward: number | null;
  components: RewardComponents;
  /** Equations in the thought. */
  equations: LocatedEquation[];
}

export interface Group {
  problem: Problem;
  samples: Sample[];
}

/** The equations of a completion with their positions in tokens; `promptLength` tokens came before. */
export function locateEquations(
  ids: readonly number[],
  promptLength: number,
  model: Pick<ModelShape, "tokenizer">,
): LocatedEquation[] {
  return thoughtEquations(completionText(model.tokenizer, [], ids), promptLength);
}

export function judge(
  problem: Problem,
  generation: Generation,
  prompt: number[],
  task: Pick<Task, "verify">,
  model: Pick<ModelShape, "tokenizer">,
  rewards: RewardOptions,
  limit: number,
): Sample {
  const decoded = completionText(model.tokenizer, prompt, generation.ids);
  const verdict = checkedVerdict(() => task.verify(problem, decoded.text));
  const found = thoughtEquations(decoded, prompt.length);
  const components = rewardComponents(verdict, found, { length: generation.ids.length, limit }, rewards);
  const reward = totalReward(verdict, components);
  return { ...generation, prompt, text: decoded.text, verdict, reward, components, equations: found };
}

export interface RolloutOptions {
  seed: number;
  split: StreamKey["split"];
  groupSize: number;
  maxNewTokens: number;
  sampling: Sampling;
  maxBatch?: number;
  rewards: RewardOptions;
  /** See `GenerateOptions.signal`. */
  signal?: GenerateOptions["signal"];
}

/** Samples `groupSize` completions for each problem index in turn and judges them. */
export async function rollout(
  model: InferenceModel,
  task: Task,
  indices: readonly number[],
  options: RolloutOptions,
): Promise<{ groups: Group[]; flops: number; tokens: number }> {
  const problems = indices.map((index) => task.generate({ seed: options.seed, split: options.split, index }));
  const prompts = problems.map((problem) => encodeProblem(model, problem));
  const requests = indices.flatMap((index, i) =>
    Array.from({ length: options.groupSize }, (_, sample) => ({
      prompt: prompts[i],
      maxNewTokens: options.maxNewTokens,
      key: [options.seed, "sample", options.split, index, sample],
    })),
  );
  const { sampling, maxBatch, signal } = options;
  const { generations, flops, tokens } = await model.generate(requests, {
    sampling,
    maxBatch,
    signal,
    stopIds: model.tokenizer.stopIds,
  });
  const groupOf = (sample: number): number => Math.floor(sample / options.groupSize);
  // A verifier that may hang judges all of them in threads that can be ended.
  const verdicts = await task.verifyAll?.(
    generations.map(({ ids }, i) => ({
      problem: problems[groupOf(i)],
      completion: completionText(model.tokenizer, prompts[groupOf(i)], ids).text,
    })),
  );
  const samples = generations.map((generation, i) => {
    const own = groupOf(i);
    const verifier = verdicts === undefined ? task : { verify: () => verdicts[i] };
    return judge(
      problems[own],
      generation,
      prompts[own],
      verifier,
      model,
      options.rewards,
      options.maxNewTokens,
    );
  });
  const groups = problems.map((problem, i) => ({
    problem,
    samples: samples.slice(i * options.groupSize, (i + 1) * options.groupSize),
  }));
  return { groups, flops, tokens };
}

/** A group as the page and the journal show it. */
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
