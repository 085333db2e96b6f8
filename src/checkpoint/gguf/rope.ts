/** Rotary positions in GGUF: theta and scaling, from and to the content of a Hugging Face `config.json`. */
import { CheckpointError } from "../errors.ts";
import { ROPE_FREQS, type TensorSource } from "./names.ts";
import { f32, type Metadata, type MetadataValue, text, u32 } from "./values.ts";

type Fields = Record<string, unknown>;

/** Rotary settings wherever this version of transformers keeps them: version 5 moved them into `rope_parameters`. */
export function ropeOf(config: Fields): { theta: number; scaling: Fields | null } {
  const moved = config.rope_parameters as Fields | null | undefined;
  const scaling = moved ?? (config.rope_scaling as Fields | null | undefined) ?? {};
  const type = scaling.rope_type ?? scaling.type ?? "default";
  const theta = Number(scaling.rope_theta ?? config.rope_theta ?? 10000);
  return { theta, scaling: type === "default" ? null : { ...scaling, rope_type: type } };
}

/** @throws CheckpointError for a scaling that the format cannot express. */
export function ropeMetadata(file: string, config: Fields, arch: string): [string, MetadataValue][] {
  const { theta, scaling } = ropeOf(config);
  const entries: [string, MetadataValue][] = [[`${arch}.rope.freq_base`, f32(theta)]];
  // llama3's scaling travels as a tensor of factors.
  if (scaling === null || scaling.rope_type === "llama3") return entries;
  const key = (name: string): string => `${arch}.rope.scaling.${name}`;
  const type = scaling.rope_type;
  if (type !== "linear" && type !== "yarn")
    throw new CheckpointError({
      file,
      place: "config.json rope_scaling",
      expected: "linear, yarn or llama3",
      found: JSON.stringify(type),
      remedy: "GGUF has no field for that scaling.",
    });
  entries.push([key("type"), text(type)], [key("factor"), f32(Number(scaling.factor))]);
  if (type === "linear") return entries;
  const original = scaling.original_max_position_embeddings ?? config.max_position_embeddings;
  entries.push([key("original_context_length"), u32(Number(original))]);
  for (const [field, name] of [
    ["beta_fast", "yarn_beta_fast"],
    ["beta_slow", "yarn_beta_slow"],
  ] as const)
    if (typeof scaling[field] === "number") entries.push([key(name), f32(scaling[field])]);
  const { mscale, mscale_all_dim: all } = scaling;
  if (typeof all === "number" && all !== 0) {
    if (mscale !== all || arch !== "deepseek2") throw unequal(file, mscale, all);
    // A tenth by convention of llama.cpp's converter.
    entries.push([key("yarn_log_multiplier"), f32(0.1 * all)]);
  } else if (typeof mscale === "number" || typeof scaling.attention_factor === "number")
    throw unequal(file, mscale ?? scaling.attention_factor, all);
  return entries;
}

function unequal(file: string, found: unknown, all: unknown): CheckpointError {
  return new CheckpointError({
    file,
    place: "config.json rope_scaling",
    expected: "YaRN with its own attention factor, or with mscale equal to mscale_all_dim (deepseek2)",
    found: `${found} and ${all}`,
    remedy: "GGUF has no field for that.",
  });
}

/** Factors by which llama3's scaling divides each frequency, [headDim / 2] (Llama 3.1 as in transformers). */
export function llama3Factors(scaling: Fields, theta: number, headDim: number): Float32Array {
  const [factor, low, high, length] = (
    ["factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"] as const
  ).map((field) => Number(scaling[field])) as [number, number, number, number];
  return Float32Array.from({ length: headDim / 2 }, (_, i) => {
    const turns = length / (2 * Math.PI * theta ** ((2 * i) / headDim));
    if (turns > high) return 1;
    if (turns < low) return factor;
    const smooth = (turns - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}

/** `rope_scaling` of a file, null if it has none. @throws CheckpointError for a scaling that is not known. */
export function ropeScaling(
  metadata: Metadata,
  arch: string,
  tensors: TensorSource,
  headDim: number,
): Fields | null {
  const key = (name: string): string => `${arch}.rope.scaling.${name}`;
  const factors = tensors.get(ROPE_FREQS)?.read();
  if (factors !== undefined) return llama3Scaling(metadata, arch, factors, headDim);
  const type = metadata.text(key("type"), "none");
  if (type === "none") return null;
  const factor = metadata.number(key("factor"), 1);
  if (type === "linear") return factor === 1 ? null : { rope_type: "linear", factor };
  if (type !== "yarn") throw metadata.wrong(key("type"), '"linear" or "yarn"');
  const all = metadata.number(key("yarn_log_multiplier"), 0);
  const mscale = Number((all * 10).toPrecision(6));
  return {
    ...{ rope_type: "yarn", type: "yarn", factor },
    original_max_position_embeddings: metadata.count(key("original_context_length"), null) ?? undefined,
    beta_fast: metadata.number(key("yarn_beta_fast"), 32),
    beta_slow: metadata.number(key("yarn_beta_slow"), 1),
    ...(all !== 0 && { mscale, mscale_all_dim: mscale }),
  };
}

/** The file keeps only the factors; Llama's other numbers have been the same in every release, which is checked. */
function llama3Scaling(metadata: Metadata, arch: string, factors: Float32Array, headDim: number): Fields {
  const scaling = {
    rope_type: "llama3",
    factor: Math.max(...factors),
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 8192,
  };
  const expected = llama3Factors(scaling, metadata.number(`${arch}.rope.freq_base`, 10000), headDim);
  const differs = expected.findIndex((value, i) => !(Math.abs(value / factors[i]! - 1) < 1e-4));
  if (differs < 0 && expected.length === factors.length) return scaling;
  throw new CheckpointError({
    file: metadata.file,
    tensor: ROPE_FREQS,
    expected: `the factors of Llama 3's scaling (${expected[differs] ?? expected.length})`,
    found: `${factors[differs] ?? factors.length}`,
    remedy: "The model scales its positions in a way that is not known here.",
  });
}
