/**
 * `config.json` as Hugging Face writes it, for the dense families. What this program does not implement is refused in
 * words: a model that is read at all computes what transformers computes with it.
 */
import {
  type Allowed,
  checkFields,
  configError,
  type Fields,
  readNumber,
  readNumbers,
  type TokenIds,
  writeNumbers,
  writtenEnd,
} from "./checks.ts";
import {
  architectureOf,
  checkDecoderConfig,
  type DecoderConfig,
  FURTHER_NUMBERS,
  NUMBERS,
} from "./config.ts";
import type { RopeScaling } from "./rope.ts";

// Two names of one function.
const ACTIVATION = ["silu", "swish"];
const NO = [false];

interface Family {
  traits?: Pick<DecoderConfig, "architecture" | "qkvBias" | "qkNorm">;
  /** What transformers takes for an absent field; left out, it follows from other fields. */
  absent: { kvHeads?: number; headDim?: number; maxPositions: number };
  /**
   * Fields of transformers' config classes (5.24) that change what is computed, where another value is not built here. A
   * class that lacks a field ignores it, and so do we: Qwen2 has its biases by design.
   */
  fixed: Allowed;
  /** Fields that we write for other readers, beside those of all families. */
  written?: Fields;
  /** An absent `sliding_window` is a window, and every layer has it. */
  windowByDefault?: true;
}

/** By `model_type`. A Mistral without its window is Llama's block, and is written as such. */
export const FAMILIES: Readonly<Record<string, Family>> = {
  llama: {
    absent: { maxPositions: 2048 },
    fixed: { hidden_act: ACTIVATION, attention_bias: NO, mlp_bias: NO },
    written: { attention_bias: false, mlp_bias: false },
  },
  qwen2: {
    traits: { architecture: "qwen2", qkvBias: true },
    absent: { kvHeads: 32, maxPositions: 32768 },
    fixed: { hidden_act: ACTIVATION },
    // Its biases are by design: there is no attention_bias.
    written: { use_sliding_window: false },
  },
  qwen3: {
    traits: { architecture: "qwen3", qkNorm: true },
    absent: { kvHeads: 32, headDim: 128, maxPositions: 32768 },
    fixed: { hidden_act: ACTIVATION, attention_bias: NO },
    written: { attention_bias: false, use_sliding_window: false },
  },
  mistral: {
    absent: { kvHeads: 8, maxPositions: 131072 },
    fixed: { hidden_act: ACTIVATION },
    windowByDefault: true,
  },
};

/** In the spelling that transformers 4 and 5 both read. */
export function denseToHuggingFace(config: DecoderConfig, ids: TokenIds): Fields {
  const { ropeScaling: scaling } = config;
  return {
    hidden_act: "silu",
    ...writeNumbers(NUMBERS, config),
    ...writeNumbers(FURTHER_NUMBERS, config),
    ...(scaling?.kind === "dynamic" && { max_position_embeddings: scaling.originalPositions }),
    rope_theta: config.ropeTheta,
    rope_scaling: scaling === undefined ? null : writeScaling(scaling),
    ...FAMILIES[architectureOf(config)].written,
    ...writtenEnd(config, ids),
  };
}

/**
 * Defaults of absent fields are those of transformers.
 * @throws UserError for a feature that would change the result (other biases, a sliding window, another activation),
 *   a field of the wrong type, or an impossible shape.
 */
export function denseFromHuggingFace(fields: Fields): DecoderConfig {
  const type = fields.model_type as string;
  const { absent, fixed, traits } = FAMILIES[type];
  checkFields(fields, fixed);
  const sizes = readNumbers(NUMBERS, fields);
  const { heads, hiddenSize } = sizes;
  const further = readNumbers(FURTHER_NUMBERS, fields, {
    // In old files `null` and an absent field both mean as many as heads.
    kvHeads: fields.num_key_value_heads === null ? heads : (absent.kvHeads ?? heads),
    headDim: absent.headDim ?? hiddenSize / heads,
    maxPositions: absent.maxPositions,
  });
  const { maxPositions: positions } = further;
  refuseWindow(fields, type, positions, sizes.layers);
  // As in transformers 5: where both fields are given, the old one wins, and the theta beside it is the default.
  const rope = (fields.rope_scaling ?? fields.rope_parameters ?? {}) as Fields;
  const ropeScaling = readScaling(rope, fields, positions);
  return checkDecoderConfig({
    ...traits,
    ...sizes,
    ...further,
    ...(ropeScaling?.kind === "dynamic" && { maxPositions: Math.floor(ropeScaling.factor * positions) }),
    ropeTheta: readNumber(rope, "rope_theta", readNumber(fields, "rope_theta", 10000)),
    ...(ropeScaling && { ropeScaling }),
    tieEmbeddings: fields.tie_word_embeddings === true,
  });
}

