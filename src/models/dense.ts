/**
 * The dense DeepSeek LLM decoder (arXiv 2401.02954, section 2.2; Llama's block): pre-norm RMSNorm, attention with RoPE
 * and MHA or grouped queries, SwiGLU. Parameter names are those of Hugging Face's LlamaForCausalLM.
 */
import {
  add,
  attention,
  div,
  exp,
  linear,
  matmul,
  max,
  maximum,
  mul,
  reshape,
  rmsNorm,
  rope,
  sub,
  sum,
  swiglu,
} from "../graph/ops.ts";
import { recompute } from "../graph/recompute.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { DecoderConfig } from "./config.ts";
import {
  embed,
  mergeHeads,
  type ParameterSpec,
  type Parameters,
  parameter,
  projectHeads,
  type RotaryTables,
  rotaryTables,
} from "./layers.ts";

/** Standard deviation of the initial matrices; those that write into the residual stream get it / sqrt(2 layers). */
const INIT_STD = 0.02;

export function decoderParameters(config: DecoderConfig): ParameterSpec[] {
  const { vocabSize, layers, width, heads, kvHeads, headDim, ffn } = config;
  const residual = INIT_STD / Math.sqrt(2 * layers);
  const specs: ParameterSpec[] = [
    { name: "model.embed_tokens.weight", shape: [vocabSize, width], init: INIT_STD },
  ];
  for (let layer = 0; layer < layers; layer++) {
    const block = (name: string, shape: number[], init: number | "ones"): void => {
      specs.push({ name: `model.layers.${layer}.${name}.weight`, shape, init });
    };
    block("input_layernorm", [width], "ones");
    block("self_attn.q_proj", [heads * headDim, width], INIT_STD);
    block("self_attn.k_proj", [kvHeads * headDim, width], INIT_STD);
    block("self_attn.v_proj", [kvHeads * headDim, width], INIT_STD);
    block("self_attn.o_proj", [width, heads * headDim], residual);
    block("post_attention_layernorm", [width], "ones");
    block("mlp.gate_proj", [ffn, width], INIT_STD);
    block("mlp.up_proj", [ffn, width], INIT_STD);
    block("mlp.down_proj", [width, ffn], residual);
  }
  specs.push({ name: "model.norm.weight", shape: [width], init: "ones" });
  if (!config.tieEmbeddings)
    specs.push({ name: "lm_head.weight", shape: [vocabSize, width], init: INIT_STD });
  return specs;
}

/** Keys and values of one layer, [batch, kvHeads, seq, headDim]. */
export interface KeysValues {
  keys: Tensor;
  values: Tensor;
}

interface BlockContext {
  config: DecoderConfig;
  tables: RotaryTables;
  positions: Tensor;
  /** What differs between whole sequences and one cached token. */
  attend: (q: Tensor, kv: KeysValues) => Tensor;
}

/** The parameters of a block, in the order in which they are declared. */
const BLOCK_PARAMETERS = [
  "input_layernorm",
  "self_attn.q_proj",
  "self_attn.k_proj",
  "self_attn.v_proj",
  "self_attn.o_proj",
  "post_attention_layernorm",
  "mlp.gate_proj",
  "mlp.up_proj",
  "mlp.down_proj",
] as const;
type BlockWeights = Record<(typeof BLOCK_PARAMETERS)[number], Tensor>;

/** x [batch, seq, width] + attention(norm(x)), then + SwiGLU(norm(.)). */
function block(
  x: Tensor,
  weights: BlockWeights,
  { config, tables, positions, attend }: BlockContext,
): Tensor {
  const { graph } = x;
  const mixed = graph.scope("attn", () => {
    const normed = graph.scope("norm", () => rmsNorm(x, weights.input_layernorm, config.normEps));
    const heads = (name: "q" | "k" | "v", count: number) =>
      graph.scope(name, () => projectHeads(normed, weights[`self_attn.${name}_proj`], count, config.headDim));
    const rotated = (name: "q" | "k", count: number) => {
      const projected = heads(name, count);
      return graph.scope(name, () => rope(projected, tables.cos, tables.sin, positions));
    };
    const q = rotated("q", config.heads);
    const context = attend(q, { keys: rotated("k", config.kvHeads), values: heads("v", config.kvHeads) });
    return add(
      x,
      graph.scope("o", () => linear(context, weights["self_attn.o_proj"])),
    );
  });
  return graph.scope("mlp", () => {
    const normed = graph.scope("norm", () =>
      rmsNorm(mixed, weights.post_attention_layernorm, config.normEps),
    );
    const gate = graph.scope("gate", () => linear(normed, weights["mlp.gate_proj"]));
    const up = graph.scope("up", () => linear(normed, weights["mlp.up_proj"]));
    const hidden = graph.scope("swiglu", () => swiglu(gate, up));
    return add(
      mixed,
      graph.scope("down", () => linear(hidden, weights["mlp.down_proj"])),
    );
  });
}

type Attend = (layer: number, q: Tensor, kv: KeysValues) => Tensor;

