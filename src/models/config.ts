/**
 * The shape of a dense decoder: DeepSeek LLM (arXiv 2401.02954, section 2.2), which is the Llama block.
 */

/** All sizes are counts; a checked config comes from `checkDecoderConfig` or `fromHuggingFace`. */
export interface DecoderConfig {
  /** Rows of the embedding; at least the tokenizer's vocabulary. */
  vocabSize: number;
  layers: number;
  /** Model width (hidden size). */
  width: number;
  heads: number;
  /** Key and value heads; fewer than `heads` is grouped-query attention. */
  kvHeads: number;
  /** Width of one head; rotary positions turn its dimensions in pairs, so it is even. */
  headDim: number;
  /** Inner width of the SwiGLU block. */
  ffn: number;
  maxPositions: number;
  ropeTheta: number;
  /** Epsilon of RMSNorm. */
  normEps: number;
  /** Whether the output matrix is the embedding itself. */
  tieEmbeddings: boolean;
}

/** Ids that go into `config.json` beside the shape. */
export interface TokenIds {
  bosId: number | null;
  eosIds: readonly number[];
  padId: number | null;
}

/** A model shape that cannot be built, or that this program does not implement. */
export class ConfigError extends Error {
  override name = "ConfigError";
  readonly field: string;
  readonly expected: string;
  readonly found: string;
  readonly remedy: string;

  constructor(detail: { field: string; expected: string; found: string; remedy: string }) {
    super(`model ${detail.field}: expected ${detail.expected}, found ${detail.found}. ${detail.remedy}`);
    this.field = detail.field;
    this.expected = detail.expected;
    this.found = detail.found;
    this.remedy = detail.remedy;
  }
}

/**
 * Returns `config` if a decoder of that shape can be built.
 * @throws ConfigError naming the first impossible field and a value that would work.
 */
export function checkDecoderConfig(config: DecoderConfig): DecoderConfig {
  if (config.width % config.heads !== 0 && config.headDim === config.width / config.heads)
    throw new ConfigError({
      field: "heads",
      expected: `a divisor of width ${config.width}`,
      found: String(config.heads),
      remedy: `Use ${nearestDivisor(config.width, config.heads)} heads, or change the width.`,
    });
  for (const field of [
    "vocabSize",
    "layers",
    "width",
    "heads",
    "kvHeads",
    "headDim",
    "ffn",
    "maxPositions",
  ] as const) {
    const value = config[field];
    if (!Number.isSafeInteger(value) || value < 1)
      throw new ConfigError({
        field,
        expected: "a whole number, 1 or more",
        found: String(value),
        remedy: "Correct it.",
      });
  }
  for (const field of ["ropeTheta", "normEps"] as const) {
    const value = config[field];
    if (!Number.isFinite(value) || value <= 0)
      throw new ConfigError({
        field,
        expected: "a positive number",
        found: String(value),
        remedy: "Correct it.",
      });
  }
  if (config.heads % config.kvHeads !== 0)
    throw new ConfigError({
      field: "kvHeads",
      expected: `a divisor of heads ${config.heads}`,
      found: String(config.kvHeads),
      remedy: `Use ${nearestDivisor(config.heads, config.kvHeads)} key and value heads.`,
    });
  if (config.headDim % 2 !== 0)
    throw new ConfigError({
      field: "headDim",
      expected: "an even number (rotary positions turn dimensions in pairs)",
      found: String(config.headDim),
      remedy: "Change width or heads so that width / heads is even, or set headDim.",
    });
  return config;
}

function nearestDivisor(total: number, wanted: number): number {
  for (let distance = 0; distance <= total; distance++) {
    for (const candidate of [wanted - distance, wanted + distance])
      if (candidate >= 1 && candidate <= total && total % candidate === 0) return candidate;
  }
  return 1;
}

/** The content of a Hugging Face `config.json` (Llama format) for this shape. */
export function toHuggingFace(config: DecoderConfig, ids: TokenIds): Record<string, unknown> {
  return {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    hidden_act: "silu",
    hidden_size: config.width,
    intermediate_size: config.ffn,
    num_hidden_layers: config.layers,
    num_attention_heads: config.heads,
    num_key_value_heads: config.kvHeads,
    head_dim: config.headDim,
    vocab_size: config.vocabSize,
    max_position_embeddings: config.maxPositions,
    rope_theta: config.ropeTheta,
    rope_scaling: null,
    rms_norm_eps: config.normEps,
    attention_bias: false,
    mlp_bias: false,
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

/**
 * Reads the shape from the content of a Hugging Face `config.json` in Llama format.
 * Defaults of absent fields are those of transformers' `LlamaConfig`.
 * @throws ConfigError for another architecture, a feature that would change the result (biases, scaled
 *   rotary positions, another activation), a field of the wrong type, or an impossible shape.
 */
export function fromHuggingFace(json: unknown): DecoderConfig {
  if (typeof json !== "object" || json === null || Array.isArray(json))
    throw new ConfigError({
      field: "config.json",
      expected: "an object",
      found: json === null ? "null" : Array.isArray(json) ? "a list" : typeof json,
      remedy: "Point at a Hugging Face model folder.",
    });
  const fields = json as Record<string, unknown>;
  only(fields, "model_type", ["llama"], undefined);
  only(fields, "hidden_act", ["silu"], "silu");
  only(fields, "attention_bias", [false], false);
  only(fields, "mlp_bias", [false], false);
  // transformers 5 moved the rotary settings into `rope_parameters`; both forms are in use.
  const rope = (fields.rope_parameters ?? {}) as Record<string, unknown>;
  only(rope, "rope_type", ["default"], "default");
  only(fields, "rope_scaling", [null], null);
  const width = number(fields, "hidden_size");
  const heads = number(fields, "num_attention_heads");
  return checkDecoderConfig({
    vocabSize: number(fields, "vocab_size"),
    layers: number(fields, "num_hidden_layers"),
    width,
    heads,
    kvHeads: number(fields, "num_key_value_heads", heads),
    headDim: number(fields, "head_dim", width / heads),
    ffn: number(fields, "intermediate_size"),
    maxPositions: number(fields, "max_position_embeddings", 2048),
    ropeTheta: number(rope, "rope_theta", number(fields, "rope_theta", 10000)),
    normEps: number(fields, "rms_norm_eps", 1e-6),
    tieEmbeddings: fields.tie_word_embeddings === true,
  });
}

function number(fields: Record<string, unknown>, field: string, fallback?: number): number {
  const value = fields[field] ?? fallback;
  if (typeof value === "number") return value;
  throw new ConfigError({
    field,
    expected: "a number",
    found: value === undefined ? "nothing" : JSON.stringify(value),
    remedy: "Is this a Hugging Face Llama config.json?",
  });
}

function only(fields: Record<string, unknown>, field: string, allowed: unknown[], fallback: unknown): void {
  const value = fields[field] ?? fallback;
  if (allowed.includes(value)) return;
  throw new ConfigError({
    field,
    expected: allowed.map((one) => JSON.stringify(one)).join(" or "),
    found: value === undefined ? "nothing" : JSON.stringify(value),
    remedy: "This program does not implement that variant; loading it would compute something else.",
  });
}
