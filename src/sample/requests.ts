/** What a sampler is asked for and what it returns, and which requests it refuses before it computes anything. */
import { UserError } from "../lib/errors.ts";
import type { ModelConfig } from "../models/architectures.ts";
import { usablePositions } from "../models/rope.ts";
import type { Value } from "../runtime/value.ts";
import type { Sampling } from "./sampling.ts";

/** Rows decoded together, at most, unless a call or a recipe gives another number. */
export const MAX_BATCH = 128;

/** One completion that is wanted. */
export interface GenerationRequest {
  /** Prompt ids, at least one. */
  prompt: readonly number[];
  maxNewTokens: number;
  /** Names the request's random stream: the same key gives the same tokens, whatever other requests share the batch. */
  key: readonly (string | number)[];
  /** Called with each token as it is sampled; `true` ends the completion with it, as a stop id does. */
  ends?: (id: number) => boolean;
}

/** What holds for all requests of a call. */
export interface GenerateOptions {
  sampling: Sampling;
  stopIds: ReadonlySet<number>;
  /** Rows decoded together, at most; default `MAX_BATCH`. */
  maxBatch?: number;
  /** The model's parameters, for a sampler whose weights are given per call. */
  parameters?: ReadonlyMap<string, Value>;
  /** Called for each token as it is sampled. */
  onToken?: (requestIndex: number, id: number, logProb: number) => void;
  /** Asked before each run of a graph: an `AbortSignal`, or anything that throws when it is time to stop. */
  signal?: Pick<AbortSignal, "throwIfAborted">;
}

/** One completion as token ids. */
export interface Generation {
  /** Sampled ids, with the stop id at the end where there is one. */
  ids: number[];
  /** Log-probability of each sampled id at the sampling temperature. */
  logProbs: number[];
  /** "stop": a stop id ended it; "length": it was cut off. */
  finish: "stop" | "length";
}

/** The completions of a call, and what they took. */
export interface GenerationResult {
  /** One for each request, in the order of the requests. */
  generations: Generation[];
  flops: number;
  /** Tokens sampled. */
  tokens: number;
  /** Runs of the decode graph that sampled. */
  steps: number;
  /** Drafts that were verified, and how many of them were accepted. */
  drafted: number;
  accepted: number;
}

/**
 * Samples all requests, many at a time. @throws UserError "generation" for a request that the model cannot answer,
 * before anything is computed; the reason of `signal`
 */
export type Generate = (
  requests: readonly GenerationRequest[],
  options: GenerateOptions,
) => Promise<GenerationResult>;

/** @throws UserError "generation" for the first request that the model cannot answer */
export function checkRequests(
  { vocabSize, maxPositions: claimed }: ModelConfig,
  requests: readonly GenerationRequest[],
  options: Pick<GenerateOptions, "sampling" | "maxBatch">,
): void {
  const maxPositions = usablePositions(claimed);
  checkOptions(options);
  for (const [index, { prompt, maxNewTokens }] of requests.entries()) {
    const refuse = (text: string) => refused(`request ${index}${text}`);
    if (!Array.isArray(prompt) && !(prompt instanceof Int32Array))
      throw refuse(": its prompt is not a list of token ids; encode the text with the model's tokenizer");
    if (prompt.length === 0) throw refuse(" has an empty prompt; begin it with the BOS token");
    if (!isInteger(maxNewTokens, 1))
      throw refuse(` asks for ${shown(maxNewTokens)} new tokens; it needs a whole number, at least 1`);
    // By index, so that a hole in the array is looked at too.
    for (let i = 0; i < prompt.length; i++)
      if (!isInteger(prompt[i], 0, vocabSize - 1))
        throw refuse(
          `: id ${shown(prompt[i])} at position ${i} of the prompt is not one of the model's ${vocabSize} tokens, 0 to ${vocabSize - 1}; is this its tokenizer?`,
        );
    if (prompt.length + maxNewTokens > maxPositions)
      throw refuse(
        `: ${prompt.length} prompt tokens and ${maxNewTokens} new ones exceed the model's ${maxPositions} positions`,
      );
  }
}

const refused = (what: string): UserError => new UserError({ kind: "generation", what });

function checkOptions({ sampling, maxBatch }: Pick<GenerateOptions, "sampling" | "maxBatch">): void {
  const { temperature, topP, topK } = sampling;
  const check = (holds: boolean, name: string, value: unknown, expected: string): void => {
    if (!holds) throw refused(`${name} is ${shown(value)}; it needs ${expected}`);
  };
  const finite = Number.isFinite(temperature) && temperature >= 0;
  check(finite, "temperature", temperature, "a number, at least 0");
  check(topP === undefined || (topP >= 0 && topP <= 1), "topP", topP, "a number from 0 to 1");
  check(topK === undefined || isInteger(topK, 1), "topK", topK, "a whole number, at least 1");
  check(maxBatch === undefined || isInteger(maxBatch, 1), "maxBatch", maxBatch, "a whole number, at least 1");
}

const isInteger = (value: unknown, low: number, high = Number.MAX_SAFE_INTEGER): boolean =>
  Number.isInteger(value) && (value as number) >= low && (value as number) <= high;

const shown = (value: unknown): string =>
  typeof value === "bigint" ? `${value}n` : typeof value === "string" ? JSON.stringify(value) : String(value);