/** Embedding, blocks and the final norm: [batch, seq, width]. */
function trunk(
  parameters: Parameters,
  config: DecoderConfig,
  { ids, positions }: Pick<DecoderInputs, "ids" | "positions">,
  attend: Attend,
  recomputed = false,
): Tensor {
  const { graph } = ids;
  const tables = rotaryTables(graph, config.maxPositions, config.headDim, config.ropeTheta);
  let x = graph.scope("embed", () => embed(parameter(parameters, "model.embed_tokens.weight"), ids));
  for (let layer = 0; layer < config.layers; layer++) {
    const context = {
      config,
      tables,
      positions,
      attend: (q: Tensor, kv: KeysValues) => attend(layer, q, kv),
    };
    const weights = BLOCK_PARAMETERS.map((name) =>
      parameter(parameters, `model.layers.${layer}.${name}.weight`),
    );
    const make = ([input, ...own]: readonly Tensor[]) =>
      block(
        input,
        Object.fromEntries(BLOCK_PARAMETERS.map((name, i) => [name, own[i]])) as BlockWeights,
        context,
      );
    x = graph.scope(`layers.${layer}`, () =>
      recomputed ? recompute([x, ...weights], make) : make([x, ...weights]),
    );
  }
  return graph.scope("norm", () => rmsNorm(x, parameter(parameters, "model.norm.weight"), config.normEps));
}

function head(parameters: Parameters, config: DecoderConfig, hidden: Tensor): Tensor {
  const name = config.tieEmbeddings ? "model.embed_tokens.weight" : "lm_head.weight";
  return hidden.graph.scope("head", () => linear(hidden, parameter(parameters, name)));
}

export interface DecoderInputs {
  /** Token ids, [batch, seq] i32. */
  ids: Tensor;
  /** Positions, [batch, seq] i32, below `maxPositions`. */
  positions: Tensor;
  /** 0 where a query may look and `MASKED` where not; broadcasts to [batch, heads, seq, seq]. */
  mask: Tensor;
}

/** Whole sequences: logits [batch, seq, vocab], and the keys and values of each layer for a cache. */
export function decoder(
  parameters: Parameters,
  config: DecoderConfig,
  inputs: DecoderInputs,
  options: { recompute?: boolean } = {},
): { logits: Tensor; cache: KeysValues[] } {
  const cache: KeysValues[] = [];
  const attend: Attend = (layer, q, kv) => {
    cache[layer] = kv;
    return mergeHeads(attention(q, kv.keys, kv.values, inputs.mask));
  };
  const hidden = trunk(parameters, config, inputs, attend, options.recompute);
  return { logits: head(parameters, config, hidden), cache };
}

export interface CachedInputs {
  /** The newest token of each row, [batch, 1] i32, and its position. */
  ids: Tensor;
  positions: Tensor;
  /** Earlier keys and values of each layer, [batch, kvHeads, past, headDim]. */
  cache: KeysValues[];
  /** 0 for a slot of the cache that the row has filled and `MASKED` for others, [batch, 1, 1, past]. */
  mask: Tensor;
}

/** One token a row over a cache: logits [batch, vocab], and the new keys and values to be stored. */
export function cachedDecoder(
  parameters: Parameters,
  config: DecoderConfig,
  inputs: CachedInputs,
): { logits: Tensor; fresh: KeysValues[] } {
  const fresh: KeysValues[] = [];
  const [batch] = inputs.ids.shape;
  const hidden = trunk(parameters, config, inputs, (layer, q, kv) => {
    fresh[layer] = kv;
    return cachedAttention(q, kv, inputs.cache[layer], inputs.mask, config);
  });
  const logits = head(parameters, config, hidden);
  return { logits: reshape(logits, [batch, config.vocabSize]), fresh };
}

/**
 * Attention of one new token to the cache and to itself, the two joined in one softmax without a copy of the cache:
 * with m the largest score, out = (e^(s - m) V + e^(s₀ - m) v₀) / (sum e^(s - m) + e^(s₀ - m)).
 * q [batch, heads, 1, headDim] -> [batch, 1, heads · headDim].
 */
function cachedAttention(
  q: Tensor,
  own: KeysValues,
  past: KeysValues,
  mask: Tensor,
  config: DecoderConfig,
): Tensor {
  const { heads, kvHeads, headDim } = config;
  const [batch] = q.shape;
  const scale = headDim ** -0.5;
  // Queries that share a key head form its rows: [batch, kvHeads, heads / kvHeads, headDim].
  const queries = reshape(q, [batch, kvHeads, heads / kvHeads, headDim]);
  const scores = add(matmul(queries, past.keys, { transB: true, alpha: scale }), mask);
  const ownScore = mul(sum(mul(queries, own.keys), [-1], true), scale);
  const peak = maximum(max(scores, [-1], true), ownScore);
  const weights = exp(sub(scores, peak));
  const ownWeight = exp(sub(ownScore, peak));
  const total = add(sum(weights, [-1], true), ownWeight);
  const context = div(add(matmul(weights, past.values), mul(ownWeight, own.values)), total);
  return reshape(context, [batch, 1, heads * headDim]);
}
