/**
 * How a model should be sampled, from its `generation_config.json` or what a GGUF file says instead: defaults for sampling, and
 * notes on what is not applied.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { MOST_POSITIONS } from "../models/rope.ts";
import { isGguf, openParts } from "./gguf/file.ts";
import { samplingOf } from "./gguf/values.ts";
import { readJson } from "./json.ts";
import { strayWeights } from "./shards.ts";

type Fields = Readonly<Record<string, unknown>>;

/** Values at which a setting changes no completion; `null` never changes one. */
const NEUTRAL: Readonly<Record<string, readonly unknown[]>> = {
  repetition_penalty: [1],
  min_p: [0],
  typical_p: [1],
  epsilon_cutoff: [0],
  eta_cutoff: [0],
  top_h: [1],
  no_repeat_ngram_size: [0],
  encoder_repetition_penalty: [1],
  encoder_no_repeat_ngram_size: [0],
  num_beams: [1],
  num_beam_groups: [1],
  penalty_alpha: [0],
  diversity_penalty: [0],
  guidance_scale: [1],
  min_length: [0],
  min_new_tokens: [0],
  bad_words_ids: [],
  suppress_tokens: [],
  begin_suppress_tokens: [],
  forced_bos_token_id: [],
  forced_eos_token_id: [],
  sequence_bias: [],
  constraints: [],
  force_words_ids: [],
  exponential_decay_length_penalty: [],
  stop_strings: [],
  watermarking_config: [],
  dola_layers: [],
  token_healing: [false],
  presence_penalty: [0],
  frequency_penalty: [0],
  xtc_probability: [0],
  mirostat: [0],
};

/** The settings in a `config.json`, where older models keep them; transformers reads them if there is no other file. */
export function settingsIn(config: Fields): Record<string, unknown> {
  const names = ["do_sample", "temperature", "top_p", "top_k", "max_new_tokens", ...Object.keys(NEUTRAL)];
  return Object.fromEntries(
    names.filter((name) => (config[name] ?? null) !== null).map((name) => [name, config[name]]),
  );
}

/** DeepSeek-R1's recommendation, where a model says nothing. */
const TEMPERATURE = 0.6;

interface Sampling {
  temperature: number;
  topP?: number;
  topK?: number;
}

/** Options that are given come first, then the model's own; a setting of the model that makes no sense is ignored. */
export function samplingFor(
  generation: Fields = {},
  { temperature, topP, topK }: Partial<Sampling> = {},
): Sampling {
  const { do_sample: samples, temperature: t, top_p: p, top_k: k } = generation;
  const own = samples === false ? 0 : isTemperature(t) ? t : TEMPERATURE;
  return {
    temperature: temperature ?? own,
    topP: topP ?? (isTopP(p) ? p : undefined),
    // 0 and -1 turn it off.
    topK: topK ?? (isTopK(k) && k > 0 ? k : undefined),
  };
}

const isReal = (value: unknown, low: number, high: number): value is number =>
  typeof value === "number" && value >= low && value <= high;
const isTemperature = (value: unknown): value is number => isReal(value, 0, 2);
const isTopP = (value: unknown): value is number => isReal(value, Number.MIN_VALUE, 1);
const isTopK = (value: unknown): value is number =>
  isReal(value, -1, Number.MAX_SAFE_INTEGER) && Number.isInteger(value);

/** Settings that would change completions and that the sampler does not apply, each with its value. */
export function notApplied(generation: Fields): string[] {
  const given = (field: string): boolean => {
    const value = generation[field];
    return (
      value !== null && value !== undefined && !(typeof value === "object" && Object.keys(value).length === 0)
    );
  };
  const unknown = Object.entries(NEUTRAL)
    .filter(([field, neutral]) => given(field) && !neutral.includes(generation[field]))
    .map(([field]) => field);
  const { temperature, top_p: topP, top_k: topK, do_sample: samples } = generation;
  // Greedy decoding reads none of these three.
  const senseless =
    samples === false
      ? []
      : [
          ...(given("temperature") && !isTemperature(temperature) ? ["temperature"] : []),
          ...(given("top_p") && !isTopP(topP) ? ["top_p"] : []),
          ...(given("top_k") && !isTopK(topK) ? ["top_k"] : []),
        ];
  return [...unknown, ...senseless].map(
    (field) => `${field} ${(JSON.stringify(generation[field]) ?? "").slice(0, 60)}`,
  );
}

/**
 * What a person should know of a model's files before it is used: settings that are not applied, files that are not read. One
 * sentence each. @throws UserError for files that cannot be read
 */
export function modelNotes(path: string): string[] {
  const file = isGguf(path) ? path : settingsFile(path);
  const settings = notApplied(isGguf(path) ? ggufSettings(path) : settingsIn(fields(file)));
  const notes = [...strayWeights(path), ...(isGguf(path) ? [] : unusedPositions(path))];
  if (settings.length > 0)
    notes.push(
      `${file}: not applied here: ${settings.join(", ")}. Answers differ from those of programs that do.`,
    );
  return notes;
}

/** The file of a folder that says how its model should be sampled. */
function settingsFile(folder: string): string {
  const file = join(folder, "generation_config.json");
  return existsSync(file) ? file : join(folder, "config.json");
}

function unusedPositions(folder: string): string[] {
  const claimed = fields(join(folder, "config.json")).max_position_embeddings;
  if (typeof claimed !== "number" || claimed <= MOST_POSITIONS) return [];
  return [
    `${folder}: of its ${claimed.toLocaleString("en")} positions the first ${MOST_POSITIONS.toLocaleString("en")} are used here.`,
  ];
}

function fields(file: string): Fields {
  return (readJson(file, { optional: true }) ?? {}) as Fields;
}

function ggufSettings(path: string): Fields {
  const parts = openParts(path);
  for (const part of parts) part.close();
  return samplingOf(parts[0]!.header.metadata);
}
