/**
 * The dense decoder of DeepSeek LLM (arXiv 2401.02954, section 2.2), which is Llama's block: attention with RoPE and MHA
 * or grouped queries, and SwiGLU; Qwen2 adds biases and Qwen3 norms of queries and keys.
 */
import { add, attention, linear, reshape, rmsNorm, rope } from "../graph/ops.ts";
import type { Tensor } from "../graph/tensor.ts";
import { cachedAttention } from "./cache.ts";
import {
  checkDecoderConfig,
  completeShape,
  type DecoderConfig,
  type DenseShape,
  denseShape,
  type Architecture as Family,
} from "./config.ts";
import { denseFromHuggingFace, denseToHuggingFace } from "./dense-hugging-face.ts";
import type { Architecture, AttentionContext, Design } from "./design.ts";
import { countOf, type GgufFormat } from "./gguf.ts";
import {
  matrix,
  mergeHeads,
  normWeight,
  type ParameterSpec,
  project,
  residualStd,
  splitHeads,
  swigluLayer,
  swigluParameters,
  type Weights,
} from "./layers.ts";

function parameters(config: DecoderConfig): ParameterSpec[] {
  const { layers, hiddenSize, heads, kvHeads, headDim, qkvBias, qkNorm } = config;
  const projection = (name: "q" | "k" | "v", count: number): ParameterSpec[] => {
    const out = count * headDim;
    const role = name === "q" ? "projection" : "kvProjection";
    const bias: ParameterSpec = { name: `self_attn.${name}_proj.bias`, role: "bias", shape: [out], init: 0 };
    return [
      matrix(`self_attn.${name}_proj`, [out, hiddenSize], { role }),
      ...(qkvBias ? [bias] : []),
      ...(qkNorm && name !== "v" ? [normWeight(`self_attn.${name}_norm`, headDim)] : []),
    ];
  };
  return [
    ...projection("q", heads),
    ...projection("k", kvHeads),
    ...projection("v", kvHeads),
    matrix("self_attn.o_proj", [hiddenSize, heads * headDim], { init: residualStd(layers) }),
  ];
}

/** x [batch, seq, hiddenSize] -> [batch, heads, seq, headDim]: queries, keys or values; the first two after norm and rotation. */
function projectedHeads(
  x: Tensor,
  weights: Weights,
  name: "q" | "k" | "v",
  { config, tables, positions }: AttentionContext & { config: DecoderConfig },
): Tensor {
  const { heads, kvHeads, qkvBias, qkNorm, normEps } = config;
  return x.graph.scope(name, () => {
    const product = linear(x, weights(`self_attn.${name}_proj.weight`));
    const biased = qkvBias ? add(product, weights(`self_attn.${name}_proj.bias`)) : product;
    const projected = splitHeads(biased, name === "q" ? heads : kvHeads);
    if (name === "v") return projected;
    const normed = qkNorm ? rmsNorm(projected, weights(`self_attn.${name}_norm.weight`), normEps) : projected;
    return rope(normed, tables.cos, tables.sin, positions);
  });
}

const design = (config: DecoderConfig): Design => ({
  config,
  attentionParameters: parameters(config),
  feedForwardParameters: () => swigluParameters("mlp", config, config.intermediateSize),
  cacheLayers: ["keys", "values"].map((name) => ({ name, heads: config.kvHeads, width: config.headDim })),
  rotary: config,

  attention(x, weights, context) {
    const { heads, headDim } = config;
    const [q, keys, values] = (["q", "k", "v"] as const).map((name) =>
      projectedHeads(x, weights, name, { ...context, config }),
    );
    const { over } = context;
    const merged = (): Tensor => {
      if ("mask" in over) return mergeHeads(attention(q, keys, values, over.mask));
      const past = { keys: over.cache[0], values: over.cache[1] };
      const out = cachedAttention(q, { keys, values }, past, over.masks, headDim ** -0.5);
      const [batch, , seq] = q.shape;
      return seq === 1 ? reshape(out, [batch, 1, heads * headDim]) : mergeHeads(reshape(out, q.shape, q));
    };
    return { out: project(merged(), weights, "self_attn.o_proj"), cache: [keys, values] };
  },

  feedForward: (x, weights) => ({ out: swigluLayer(x, weights, "mlp") }),
});

/** Qwen's; Llama's differs by what its record says. */
const gguf = (architecture: Family): GgufFormat => ({
  architecture,
  names: {
    attn_k: "self_attn.k_proj",
    attn_v: "self_attn.v_proj",
    attn_q_norm: "self_attn.q_norm",
    attn_k_norm: "self_attn.k_norm",
  },
  tensors: () => [],
  rope: {},

  write: (config) => [
    countOf(config, "attention.head_count_kv", "num_key_value_heads"),
    countOf(config, "attention.key_length", "head_dim"),
    countOf(config, "attention.value_length", "head_dim"),
    countOf(config, "rope.dimension_count", "head_dim"),
  ],

  read(metadata, { hidden_size: width, num_attention_heads: heads }) {
    if (metadata.count("expert_count", 0) > 0)
      throw metadata.wrong(
        "expert_count",
        "a dense model",
        "Mixtures of experts are read as deepseek2 only.",
      );
    const headDim = metadata.count("attention.key_length", Number(width) / Number(heads));
    const rotated = metadata.count("rope.dimension_count", headDim);
    if (rotated !== headDim) throw metadata.wrong("rope.dimension_count", `${headDim}, the width of a head`);
    return {
      num_key_value_heads: metadata.count("attention.head_count_kv", Number(heads)),
      head_dim: headDim,
    };
  },
});

const family = (
  name: Family,
  className: string,
  own: Partial<Pick<Architecture<DecoderConfig, DenseShape>, "modelTypes">> & {
    gguf?: Partial<GgufFormat>;
  } = {},
): Architecture<DecoderConfig, DenseShape> => ({
  shape: denseShape,
  complete: completeShape,
  design,
  className,
  modelTypes: [name],
  ...own,
  gguf: { ...gguf(name), ...own.gguf },
  check: checkDecoderConfig,
  fromHuggingFace: denseFromHuggingFace,
  toHuggingFace: denseToHuggingFace,
});

/** A Mistral without its window is Llama's block, and is written as such. */
export const llama = family("llama", "LlamaForCausalLM", {
  modelTypes: ["llama", "mistral"],
  gguf: {
    rope: { factors: "head_dim" },
    tensors: ({ num_attention_heads: heads, num_key_value_heads: kvHeads }) => [
      { kind: "paired", gguf: "attn_q.weight", name: "self_attn.q_proj.weight", heads: Number(heads) },
      { kind: "paired", gguf: "attn_k.weight", name: "self_attn.k_proj.weight", heads: Number(kvHeads) },
    ],
  },
});
export const qwen2 = family("qwen2", "Qwen2ForCausalLM", { gguf: { biases: true } });
export const qwen3 = family("qwen3", "Qwen3ForCausalLM");
