/** GGUF metadata <-> the content of a Hugging Face `config.json`, for the architectures that we know. */
import { architectures } from "../../models/architectures.ts";
import { mismatch } from "../errors.ts";
import type { TensorSource } from "../weights.ts";
import type { TensorLayout } from "./names.ts";
import { ropeMetadata, ropeScaling } from "./rope.ts";
import { f32, flag, type Metadata, type MetadataValue, text, u32 } from "./values.ts";

type Fields = Record<string, unknown>;

/** The architectures under llama.cpp's names. */
const KNOWN = new Map(Object.values(architectures).map((one) => [one.gguf.architecture, one]));
const known = [...KNOWN.keys()].join(", ");

/** Numbers that both formats have, under different names. */
const COUNTS: readonly [gguf: string, hf: string][] = [
  ["context_length", "max_position_embeddings"],
  ["embedding_length", "hidden_size"],
  ["block_count", "num_hidden_layers"],
  ["feed_forward_length", "intermediate_size"],
  ["attention.head_count", "num_attention_heads"],
];
const MLA_COUNTS: readonly [gguf: string, hf: string][] = [
  ["attention.kv_lora_rank", "kv_lora_rank"],
  ["rope.dimension_count", "qk_rope_head_dim"],
];
const MOE_COUNTS: readonly [gguf: string, hf: string, fallback: number][] = [
  ["leading_dense_block_count", "first_k_dense_replace", 0],
  ["expert_feed_forward_length", "moe_intermediate_size", 0],
  ["expert_count", "n_routed_experts", 0],
  ["expert_used_count", "num_experts_per_tok", 0],
  ["expert_shared_count", "n_shared_experts", 0],
  ["expert_group_count", "n_group", 1],
  ["expert_group_used_count", "topk_group", 1],
];
/** llama.cpp's number for the function that turns V3's router logits into weights; 1 is V2's softmax. */
const SIGMOID = 2;

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

/** What the tensor mapping needs. */
export function layoutOf(file: string, config: Fields): TensorLayout {
  const count = (field: string, fallback = 0): number => Number(config[field] ?? fallback);
  const heads = count("num_attention_heads");
  return {
    pairedHeads: KNOWN.get(ggufArchitecture(file, config))!.gguf.pairedHeads,
    heads,
    layers: count("num_hidden_layers"),
    kvHeads: count("num_key_value_heads", heads),
    experts: count("n_routed_experts"),
    nope: count("qk_nope_head_dim"),
    vHead: count("v_head_dim"),
  };
}

/**
 * Metadata of a config, `general.architecture` first.
 * @param config as `toHuggingFace` writes it, so no field is absent
 * @throws UserError for what GGUF cannot express.
 */
export function toMetadata(file: string, config: Fields): [string, MetadataValue][] {
  const arch = ggufArchitecture(file, config);
  const key = (name: string): string => `${arch}.${name}`;
  const count = (gguf: string, ...fields: string[]): [string, MetadataValue] => [
    key(gguf),
    u32(fields.reduce((total, field) => total + Number(config[field]), 0)),
  ];
  return [
    ["general.architecture", text(arch)],
    ["general.type", text("model")],
    count("vocab_size", "vocab_size"),
    ...COUNTS.map(([gguf, hf]) => count(gguf, hf)),
    [key("attention.layer_norm_rms_epsilon"), f32(Number(config.rms_norm_eps))],
    ...ropeMetadata(file, config, arch),
    ...(arch === "deepseek2" ? latentMetadata(config, count, key) : headMetadata(count)),
  ];
}

type Count = (gguf: string, ...fields: string[]) => [string, MetadataValue];

const headMetadata = (count: Count): [string, MetadataValue][] => [
  count("attention.head_count_kv", "num_key_value_heads"),
  count("attention.key_length", "head_dim"),
  count("attention.value_length", "head_dim"),
  count("rope.dimension_count", "head_dim"),
];

