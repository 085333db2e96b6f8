/** DeepSeek-V3 in GGUF files, whose name for the design is "deepseek2". */
import {
  countOf,
  f32,
  flag,
  type GgufCounts,
  type GgufFormat,
  readCounts,
  u32,
  writeCounts,
} from "./gguf.ts";

const COUNTS: GgufCounts = [
  ["attention.kv_lora_rank", "kv_lora_rank"],
  ["rope.dimension_count", "qk_rope_head_dim"],
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

export const v3Gguf: GgufFormat = {
  architecture: "deepseek2",
  names: {
    attn_q_a: "self_attn.q_a_proj",
    attn_q_a_norm: "self_attn.q_a_layernorm",
    attn_q_b: "self_attn.q_b_proj",
    attn_kv_a_mqa: "self_attn.kv_a_proj_with_mqa",
    attn_kv_a_norm: "self_attn.kv_a_layernorm",
    attn_kv_b: "self_attn.kv_b_proj",
    ffn_gate_inp: "mlp.gate",
    "exp_probs_b.bias": "mlp.gate.e_score_correction_bias",
    ffn_gate_shexp: "mlp.shared_experts.gate_proj",
    ffn_up_shexp: "mlp.shared_experts.up_proj",
    ffn_down_shexp: "mlp.shared_experts.down_proj",
  },

  tensors: (config) => [
    ...["gate", "up", "down"].map((one) => ({
      kind: "stacked" as const,
      gguf: `ffn_${one}_exps.weight`,
      name: `mlp.experts.*.${one}_proj.weight`,
      count: Number(config.n_routed_experts),
    })),
    {
      kind: "split",
      gguf: "attn_k_b.weight",
      values: "attn_v_b.weight",
      name: "self_attn.kv_b_proj.weight",
      heads: Number(config.num_attention_heads),
      nope: Number(config.qk_nope_head_dim),
      vHead: Number(config.v_head_dim),
    },
  ],
  rope: { mscale: true },

  /** Latent attention as multi-query attention over the latent, and the experts (arXiv 2412.19437, section 2.1). */
  write: (config) => [
    ...(config.q_lora_rank === null ? [] : [countOf(config, "attention.q_lora_rank", "q_lora_rank")]),
    ["attention.head_count_kv", u32(1)],
    countOf(config, "attention.key_length", "kv_lora_rank", "qk_rope_head_dim"),
    countOf(config, "attention.value_length", "kv_lora_rank"),
    countOf(config, "attention.key_length_mla", "qk_nope_head_dim", "qk_rope_head_dim"),
    countOf(config, "attention.value_length_mla", "v_head_dim"),
    ...writeCounts(COUNTS, config),
    ["expert_weights_scale", f32(Number(config.routed_scaling_factor))],
    ["expert_weights_norm", flag(config.norm_topk_prob === true)],
    ["expert_gating_func", u32(SIGMOID)],
  ],

  read(metadata, { num_attention_heads: heads }) {
    const rope = metadata.count("rope.dimension_count");
    // Files from before the absorbed form give a head's own widths.
    const mla = metadata.has("attention.key_length_mla") ? "_mla" : "";
    if (metadata.count("expert_gating_func", 1) !== SIGMOID)
      throw metadata.wrong(
        "expert_gating_func",
        `${SIGMOID} (sigmoid)`,
        "DeepSeek-V2, whose routers use softmax, is not implemented here.",
      );
    return {
      ...readCounts(COUNTS, metadata),
      num_key_value_heads: heads,
      q_lora_rank: metadata.count("attention.q_lora_rank", null),
      qk_nope_head_dim: metadata.count(`attention.key_length${mla}`) - rope,
      v_head_dim: metadata.count(`attention.value_length${mla}`),
      routed_scaling_factor: metadata.number("expert_weights_scale", 1),
      norm_topk_prob: metadata.flag("expert_weights_norm", false),
      scoring_func: "sigmoid",
      topk_method: "noaux_tc",
      moe_layer_freq: 1,
      num_nextn_predict_layers: 0,
      rope_interleave: true,
    };
  },
};
