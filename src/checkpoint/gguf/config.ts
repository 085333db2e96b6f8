/** GGUF metadata <-> the content of a Hugging Face `config.json`, for the architectures that we know. */
import { architectures } from "../../models/architectures.ts";
import type { Fields } from "../../models/checks.ts";
import { countOf, type GgufCounts, readCounts, writeCounts } from "../../models/gguf.ts";
import { mismatch } from "../errors.ts";
import type { TensorSource } from "../weights.ts";
import type { TensorLayout } from "./names.ts";
import { ropeMetadata, ropeScaling } from "./rope.ts";
import { f32, type Metadata, type MetadataValue, text } from "./values.ts";

/** The architectures under llama.cpp's names. */
const KNOWN = new Map(Object.values(architectures).map((one) => [one.gguf.architecture, one]));
const known = [...KNOWN.keys()].join(", ");

const COUNTS: GgufCounts = [
  ["context_length", "max_position_embeddings"],
  ["embedding_length", "hidden_size"],
  ["block_count", "num_hidden_layers"],
  ["feed_forward_length", "intermediate_size"],
  ["attention.head_count", "num_attention_heads"],
];

/** llama.cpp's name for the architecture of a Hugging Face config. @throws UserError naming those that are known. */
export function ggufArchitecture(file: string, { model_type: type }: Fields): string {
  const found = [...KNOWN].find(([, { modelTypes }]) => modelTypes[0] === type);
  if (found !== undefined) return found[0];
  throw mismatch(
    `${file}, config.json model_type`,
    [...KNOWN.values()].map(({ modelTypes }) => modelTypes[0]).join(", "),
    JSON.stringify(type) ?? "nothing",
    `GGUF is written for the architectures ${known}.`,
  );
}

const formatOf = (file: string, config: Fields) => KNOWN.get(ggufArchitecture(file, config))!.gguf;

/** What the tensor mapping needs. */
export function layoutOf(file: string, config: Fields): TensorLayout {
  const format = formatOf(file, config);
  return { format, layers: Number(config.num_hidden_layers), tensors: format.tensors(config) };
}

/**
 * Metadata of a config, `general.architecture` first.
 * @param config as `toHuggingFace` writes it, so no field is absent
 * @throws UserError for what GGUF cannot express.
 */
export function toMetadata(file: string, config: Fields): [string, MetadataValue][] {
  const format = formatOf(file, config);
  return [
    ["general.architecture", text(format.architecture)],
    ["general.type", text("model")],
    ...[
      countOf(config, "vocab_size", "vocab_size"),
      ...writeCounts(COUNTS, config),
      ["attention.layer_norm_rms_epsilon", f32(Number(config.rms_norm_eps))] as const,
      ...ropeMetadata(file, config, format),
      ...format.write(config),
    ].map(([key, value]): [string, MetadataValue] => [`${format.architecture}.${key}`, value]),
  ];
}

/** @throws UserError for an architecture that is not known here */
export function knownArchitecture(metadata: Metadata): string {
  const arch = metadata.text("general.architecture");
  if (KNOWN.has(arch)) return arch;
  throw metadata.wrong(
    "general.architecture",
    `one of ${known}`,
    "This program does not implement that architecture.",
  );
}

/**
 * The content of `config.json` for a file's metadata.
 * @param tensors by GGUF name: only they show whether there are biases and a separate output matrix
 * @throws UserError for an architecture or feature that is not known here, naming the key
 */
export function toHuggingFaceConfig(metadata: Metadata, tensors: TensorSource): Fields {
  const arch = knownArchitecture(metadata);
  const { className, modelTypes, gguf: format } = KNOWN.get(arch)!;
  const reader = metadata.within(`${arch}.`);
  const shared: Fields = {
    architectures: [className],
    model_type: modelTypes[0],
    hidden_act: "silu",
    vocab_size: tensors.get("token_embd.weight")?.shape[0] ?? reader.count("vocab_size"),
    ...readCounts(COUNTS, reader),
    rms_norm_eps: reader.number("attention.layer_norm_rms_epsilon"),
    rope_theta: reader.number("rope.freq_base", 10000),
    tie_word_embeddings: !tensors.has("output.weight"),
    attention_bias: !format.biases && tensors.has("blk.0.attn_q.bias"),
    mlp_bias: false,
  };
  const config = { ...shared, ...format.read(reader, shared) };
  return { ...config, rope_scaling: ropeScaling(metadata.file, reader, { format, config, tensors }) };
}