/** Latent attention as multi-query attention over the latent, and the experts (arXiv 2412.19437, section 2.1). */
const latentMetadata = (
  config: Fields,
  count: Count,
  key: (name: string) => string,
): [string, MetadataValue][] => [
  ...(config.q_lora_rank === null ? [] : [count("attention.q_lora_rank", "q_lora_rank")]),
  [key("attention.head_count_kv"), u32(1)],
  count("attention.key_length", "kv_lora_rank", "qk_rope_head_dim"),
  count("attention.value_length", "kv_lora_rank"),
  count("attention.key_length_mla", "qk_nope_head_dim", "qk_rope_head_dim"),
  count("attention.value_length_mla", "v_head_dim"),
  ...MLA_COUNTS.map(([gguf, hf]) => count(gguf, hf)),
  ...MOE_COUNTS.map(([gguf, hf]) => count(gguf, hf)),
  [key("expert_weights_scale"), f32(Number(config.routed_scaling_factor))],
  [key("expert_weights_norm"), flag(config.norm_topk_prob === true)],
  [key("expert_gating_func"), u32(SIGMOID)],
];

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
  const { className, modelTypes } = KNOWN.get(arch)!;
  const key = (name: string): string => `${arch}.${name}`;
  const heads = metadata.count(key("attention.head_count"));
  const shared: Fields = {
    architectures: [className],
    model_type: modelTypes[0],
    hidden_act: "silu",
    vocab_size: tensors.get("token_embd.weight")?.shape[0] ?? metadata.count(key("vocab_size")),
    ...Object.fromEntries(COUNTS.map(([gguf, hf]) => [hf, metadata.count(key(gguf))])),
    rms_norm_eps: metadata.number(key("attention.layer_norm_rms_epsilon")),
    rope_theta: metadata.number(key("rope.freq_base"), 10000),
    tie_word_embeddings: !tensors.has("output.weight"),
    attention_bias: arch !== "qwen2" && tensors.has("blk.0.attn_q.bias"),
    mlp_bias: false,
  };
  if (arch === "deepseek2") return latentConfig(metadata, shared, key, heads, tensors);
  if (metadata.count(key("expert_count"), 0) > 0)
    throw metadata.wrong(
      key("expert_count"),
      "a dense model",
      "Mixtures of experts are read as deepseek2 only.",
    );
  const headDim = metadata.count(key("attention.key_length"), Number(shared.hidden_size) / heads);
  const rotated = metadata.count(key("rope.dimension_count"), headDim);
  if (rotated !== headDim)
    throw metadata.wrong(key("rope.dimension_count"), `${headDim}, the width of a head`);
  return {
    ...shared,
    num_key_value_heads: metadata.count(key("attention.head_count_kv"), heads),
    head_dim: headDim,
    rope_scaling: ropeScaling(metadata, arch, tensors, headDim),
  };
}

function latentConfig(
  metadata: Metadata,
  shared: Fields,
  key: (name: string) => string,
  heads: number,
  tensors: TensorSource,
): Fields {
  const rope = metadata.count(key("rope.dimension_count"));
  // Files from before the absorbed form give a head's own widths.
  const mla = metadata.has(key("attention.key_length_mla")) ? "_mla" : "";
  if (metadata.count(key("expert_gating_func"), 1) !== SIGMOID)
    throw metadata.wrong(
      key("expert_gating_func"),
      `${SIGMOID} (sigmoid)`,
      "DeepSeek-V2, whose routers use softmax, is not implemented here.",
    );
  return {
    ...shared,
    ...Object.fromEntries(MLA_COUNTS.map(([gguf, hf]) => [hf, metadata.count(key(gguf))])),
    ...Object.fromEntries(
      MOE_COUNTS.map(([gguf, hf, fallback]) => [hf, metadata.count(key(gguf), fallback)]),
    ),
    num_key_value_heads: heads,
    q_lora_rank: metadata.count(key("attention.q_lora_rank"), null),
    qk_nope_head_dim: metadata.count(key(`attention.key_length${mla}`)) - rope,
    v_head_dim: metadata.count(key(`attention.value_length${mla}`)),
    routed_scaling_factor: metadata.number(key("expert_weights_scale"), 1),
    norm_topk_prob: metadata.flag(key("expert_weights_norm"), false),
    scoring_func: "sigmoid",
    topk_method: "noaux_tc",
    moe_layer_freq: 1,
    num_nextn_predict_layers: 0,
    rope_interleave: true,
    rope_scaling: ropeScaling(metadata, "deepseek2", tensors, rope),
  };
}
