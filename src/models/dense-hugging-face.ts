/**
 * `config.json` as Hugging Face writes it, for the dense families. What this program does not implement is refused in
 * words: a model that is read at all computes what transformers computes with it.
 */
import {
  architectureOf,
  ConfigError,
  checkDecoderConfig,
  type DecoderConfig,
  type TokenIds,
} from "./config.ts";
import type { RopeScaling } from "./rope.ts";

type Fields = Record<string, unknown>;

interface Family extends Pick<DecoderConfig, "architecture" | "qkvBias" | "qkNorm"> {
  /** What transformers takes for an absent field; `null` follows from other fields. */
  kvHeads: number | null;
  headDim: number | null;
  maxPositions: number;
}

/** By `model_type`. A Mistral without its window is Llama's block, and is written as such. */
const FAMILIES: Record<string, Family> = {
  llama: { kvHeads: null, headDim: null, maxPositions: 2048 },
  qwen2: { architecture: "qwen2", qkvBias: true, kvHeads: 32, headDim: null, maxPositions: 32768 },
  qwen3: { architecture: "qwen3", qkNorm: true, kvHeads: 32, headDim: 128, maxPositions: 32768 },
  mistral: { kvHeads: 8, headDim: null, maxPositions: 131072 },
};

const CLASSES = { llama: "LlamaForCausalLM", qwen2: "Qwen2ForCausalLM", qwen3: "Qwen3ForCausalLM" };

/** What a field must be, and what transformers takes for an absent one. */
interface Fixed {
  allowed: readonly unknown[];
  absent: unknown;
}
// Two names of one function.
const ACTIVATION: Fixed = { allowed: ["silu", "swish"], absent: "silu" };
const NO: Fixed = { allowed: [false], absent: false };

/**
 * Fields of transformers' config classes (5.24) that change what is computed, where another value is not built here. A
 * class that lacks a field ignores it, and so do we: Qwen2 has its biases by design.
 */
export const MUST_EQUAL: Readonly<Record<string, Readonly<Record<string, Fixed>>>> = {
  llama: { hidden_act: ACTIVATION, attention_bias: NO, mlp_bias: NO },
  qwen2: { hidden_act: ACTIVATION },
  qwen3: { hidden_act: ACTIVATION, attention_bias: NO },
  mistral: { hidden_act: ACTIVATION },
};

/** Fields that are read: a value that is not built is refused where it is. */
export const READ: readonly string[] = [
  ...[
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "head_dim",
  ],
  ...[
    "num_key_value_heads",
    "max_position_embeddings",
    "rms_norm_eps",
    "tie_word_embeddings",
    "rope_parameters",
  ],
  ...["sliding_window", "use_sliding_window", "max_window_layers", "layer_types"],
  // By the tokenizer.
  ...["bos_token_id", "eos_token_id", "pad_token_id"],
];

/** Fields that change nothing in a model that answers. */
export const IGNORED: readonly string[] = [
  ...["initializer_range", "use_cache", "attention_dropout", "output_router_logits"],
  // Slices of the same products, which transformers 5 no longer makes.
  "pretraining_tp",
];

/** In the spelling that transformers 4 and 5 both read. */
export function denseToHuggingFace(config: DecoderConfig, ids: TokenIds): Fields {
  const architecture = architectureOf(config);
  const { ropeScaling: scaling } = config;
  return {
    architectures: [CLASSES[architecture]],
    model_type: architecture,
    hidden_act: "silu",
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
    num_hidden_layers: config.layers,
    num_attention_heads: config.heads,
    num_key_value_heads: config.kvHeads,
    head_dim: config.headDim,
    vocab_size: config.vocabSize,
    max_position_embeddings: scaling?.kind === "dynamic" ? scaling.originalPositions : config.maxPositions,
    rope_theta: config.ropeTheta,
    rope_scaling: scaling === undefined ? null : writeScaling(scaling),
    rms_norm_eps: config.normEps,
    // Qwen2 has its biases by design and no such fields.
    ...(architecture !== "qwen2" && { attention_bias: false }),
    ...(architecture === "llama" ? { mlp_bias: false } : { use_sliding_window: false }),
    attention_dropout: 0,
    initializer_range: 0.02,
    tie_word_embeddings: config.tieEmbeddings,
    torch_dtype: "float32",
    use_cache: true,
    bos_token_id: ids.bosId,
    eos_token_id: ids.eosIds.length === 1 ? ids.eosIds[0] : ids.eosIds.length === 0 ? null : [...ids.eosIds],
    pad_token_id: ids.padId,
  };
}

