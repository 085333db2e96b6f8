/**
 * The shape of a dense decoder: DeepSeek LLM (arXiv 2401.02954, section 2.2), which is the Llama block, and the two
 * families beside Llama that R1 was distilled into: Qwen2 (arXiv 2407.10671) and Qwen3 (arXiv 2505.09388).
 */
import { z } from "zod";
import { count, off, positive } from "../lib/schema.ts";
import { aboveZero, checkNumbers, configError, LIMITS, upTo } from "./checks.ts";
import { ropeScaling } from "./rope.ts";

/** Hugging Face's name of a family; DeepSeek LLM, DeepSeek-Coder, Llama 3, SmolLM2 and Mistral are all "llama". */
export type Architecture = "llama" | "qwen2" | "qwen3";

interface Traits {
  /** A bias on the query, key and value projections, and on no other. */
  qkvBias: boolean;
  /** RMSNorm over each head of the queries and of the keys, before the rotation. */
  qkNorm: boolean;
}

const TRAITS: Record<Architecture, Traits> = {
  llama: { qkvBias: false, qkNorm: false },
  qwen2: { qkvBias: true, qkNorm: false },
  qwen3: { qkvBias: false, qkNorm: true },
};

/** What a recipe says of a dense decoder. */
export const denseShape = z
  .strictObject({
    layers: count.describe("Transformer blocks."),
    hiddenSize: count.describe("Width of the residual stream."),
    heads: count.describe("Query heads."),
    kvHeads: count
      .optional()
      .describe("Key and value heads; fewer than `heads` is grouped-query attention. Default: `heads`."),
    headDim: count.optional().describe("Width of a head. Default: `hiddenSize / heads`."),
    intermediateSize: count.describe("Inner width of SwiGLU."),
    maxPositions: z.int().min(2).describe("Longest sequence in tokens."),
    ropeTheta: positive.default(10000).describe("Base of the rotary frequencies."),
    ropeScaling: ropeScaling.optional().describe("Longer sequences than in training."),
    qkvBias: z.boolean().optional().describe("Biases of queries, keys and values, as in Qwen2."),
    qkNorm: z
      .boolean()
      .optional()
      .describe("RMSNorm of queries and keys, as in Qwen3; not together with `qkvBias`."),
    normEps: positive.default(1e-6).describe("RMSNorm's epsilon."),
    tieEmbeddings: off.describe("The head uses the embedding's weights."),
  })
  .describe("A dense decoder like DeepSeek LLM (arXiv 2401.02954, section 2.2), Llama or Qwen.");

/** Sizes of a dense decoder (Llama, Qwen2, Qwen3) as a recipe gives them. */
export type DenseShape = z.output<typeof denseShape>;

/** All sizes are counts; a checked config comes from `checkDecoderConfig` or `fromHuggingFace`. */
export type DecoderConfig = DenseShape & {
  /** Follows from `qkvBias` and `qkNorm` where it is left out. */
  architecture?: Architecture;
  /** Rows of the embedding; at least the tokenizer's vocabulary. */
  vocabSize: number;
  kvHeads: number;
  headDim: number;
};

export function completeShape(shape: DenseShape & { vocabSize: number }): DecoderConfig {
  const { heads, kvHeads = heads, headDim = shape.hiddenSize / heads } = shape;
  return { ...shape, kvHeads, headDim };
}

/**
 * The family that a shape belongs to.
 * @throws UserError if there is none with these traits, or if the config names another.
 */
export function architectureOf(config: Pick<DecoderConfig, "architecture" | keyof Traits>): Architecture {
  const { qkvBias = false, qkNorm = false } = config;
  const found = Object.entries(TRAITS).find(([, t]) => t.qkvBias === qkvBias && t.qkNorm === qkNorm)?.[0];
  if (found !== undefined && (config.architecture ?? found) === found) return found as Architecture;
  const families = Object.entries(TRAITS);
  throw configError(
    "architecture",
    families.map(([name, t]) => `${name} (qkvBias ${t.qkvBias}, qkNorm ${t.qkNorm})`).join(", "),
    `${config.architecture ?? "none"} (qkvBias ${qkvBias}, qkNorm ${qkNorm})`,
    "Set the traits of one family, and leave architecture out or name that family.",
  );
}

