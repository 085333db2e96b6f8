/** RoPE in GGUF: theta and scaling, from and to the content of a Hugging Face `config.json`. */
import { architectures } from "../../models/architectures.ts";
import type { Fields } from "../../models/checks.ts";
import { writeScaling } from "../../models/dense-hugging-face.ts";
import { f32, type GgufEntries, type GgufFormat, type GgufReader, text, u32 } from "../../models/gguf.ts";
import { type FrequencySettings, rotaryFrequencies, yarnMagnitude } from "../../models/rope.ts";
import { mismatch, tensorIn } from "../errors.ts";
import type { TensorSource } from "../weights.ts";
import { ROPE_FREQS } from "./names.ts";

/** The families that have a way of scaling, for messages. */
const familiesWith = (what: keyof GgufFormat["rope"]): string =>
  Object.values(architectures)
    .filter(({ gguf }) => gguf.rope[what])
    .map(({ gguf }) => gguf.architecture)
    .join(", ");

/** @throws UserError for a scaling that the format cannot express. */
export function ropeMetadata(file: string, config: Fields, { rope }: GgufFormat): GgufEntries {
  const entries: GgufEntries = [["rope.freq_base", f32(Number(config.rope_theta))]];
  const scaling = config.rope_scaling as Fields | null;
  // llama3's scaling is stored as a tensor of factors.
  if (scaling === null || scaling.rope_type === "llama3") return entries;
  const key = (name: string): string => `rope.scaling.${name}`;
  const type = scaling.rope_type;
  if (type !== "linear" && type !== "yarn")
    throw mismatch(
      `${file}, config.json rope_scaling`,
      "linear, yarn or llama3",
      JSON.stringify(type),
      "GGUF has no field for that scaling.",
    );
  entries.push([key("type"), text(type)], [key("factor"), f32(Number(scaling.factor))]);
  if (type === "linear") return entries;
  entries.push(
    [key("original_context_length"), u32(Number(scaling.original_max_position_embeddings))],
    [key("yarn_beta_fast"), f32(Number(scaling.beta_fast))],
    [key("yarn_beta_slow"), f32(Number(scaling.beta_slow))],
  );
  const { mscale, mscale_all_dim: all, attention_factor: factor, truncate } = scaling;
  // llama.cpp uses DeepSeek's two magnitudes for deepseek2 and the paper's for the others, and always truncates the range.
  const known = rope.mscale ? all && mscale === all : !(all || mscale || factor);
  if (!known || truncate === false)
    throw mismatch(
      `${file}, config.json rope_scaling`,
      "YaRN as in its paper; in DeepSeek-V3 with mscale equal to mscale_all_dim",
      JSON.stringify(scaling),
      "GGUF has no field for that.",
    );
  // llama.cpp's converter stores a tenth of it.
  if (all) entries.push([key("yarn_log_multiplier"), f32(0.1 * Number(all))]);
  return entries;
}

/** Factors by which llama3's scaling divides each frequency, [headDim / 2]. */
export function llama3Factors(settings: FrequencySettings): Float32Array {
  const scaled = rotaryFrequencies(settings, 1);
  const plain = rotaryFrequencies({ ...settings, ropeScaling: undefined }, 1);
  return Float32Array.from(plain, (frequency, i) => frequency / scaled[i]!);
}

/**
 * `rope_scaling` of a file by llama.cpp's rules (`load_hparams` in llama-model.cpp): without a type it is linear, the factor
 * may have its name of 2023 (`rope.scale_linear`), and a factor of 0 means 1. `null` without scaling.
 * @throws UserError for an unknown scaling
 */
export function ropeScaling(
  file: string,
  metadata: GgufReader,
  { format: { rope }, config, tensors }: { format: GgufFormat; config: Fields; tensors: TensorSource },
): Fields | null {
  const key = (name: string): string => `rope.scaling.${name}`;
  const type = metadata.text(key("type"), "linear");
  const other = "The model scales its positions in a way that is not known here.";
  if (!["none", "linear", "yarn"].includes(type))
    throw metadata.wrong(key("type"), '"none", "linear" or "yarn"', other);
  const named = metadata.has(key("factor")) ? key("factor") : "rope.scale_linear";
  const factor = type === "none" ? 1 : metadata.number(named, 1) || 1;
  // Multiplies cos and sin, in addition to YaRN's magnitude.
  const attention = metadata.number(key("attn_factor"), 1);
  if (attention !== 1 && (type !== "yarn" || rope.mscale))
    throw metadata.wrong(key("attn_factor"), "1, or YaRN in a dense model", other);
  const factors = tensors.get(ROPE_FREQS)?.read();
  if (factors !== undefined) {
    // A config.json cannot express both these factors and the other one.
    if (rope.factors === undefined || factor !== 1 || attention !== 1)
      throw metadata.wrong(
        named,
        `1 in a ${familiesWith("factors")} model, since ${ROPE_FREQS} scales the positions`,
        other,
      );
    return llama3Scaling(file, factors, Number(config[rope.factors]), Number(config.rope_theta));
  }
  if (type !== "yarn") return factor === 1 ? null : { rope_type: "linear", factor };
  for (const name of ["yarn_ext_factor", "yarn_attn_factor"]) {
    const value = metadata.number(key(name), 1);
    if (value !== 1 && value !== -1) throw metadata.wrong(key(name), "1", other);
  }
  const all = metadata.number(key("yarn_log_multiplier"), 0);
  if (all !== 0 && !rope.mscale)
    throw metadata.wrong(key("yarn_log_multiplier"), `0 outside of ${familiesWith("mscale")}`, other);
  const mscale = Number((all * 10).toPrecision(6));
  return {
    ...{ rope_type: "yarn", type: "yarn", factor },
    original_max_position_embeddings: metadata.count(key("original_context_length"), null) ?? undefined,
    beta_fast: metadata.number(key("yarn_beta_fast"), 32),
    beta_slow: metadata.number(key("yarn_beta_slow"), 1),
    ...(all !== 0 && { mscale, mscale_all_dim: mscale }),
    ...(attention !== 1 && { attention_factor: attention * yarnMagnitude(factor, 1) }),
  };
}

/** The file has only the factors; the other numbers are those of every Llama release, which the factors confirm. */
function llama3Scaling(
  file: string,
  factors: Float32Array,
  headDim: number,
  ropeTheta: number,
): Fields | null {
  if (factors.length === headDim / 2 && factors.every((factor) => factor === 1)) return null;
  const ropeScaling = {
    kind: "llama3",
    factor: Math.max(...factors),
    lowFrequencyFactor: 1,
    highFrequencyFactor: 4,
    originalPositions: 8192,
  } as const;
  const expected = llama3Factors({ headDim, ropeTheta, ropeScaling });
  const differs = expected.findIndex((value, i) => !(Math.abs(value / factors[i]! - 1) < 1e-4));
  if (differs < 0 && expected.length === factors.length) return writeScaling(ropeScaling);
  throw mismatch(
    tensorIn(file, ROPE_FREQS),
    `the factors of Llama 3's scaling (${expected[differs] ?? expected.length})`,
    `${factors[differs] ?? factors.length}`,
    "The model scales its positions in a way that is not known here.",
  );
}
