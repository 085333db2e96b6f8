/** The experience of one RL step: problems, sampled completions, verdicts and rewards, group by group. */

import type { ModelShape } from "../checkpoint/folder.ts";
import type { GroupRecord } from "../events.ts";
import type { GenerateOptions } from "../sample/engine.ts";
import type { InferenceModel } from "../sample/inference.ts";
import type { Generation } from "../sample/scheduler.ts";
import type { Problem, StreamKey, Task, Verdict } from "../tasks/problem.ts";
import { equations } from "../tasks/thought-equations.ts";
import { beginIds } from "../tokenizer/around.ts";
import { chatOf, encodeChat } from "../tokenizer/chat.ts";
import { ChatTemplateError } from "../tokenizer/chat-template.ts";
import { completionText } from "../tokenizer/stream.ts";

export interface RewardOptions {
  accuracy: number;
  format: number;
  /** Weight of the share of true equations in the thought. */
  validity: number;
  /** DAPO's soft overlong punishment (2503.14476, eq. 13): from 0 to -penalty over the last `buffer` tokens. */
  overlong: { buffer: number; penalty: number } | null;
}

/** A reward's parts, each with its weight. */
export type RewardComponents = Record<"accuracy" | "format" | "validity" | "overlong", number>;

export interface Sample extends Generation {
  prompt: number[];
  text: string;
  verdict: Verdict;
  /** The sum of the components; `null`: unscored. */
  reward: number | null;
  components: RewardComponents;
  /** Equations in the thought: position of each in tokens from the row's start, and whether it is true. */
  equations: { position: number; holds: boolean }[];
}

export interface Group {
  problem: Problem;
  samples: Sample[];
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

/** The equations of a completion with their positions in tokens; `promptLength` tokens came before. */
export function locateEquations(
  ids: readonly number[],
  promptLength: number,
  model: ModelShape,
): Sample["equations"] {
  const { text, ends } = completionText(model.tokenizer, [], ids);
  const close = text.indexOf("</think>");
  const thought = close < 0 ? text : text.slice(0, close);
  let token = 0;
  return equations(thought).map(({ index, holds }) => {
    while (token < ends.length && ends[token] <= index) token++;
    return { position: promptLength + token, holds };
  });
}

export function judge(
  problem: Problem,
  generation: Generation,
  prompt: number[],
  task: Task,
  model: ModelShape,
  rewards: RewardOptions,
  limit: number,
): Sample {
  const { text } = completionText(model.tokenizer, prompt, generation.ids);
  const verdict = task.verify(problem, text);
  const found = locateEquations(generation.ids, prompt.length, model);
  const validity = found.length === 0 ? 0 : found.filter((e) => e.holds).length / found.length;
  const components: RewardComponents = {
    accuracy: rewards.accuracy * (verdict.value ?? 0),
    format: rewards.format * (verdict.format ? 1 : 0),
    validity: rewards.validity * validity,
    overlong: rewards.overlong === null ? 0 : overlongPenalty(generation.ids.length, limit, rewards.overlong),
  };
  const reward = verdict.value === null ? null : Object.values(components).reduce((a, b) => a + b, 0);
  return { ...generation, prompt, text, verdict, reward, components, equations: found };
}

export interface RolloutOptions {
  seed: number;
  split: StreamKey["split"];
  groupSize: number;
  maxNewTokens: number;
  temperature: number;
  topP?: number;
  topK?: number;
  slots?: number;
  rewards: RewardOptions;
  /** See `GenerateOptions.signal`. */
  signal?: GenerateOptions["signal"];
}

/** The prompt's ids: what the model's tokenizer begins a text with, then the template's text with its control tokens. */
export function encodePrompt(model: Pick<ModelShape, "tokenizer">, prompt: string): number[] {
  return [...beginIds(model.tokenizer), ...model.tokenizer.encode(prompt, { specials: true })];
}

/** A problem's prompt, for a chat model through its template. @throws ChatTemplateError where it has none */
export function encodeProblem(
  model: Pick<ModelShape, "tokenizer" | "tokenizerConfig">,
  { prompt, messages }: Problem,
): number[] {
  if (messages === undefined) return encodePrompt(model, prompt);
  const chat = chatOf(model.tokenizerConfig ?? {});
  if (chat === null)
    throw new ChatTemplateError({
      line: null,
      found: "the task asks for a chat, and the model has no chat template",
      remedy: "Set the task's template to plain or r1.",
    });
  return encodeChat(model.tokenizer, chat, messages, { addGenerationPrompt: true });
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
  const { temperature, topP, topK, slots, signal } = options;
  const { generations, flops, tokens } = await model.generate(requests, {
    temperature,
    topP,
    topK,
    slots,
    signal,
    stopIds: model.tokenizer.stopIds,
  });
  const groups = problems.map((problem, i) => ({
    problem,
    samples: generations
      .slice(i * options.groupSize, (i + 1) * options.groupSize)
      .map((generation) =>
        judge(problem, generation, prompts[i], task, model, options.rewards, options.maxNewTokens),
      ),
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