/** Fields that `readNumbers` reads for every family. */
export const NUMBERS = {
  vocabSize: ["vocab_size", upTo(LIMITS.vocabSize)],
  layers: ["num_hidden_layers", upTo(LIMITS.layers)],
  hiddenSize: ["hidden_size", upTo(LIMITS.width)],
  heads: ["num_attention_heads", upTo(LIMITS.heads)],
  intermediateSize: ["intermediate_size", upTo(LIMITS.width)],
  normEps: ["rms_norm_eps", aboveZero, 1e-6],
} as const;
/** Fields whose default depends on the family or on other fields. */
export const FURTHER_NUMBERS = {
  kvHeads: ["num_key_value_heads", upTo(LIMITS.heads)],
  headDim: ["head_dim", upTo(LIMITS.headDim)],
  maxPositions: ["max_position_embeddings", upTo(Number.MAX_SAFE_INTEGER)],
} as const;

/**
 * Returns `config` if a decoder of that shape can be built.
 * @throws UserError naming the first impossible field and a value that would work.
 */
export function checkDecoderConfig(config: DecoderConfig): DecoderConfig {
  const { hiddenSize: width, heads, kvHeads, headDim } = config;
  checkNumbers(NUMBERS, config);
  if (width % heads !== 0 && headDim === width / heads)
    throw configError(
      "heads",
      `a divisor of hiddenSize ${width}`,
      String(heads),
      `Use ${nearestDivisor(width, heads)} heads, or change hiddenSize.`,
    );
  checkNumbers(FURTHER_NUMBERS, config);
  aboveZero("ropeTheta", config.ropeTheta);
  if (heads % kvHeads !== 0)
    throw configError(
      "kvHeads",
      `a divisor of heads ${heads}`,
      String(kvHeads),
      `Use ${nearestDivisor(heads, kvHeads)} key and value heads.`,
    );
  if (headDim % 2 !== 0)
    throw configError(
      "headDim",
      "an even number (rotary positions turn dimensions in pairs)",
      String(headDim),
      "Change hiddenSize or heads so that hiddenSize / heads is even, or set headDim.",
    );
  architectureOf(config);
  checkRopeScaling(config);
  return config;
}

function nearestDivisor(total: number, wanted: number): number {
  for (let distance = 0; distance <= total; distance++) {
    for (const candidate of [wanted - distance, wanted + distance])
      if (candidate >= 1 && candidate <= total && total % candidate === 0) return candidate;
  }
  return 1;
}

function checkRopeScaling({ ropeScaling: scaling, headDim, maxPositions }: DecoderConfig): void {
  if (scaling === undefined) return;
  const refuse = (field: string, expected: string, found: number): never => {
    const remedy = "Correct it, or leave ropeScaling out.";
    throw configError(`ropeScaling.${field}`, expected, String(found), remedy);
  };
  for (const [field, value] of Object.entries(scaling))
    if (typeof value === "number" && !(Number.isFinite(value) && value > 0))
      refuse(field, "a positive number", value);
  if (scaling.factor < 1) refuse("factor", "1 or more", scaling.factor);
  if (scaling.kind === "llama3" && scaling.highFrequencyFactor <= scaling.lowFrequencyFactor)
    refuse(
      "highFrequencyFactor",
      `more than lowFrequencyFactor ${scaling.lowFrequencyFactor}`,
      scaling.highFrequencyFactor,
    );
  if (scaling.kind !== "dynamic") return;
  // Its exponent is headDim / (headDim - 2); and config.json has no place for another number of positions.
  if (headDim <= 2) refuse("kind", '"linear" or "yarn" for heads of 2 numbers', headDim);
  const positions = Math.floor(scaling.factor * scaling.originalPositions);
  if (positions !== maxPositions)
    refuse(
      "originalPositions",
      `${maxPositions} positions / factor ${scaling.factor}`,
      scaling.originalPositions,
    );
}
