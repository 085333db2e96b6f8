/** What a sampler refuses before it computes anything. */
import type { ModelConfig } from "../models/architectures.ts";
import { usablePositions } from "../models/rope.ts";
import { RuntimeError } from "../runtime/value.ts";
import type { Sampling } from "./sampler.ts";
import type { GenerationRequest } from "./scheduler.ts";

/** @throws RuntimeError for the first request that the model cannot answer */
export function checkRequests(
  { vocabSize, maxPositions: claimed }: ModelConfig,
  requests: readonly GenerationRequest[],
  options: { sampling: Sampling; maxBatch?: number },
): void {
  const maxPositions = usablePositions(claimed);
  checkOptions(options);
  for (const [index, { prompt, maxNewTokens }] of requests.entries()) {
    const refuse = (text: string): never => {
      throw new RuntimeError(`request ${index}${text}`);
    };
    if (!Array.isArray(prompt) && !(prompt instanceof Int32Array))
      refuse(": its prompt is not a list of token ids; encode the text with the model's tokenizer");
    if (prompt.length === 0) refuse(" has an empty prompt; begin it with the BOS token");
    if (!isWhole(maxNewTokens, 1))
      refuse(` asks for ${shown(maxNewTokens)} new tokens; it needs a whole number, at least 1`);
    // By index: a hole in an array is an id too.
    for (let i = 0; i < prompt.length; i++)
      if (!isWhole(prompt[i], 0, vocabSize - 1))
        refuse(
          `: id ${shown(prompt[i])} at position ${i} of the prompt is not one of the model's ${vocabSize} tokens, 0 to ${vocabSize - 1}; is this its tokenizer?`,
        );
    if (prompt.length + maxNewTokens > maxPositions)
      refuse(
        `: ${prompt.length} prompt tokens and ${maxNewTokens} new ones exceed the model's ${maxPositions} positions`,
      );
  }
}

/** @throws RuntimeError for an option without a meaning */
function checkOptions({ sampling, maxBatch }: { sampling: Sampling; maxBatch?: number }): void {
  const { temperature, topP, topK } = sampling;
  const refuse = (name: string, value: unknown, expected: string): never => {
    throw new RuntimeError(`${name} is ${shown(value)}; it needs ${expected}`);
  };
  if (!(Number.isFinite(temperature) && temperature >= 0))
    refuse("temperature", temperature, "a number, at least 0");
  if (topP !== undefined && !(topP >= 0 && topP <= 1)) refuse("topP", topP, "a number from 0 to 1");
  if (topK !== undefined && !isWhole(topK, 1)) refuse("topK", topK, "a whole number, at least 1");
  if (maxBatch !== undefined && !isWhole(maxBatch, 1))
    refuse("maxBatch", maxBatch, "a whole number, at least 1");
}

const isWhole = (value: unknown, low: number, high = Number.MAX_SAFE_INTEGER): boolean =>
  Number.isInteger(value) && (value as number) >= low && (value as number) <= high;

const shown = (value: unknown): string =>
  typeof value === "bigint" ? `${value}n` : typeof value === "string" ? JSON.stringify(value) : String(value);

/** How many ids two sequences share at their beginnings. */
export function commonPrefix(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const end = Math.min(a.length, b.length);
  let length = 0;
  while (length < end && a[length] === b[length]) length++;
  return length;
}
