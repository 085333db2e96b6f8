/** Samples an evaluation's completions: one request a completion, each with its own random stream. */

import { encodeProblem } from "../data/prompt.ts";
import { userError } from "../lib/errors.ts";
import type { InferenceModel } from "../sample/inference.ts";
import type { GenerateOptions } from "../sample/requests.ts";
import type { Sampling } from "../sample/sampling.ts";
import { completionText } from "../tokenizer/stream.ts";
import { locateEquations } from "../train/rollout.ts";
import type { EvaluatedProblem } from "./problems.ts";

/** A completion as it is verified and stored: as plain data, without the model. */
export interface Completion {
  /** The problem's id. */
  problem: string;
  /** From 0; several rows of one problem count on. */
  sample: number;
  text: string;
  tokens: number;
  /** "length": it was cut off at the limit. */
  finish: "stop" | "length";
  /** Equations in the thought: position in tokens from the row's start, and whether each is true. */
  equations: { position: number; holds: boolean }[];
}

export interface SamplingSettings {
  seed: number;
  part: string;
  samples: number;
  sampling: Sampling;
  maxNewTokens: number;
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
  const { seed, part, samples, maxNewTokens, sampling } = settings;
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
  const { stopIds } = model.tokenizer;
  const partial = missing.map((): number[] => []);
  const end = (row: number, ids: readonly number[], finish: Completion["finish"]): void => {
    const { chosen, sample } = missing[row]!;
    const prompt = prompts.get(chosen)!;
    const completion: Completion = {
      problem: chosen.problem.id,
      sample,
      text: completionText(model.tokenizer, prompt, ids).text,
      tokens: ids.length,
      finish,
      equations: locateEquations(ids, prompt.length, model),
    };
    found.set(completionKey(completion.problem, sample), completion);
    hooks.onCompletion?.(completion);
  };
  let [flops, tokens] = [0, 0];
  if (missing.length > 0) {
    const result = await model.generate(
      missing.map(({ chosen, sample }) => ({
        prompt: prompts.get(chosen)!,
        maxNewTokens,
        key: [seed, "sample", part, chosen.index, sample],
      })),
      {
        ...{ sampling, stopIds, maxBatch: hooks.maxBatch, signal: hooks.signal },
        onToken: (row, id) => {
          const ids = partial[row]!;
          ids.push(id);
          hooks.onToken?.();
          if (stopIds.has(id)) end(row, ids, "stop");
          else if (ids.length >= maxNewTokens) end(row, ids, "length");
        },
      },
    );
    [flops, tokens] = [result.flops, result.tokens];
    for (const [row, { ids, finish }] of result.generations.entries())
      if (partial[row]!.length === 0) end(row, ids, finish);
  }
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