/** A window as wide as all positions hides nothing, nor one that no layer uses; any other is another model. */
function refuseWindow(fields: Fields, type: string, positions: number, layers: number): void {
  const kinds = Array.isArray(fields.layer_types) ? (fields.layer_types as unknown[]).slice(0, layers) : null;
  const other = kinds?.find((kind) => kind !== "full_attention");
  // Mistral's default is a window; Qwen keeps the number in its files, for the layers after the first ones.
  const width = fields.sliding_window === undefined ? 4096 : fields.sliding_window;
  // Where the file does not say which layers, the classes of transformers differ by version.
  const { use_sliding_window: flag, max_window_layers: first } = fields;
  const used =
    FAMILIES[type].windowByDefault || (flag === true && kinds === null && Number(first ?? 0) < layers);
  const wide = width === null || Number(width) >= positions;
  if (other === undefined && (!used || wide)) return;
  if (other === "sliding_attention" && wide && fields.sliding_window !== undefined) return;
  throw configError(
    other === undefined ? "sliding_window" : "layer_types",
    other === undefined ? `null, or all ${positions} positions` : '"full_attention" in every layer',
    JSON.stringify(other ?? width),
    "This program has no attention over a window. Within the window the model is the same without it: set sliding_window to null, layer_types away, and max_position_embeddings to the window's width.",
  );
}

function readScaling(rope: Fields, fields: Fields, positions: number): RopeScaling | undefined {
  const kind = rope.rope_type ?? rope.type ?? "default";
  checkFields(fields, { partial_rotary_factor: [1] });
  checkFields(rope, {
    partial_rotary_factor: [1],
    // Sections are of pictures; a text has one position in all of them, which the default reads without.
    ...(kind !== "default" && { mrope_section: [null] }),
    // Settings for each type of layer, whose own would be overlooked here.
    full_attention: [null],
  });
  checkFields({ rope_type: kind }, { rope_type: ["default", "linear", "dynamic", "llama3", "yarn"] });
  if (kind === "default") return undefined;

  const read = (name: keyof typeof SCALING, absent?: number) => readNumber(rope, SCALING[name], absent);
  const optional = (name: keyof typeof SCALING) => rope[SCALING[name]] != null && { [name]: read(name) };
  const originalPositions = readNumber(
    fields,
    SCALING.originalPositions,
    read("originalPositions", positions),
  );
  // As in transformers, `null` (and only that) is the ratio of the two lengths.
  const factor = read("factor", rope.factor === null ? positions / originalPositions : undefined);
  if (kind === "linear") return { kind, factor };
  if (kind === "dynamic") return { kind, factor, originalPositions: positions };
  const scaled = { factor, originalPositions };
  if (kind === "llama3") {
    const [low, high] = [read("lowFrequencyFactor"), read("highFrequencyFactor")];
    return { kind, ...scaled, lowFrequencyFactor: low, highFrequencyFactor: high };
  }
  return {
    kind: "yarn",
    ...scaled,
    betaFast: read("betaFast", 32) || 32,
    betaSlow: read("betaSlow", 1) || 1,
    ...(rope.truncate === false && { truncate: false }),
    ...optional("attentionFactor"),
    ...optional("mscale"),
    ...optional("mscaleAllDim"),
  };
}

/** The fields of a scaling, under Hugging Face's names. */
const SCALING = {
  factor: "factor",
  originalPositions: "original_max_position_embeddings",
  lowFrequencyFactor: "low_freq_factor",
  highFrequencyFactor: "high_freq_factor",
  betaFast: "beta_fast",
  betaSlow: "beta_slow",
  truncate: "truncate",
  attentionFactor: "attention_factor",
  mscale: "mscale",
  mscaleAllDim: "mscale_all_dim",
};

export function writeScaling({ kind, ...values }: RopeScaling): Fields {
  // The trained length of "dynamic" is max_position_embeddings, and `truncate` is true where it is absent.
  const written = Object.entries(values).filter(
    ([name, value]) => value !== undefined && value !== true && (kind !== "dynamic" || name === "factor"),
  );
  return {
    rope_type: kind,
    ...Object.fromEntries(written.map(([name, value]) => [SCALING[name as keyof typeof SCALING], value])),
  };
}
