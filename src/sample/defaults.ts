/** How a model wants to be sampled, from the content of its `generation_config.json`. */
import type { SamplingOptions } from "./sampler.ts";

/** DeepSeek-R1's recommendation, where a model says nothing. */
const TEMPERATURE = 0.6;

/** What is given beats what the model says; a value of the model that makes no sense is passed over. */
export function samplingFor(
  generation: Record<string, unknown> = {},
  { temperature, topP, topK }: Partial<SamplingOptions> = {},
): SamplingOptions {
  const { do_sample: samples, temperature: t, top_p: p, top_k: k } = generation;
  const own = samples === false ? 0 : isReal(t, 0, 2) ? t : TEMPERATURE;
  return {
    temperature: temperature ?? own,
    topP: topP ?? (isReal(p, Number.MIN_VALUE, 1) ? p : undefined),
    // 0 and -1 turn it off.
    topK: topK ?? (isReal(k, 1, Number.MAX_SAFE_INTEGER) && Number.isInteger(k) ? k : undefined),
  };
}

const isReal = (value: unknown, low: number, high: number): value is number =>
  typeof value === "number" && value >= low && value <= high;
