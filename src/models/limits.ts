/**
 * The largest sizes of a model that are built. A file of a stranger may claim anything below 2^53; each bound is far above
 * what has been published, and low enough that names, shapes and sums of a model of that size can be written down.
 */
import { ConfigError } from "./config-error.ts";

export const LIMITS = {
  /** Published: 126 (Llama 3.1 405B). */
  layers: 10_000,
  /** Width of the model, of its latents and of feed-forward blocks; published: 53,248. */
  width: 2 ** 22,
  heads: 2 ** 16,
  headDim: 2 ** 16,
  /** Rows of the embedding; published: 262,144. */
  vocabSize: 2 ** 24,
  /** Of one layer; published: 512. */
  experts: 2 ** 14,
  /** Tensors of all layers; DeepSeek-V3 has 46,000. */
  tensors: 10 ** 6,
};

/** @throws ConfigError for a size that is no whole number from 1 to its limit */
export function checkSizes(sizes: Readonly<Record<string, readonly [value: number, limit: number]>>): void {
  for (const [field, [value, limit]] of Object.entries(sizes)) {
    if (Number.isSafeInteger(value) && value >= 1 && value <= limit) continue;
    const large = Number.isFinite(value) && value > limit;
    throw new ConfigError({
      field,
      expected: large ? `at most ${limit.toLocaleString("en")}` : "a whole number, 1 or more",
      found: String(value),
      remedy: large
        ? "No model of that size is built here. Is the file whole, and of the model that it claims to be?"
        : "Correct it.",
    });
  }
}