/** Values of `model_type` that are dense. */
export const DENSE_TYPES: readonly string[] = Object.keys(FAMILIES);

/**
 * Defaults of absent fields are those of transformers.
 * @throws ConfigError for a feature that would change the result (other biases, a sliding window, another activation),
 *   a field of the wrong type, or an impossible shape.
 */
export function denseFromHuggingFace(fields: Fields): DecoderConfig {
  only(fields, "model_type", [...DENSE_TYPES], undefined);
  const type = fields.model_type as string;
  const { kvHeads, headDim, maxPositions, ...traits } = FAMILIES[type];
  for (const [field, { allowed, absent }] of Object.entries(MUST_EQUAL[type] ?? {}))
    only(fields, field, [...allowed], absent);
  const width = number(fields, "hidden_size");
  const heads = number(fields, "num_attention_heads");
  const positions = number(fields, "max_position_embeddings", maxPositions);
  refuseWindow(fields, type, positions, number(fields, "num_hidden_layers"));
  // As in transformers 5: the old field wins where both stand, and the theta beside it is the default.
  const rope = (fields.rope_scaling ?? fields.rope_parameters ?? {}) as Fields;
  const ropeScaling = readScaling(rope, fields, positions);
  return checkDecoderConfig({
    ...traits,
    vocabSize: number(fields, "vocab_size"),
    layers: number(fields, "num_hidden_layers"),
    hiddenSize: width,
    heads,
    // In the files of old, `null` and no field both mean as many as heads.
    kvHeads: number(
      fields,
      "num_key_value_heads",
      fields.num_key_value_heads === null ? heads : (kvHeads ?? heads),
    ),
    headDim: number(fields, "head_dim", headDim ?? width / heads),
    intermediateSize: number(fields, "intermediate_size"),
    maxPositions: ropeScaling?.kind === "dynamic" ? Math.floor(ropeScaling.factor * positions) : positions,
    ropeTheta: number(rope, "rope_theta", number(fields, "rope_theta", 10000)),
    ...(ropeScaling && { ropeScaling }),
    normEps: number(fields, "rms_norm_eps", 1e-6),
    tieEmbeddings: fields.tie_word_embeddings === true,
  });
}

/** A window as wide as all positions hides nothing, nor one that no layer uses; any other is another model. */
function refuseWindow(fields: Fields, type: string, positions: number, layers: number): void {
  const kinds = Array.isArray(fields.layer_types) ? (fields.layer_types as unknown[]).slice(0, layers) : null;
  const other = kinds?.find((kind) => kind !== "full_attention");
  // Mistral's default is a window; Qwen keeps the number in its files, for the layers behind the first ones.
  const width = fields.sliding_window === undefined ? 4096 : fields.sliding_window;
  // Where the file does not say which layers, the classes of transformers differ by version.
  const { use_sliding_window: flag, max_window_layers: first } = fields;
  const used = type === "mistral" || (flag === true && kinds === null && Number(first ?? 0) < layers);
  const wide = width === null || Number(width) >= positions;
  if (other === undefined && (!used || wide)) return;
  if (other === "sliding_attention" && wide && fields.sliding_window !== undefined) return;
  throw new ConfigError({
    field: other === undefined ? "sliding_window" : "layer_types",
    expected: other === undefined ? `null, or all ${positions} positions` : '"full_attention" in every layer',
    found: JSON.stringify(other ?? width),
    remedy:
      "This program has no attention over a window. Within the window the model is the same without it: set sliding_window to null, layer_types away, and max_position_embeddings to the window's width.",
  });
}

