/**
 * The dense decoder of DeepSeek LLM (arXiv 2401.02954, section 2.2), which is Llama's block: attention with RoPE and MHA
 * or grouped queries, and SwiGLU; Qwen2 adds biases and Qwen3 norms of queries and keys.
 */
import { add, attention, linear, reshape, rmsNorm, rope } from "../graph/ops.ts";
import type { Tensor } from "../graph/tensor.ts";
import { cachedAttention } from "./cache.ts";
import { checkDecoderConfig, type DecoderConfig, type Architecture as Family } from "./config.ts";
import { denseFromHuggingFace, denseToHuggingFace } from "./dense-hugging-face.ts";
import type { Architecture, AttentionContext, Design } from "./design.ts";
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

const design: Design<DecoderConfig> = {
  attentionParameters({ layers, hiddenSize, heads, kvHeads, headDim, qkvBias, qkNorm }) {
    const projection = (name: "q" | "k" | "v", count: number): ParameterSpec[] => {
      const out = count * headDim;
      const role = name === "q" ? "projection" : "kvProjection";
      return [
        matrix(`self_attn.${name}_proj`, [out, hiddenSize], { role }),
        ...(qkvBias
          ? [{ name: `self_attn.${name}_proj.bias`, role: "bias", shape: [out], init: 0 } as const]
          : []),
        ...(qkNorm && name !== "v" ? [normWeight(`self_attn.${name}_norm`, headDim)] : []),
      ];
    };
    return [
      ...projection("q", heads),
      ...projection("k", kvHeads),
      ...projection("v", kvHeads),
      matrix("self_attn.o_proj", [hiddenSize, heads * headDim], { init: residualStd(layers) }),
    ];
  },

  feedForwardParameters: (config) => swigluParameters("mlp", config, config.intermediateSize),

  cacheLayers: ({ kvHeads: heads, headDim: width }) => [
    { name: "keys", heads, width },
    { name: "values", heads, width },
  ],

  rotary: (config) => config,

  attention(x, weights, context) {
    const { heads, kvHeads, headDim } = context.config;
    const q = rotatedHeads(x, weights, "q", context);
    const keys = rotatedHeads(x, weights, "k", context);
    const values = projectedHeads(x, weights, "v", kvHeads, context.config);
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
};

/** x [batch, seq, hiddenSize] -> [batch, heads, seq, headDim]. */
function projectedHeads(
  x: Tensor,
  weights: Weights,
  name: "q" | "k" | "v",
  heads: number,
  { qkvBias }: DecoderConfig,
): Tensor {
  return x.graph.scope(name, () => {
    const product = linear(x, weights(`self_attn.${name}_proj.weight`));
    return splitHeads(qkvBias ? add(product, weights(`self_attn.${name}_proj.bias`)) : product, heads);
  });
}

/** Queries or keys after their norm, where there is one, and the rotation. */
function rotatedHeads(
  x: Tensor,
  weights: Weights,
  name: "q" | "k",
  { config, tables, positions }: AttentionContext<DecoderConfig>,
): Tensor {
  const projected = projectedHeads(x, weights, name, name === "q" ? config.heads : config.kvHeads, config);
  return x.graph.scope(name, () => {
    const scaled = config.qkNorm
      ? rmsNorm(projected, weights(`self_attn.${name}_norm.weight`), config.normEps)
      : projected;
    return rope(scaled, tables.cos, tables.sin, positions);
  });
}

const family = (
  name: Family,
  className: string,
  aliases: readonly string[] = [],
): Architecture<DecoderConfig> => ({
  design,
  className,
  modelTypes: [name, ...aliases],
  gguf: { architecture: name, pairedHeads: name === "llama" },
  check: checkDecoderConfig,
  fromHuggingFace: denseFromHuggingFace,
  toHuggingFace: denseToHuggingFace,
});

/** A Mistral without its window is Llama's block, and is written as such. */
export const llama = family("llama", "LlamaForCausalLM", ["mistral"]);
export const qwen2 = family("qwen2", "Qwen2ForCausalLM");
export const qwen3 = family("qwen3", "Qwen3ForCausalLM");
