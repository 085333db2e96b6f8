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

/** Values of a `generation_config.json` at which a setting changes no answer; `null` always does not. */
const NEUTRAL: Readonly<Record<string, readonly unknown[]>> = {
  ...{
    repetition_penalty: [1],
    min_p: [0],
    typical_p: [1],
    epsilon_cutoff: [0],
    eta_cutoff: [0],
    top_h: [1],
  },
  ...{ no_repeat_ngram_size: [0], encoder_repetition_penalty: [1], encoder_no_repeat_ngram_size: [0] },
  ...{
    num_beams: [1],
    num_beam_groups: [1],
    penalty_alpha: [0],
    diversity_penalty: [0],
    guidance_scale: [1],
  },
  ...{
    min_length: [0],
    min_new_tokens: [0],
    bad_words_ids: [],
    suppress_tokens: [],
    begin_suppress_tokens: [],
  },
  ...{
    forced_bos_token_id: [],
    forced_eos_token_id: [],
    sequence_bias: [],
    constraints: [],
    force_words_ids: [],
  },
  ...{ exponential_decay_length_penalty: [], stop_strings: [], watermarking_config: [], dola_layers: [] },
  ...{
    token_healing: [false],
    presence_penalty: [0],
    frequency_penalty: [0],
    xtc_probability: [0],
    mirostat: [0],
  },
};

/** Settings that would change the answers and that the sampler does not apply, each with its value. */
export function notApplied(generation: Record<string, unknown>): string[] {
  const shown = (field: string): string =>
    `${field} ${(JSON.stringify(generation[field]) ?? "").slice(0, 60)}`;
  const empty = (value: unknown): boolean =>
    value === null || value === undefined || (typeof value === "object" && Object.keys(value).length === 0);
  const unknown = Object.entries(NEUTRAL)
    .filter(([field, neutral]) => !empty(generation[field]) && !neutral.includes(generation[field]))
    .map(([field]) => shown(field));
  const { temperature: t, top_p: p, top_k: k, do_sample: samples } = generation;
  // Greedy decoding asks for none of these three.
  const senseless = [
    !empty(t) && !isReal(t, 0, 2) && "temperature",
    !empty(p) && !isReal(p, Number.MIN_VALUE, 1) && "top_p",
    !empty(k) && !(isReal(k, -1, Number.MAX_SAFE_INTEGER) && Number.isInteger(k)) && "top_k",
  ].filter((field) => typeof field === "string");
  return [...unknown, ...(samples === false ? [] : senseless.map(shown))];
}