function readScaling(rope: Fields, fields: Fields, positions: number): RopeScaling | undefined {
  const kind = rope.rope_type ?? rope.type ?? "default";
  for (const source of [rope, fields]) only(source, "partial_rotary_factor", [1], 1);
  // Sections are of pictures; a text has one position in all of them, which the default reads without.
  if (kind !== "default") only(rope, "mrope_section", [null], null);
  only({ rope_type: kind }, "rope_type", ["default", "linear", "dynamic", "llama3", "yarn"], undefined);
  // Settings for each type of layer, whose own would be overlooked here.
  only(rope, "full_attention", [null], null);
  if (kind === "default") return undefined;
  const trained = number(
    fields,
    "original_max_position_embeddings",
    number(rope, "original_max_position_embeddings", positions),
  );
  // As in transformers, `null` (and only that) is the ratio of the two lengths.
  const factor = number(rope, "factor", rope.factor === null ? positions / trained : undefined);
  if (kind === "linear") return { kind, factor };
  if (kind === "dynamic") return { kind, factor, originalPositions: positions };
  if (kind === "llama3")
    return {
      kind,
      factor,
      originalPositions: trained,
      lowFrequencyFactor: number(rope, "low_freq_factor"),
      highFrequencyFactor: number(rope, "high_freq_factor"),
    };
  const optional = (name: string, field: string) =>
    rope[field] == null ? {} : { [name]: number(rope, field) };
  return {
    kind: "yarn",
    factor,
    originalPositions: trained,
    betaFast: number(rope, "beta_fast", 32) || 32,
    betaSlow: number(rope, "beta_slow", 1) || 1,
    ...(rope.truncate === false && { truncate: false }),
    ...optional("attentionFactor", "attention_factor"),
    ...optional("mscale", "mscale"),
    ...optional("mscaleAllDim", "mscale_all_dim"),
  };
}

export function writeScaling(scaling: RopeScaling): Fields {
  const { kind, factor } = scaling;
  switch (scaling.kind) {
    case "linear":
    case "dynamic":
      return { rope_type: kind, factor };
    case "llama3":
      return {
        rope_type: kind,
        factor,
        original_max_position_embeddings: scaling.originalPositions,
        low_freq_factor: scaling.lowFrequencyFactor,
        high_freq_factor: scaling.highFrequencyFactor,
      };
    case "yarn": {
      const { truncate, attentionFactor, mscale, mscaleAllDim } = scaling;
      return {
        rope_type: kind,
        factor,
        original_max_position_embeddings: scaling.originalPositions,
        beta_fast: scaling.betaFast,
        beta_slow: scaling.betaSlow,
        ...(truncate === false && { truncate }),
        ...(attentionFactor !== undefined && { attention_factor: attentionFactor }),
        ...(mscale !== undefined && { mscale }),
        ...(mscaleAllDim !== undefined && { mscale_all_dim: mscaleAllDim }),
      };
    }
  }
}

function number(fields: Fields, field: string, fallback?: number): number {
  const value = fields[field] ?? fallback;
  if (typeof value === "number") return value;
  throw new ConfigError({
    field,
    expected: "a number",
    found: value === undefined ? "nothing" : JSON.stringify(value),
    remedy: "Is this the config.json of a model in Hugging Face's format?",
  });
}

function only(fields: Fields, field: string, allowed: unknown[], fallback: unknown): void {
  const value = fields[field] ?? fallback;
  if (allowed.includes(value)) return;
  throw new ConfigError({
    field,
    expected: allowed.map((one) => JSON.stringify(one)).join(" or "),
    found: value === undefined ? "nothing" : JSON.stringify(value),
    remedy: "This program does not implement that variant; loading it would compute something else.",
  });
}
