/** Samples an evaluation's completions: one request a completion, each with its own random stream. */

import { type Sampled, sampleConversations } from "../data/conversation.ts";
import { encodeProblem } from "../data/prompt.ts";
import { userError } from "../lib/errors.ts";
import type { InferenceModel } from "../sample/inference.ts";
import type { GenerateOptions } from "../sample/requests.ts";
import type { Sampling } from "../sample/sampling.ts";
import type { Task } from "../tasks/problem.ts";
import { type LocatedStep, locateSteps } from "../tasks/steps.ts";
import type { EvaluatedProblem } from "./problems.ts";

/** A completion as it is verified and stored: as plain data, without the model. */
export interface Completion {
  /** The problem's id. */
  problem: string;
  /** From 0; several rows of one problem count on. */
  sample: number;
  /** Of an environment: the conversation, for people to read. */
  text: string;
  /** Tokens that the model sampled. */
  tokens: number;
  /** Of an environment: the model's completions, from which the conversation is judged again. */
  turns?: string[];
  /** "length": it was cut off at the limit. */
  finish: "stop" | "length";
  /** Checked steps of the thought; none where the task checks none. */
  steps: LocatedStep[];
}

export interface SamplingSettings {
  seed: number;
  part: string;
  samples: number;
  sampling: Sampling;
  maxNewTokens: number;
  /** The parts of the task that sampling needs; a problem has one turn without them. */
  task?: Pick<Task, "checkSteps" | "environment">;
}

export interface SampleHooks {
  /** Rows decoded together, at most. */
  maxBatch?: number;
  signal?: GenerateOptions["signal"];
  /** Called as each completion ends, in the order of ending. */
  onCompletion?: (completion: Completion) => void;
  /** Called for every token. */
  onToken?: () => void;
}

export const completionKey = (problem: string, sample: number): string => `${sample} ${problem}`;

/**
 * Samples the completions that `known` lacks. A completion depends only on the problem, its number and the settings, so
 * an interrupted evaluation can be continued. An error of `signal` reaches the caller, after `onCompletion` got the
 * completions that had ended.
 */
export async function sampleCompletions(
  model: InferenceModel,
  problems: readonly EvaluatedProblem[],
  settings: SamplingSettings,
  hooks: SampleHooks = {},
  known: ReadonlyMap<string, Completion> = new Map(),
): Promise<{ completions: Completion[]; flops: number; tokens: number }> {
  const { seed, part, samples, maxNewTokens, sampling, task = {} } = settings;
  const { checkSteps } = task;
  const wanted = problems.flatMap((chosen) =>
    Array.from({ length: samples * chosen.copies }, (_, sample) => ({ chosen, sample })),
  );
  const found = new Map(known);
  const missing = wanted.filter(({ chosen, sample }) => !found.has(completionKey(chosen.problem.id, sample)));
  const prompts = new Map(
    [...new Set(missing.map(({ chosen }) => chosen))].map((chosen) => [
      chosen,
      encodeProblem(model, chosen.problem),
    ]),
  );
  const onEnd = (row: number, { text, tokens, finish, ends, spoken }: Sampled): void => {
    const { chosen, sample } = missing[row]!;
    const completion: Completion = {
      problem: chosen.problem.id,
      ...{ sample, text, tokens, finish },
      steps: locateSteps(checkSteps?.(text) ?? [], ends, prompts.get(chosen)!.length),
      ...(spoken !== null && { turns: [...spoken.completions] }),
    };
    found.set(completionKey(completion.problem, sample), completion);
    hooks.onCompletion?.(completion);
  };
  const requests = missing.map(({ chosen, sample }) => ({
    problem: chosen.problem,
    prompt: prompts.get(chosen)!,
    key: [seed, "sample", part, chosen.index, sample],
  }));
  const { maxBatch, signal, onToken } = hooks;
  const limits = { sampling, maxNewTokens, maxBatch, signal, onToken, onEnd };
  const { flops, tokens } = await sampleConversations(model, task, requests, limits);
  const completions = wanted.map(
    ({ chosen, sample }) => found.get(completionKey(chosen.problem.id, sample))!,
  );
  return { completions, flops, tokens };
}

/** The longest prompt in tokens, with the problem that has it. */
export function longestPrompt(
  model: Parameters<typeof encodeProblem>[0],
  problems: readonly EvaluatedProblem[],
): { tokens: number; id: string } {
  if (problems.length === 0) throw userError("evaluation", "There is no problem.", "Ask for at least one.");
  return problems
    .map(({ problem }) => ({ tokens: encodeProblem(model, problem).length, id: problem.id }))
    .reduce((a, b) => (b.tokens > a.tokens ? b : a));
}
