/**
 * The dense DeepSeek LLM decoder (arXiv 2401.02954, section 2.2; Llama's block): pre-norm RMSNorm, attention with RoPE
 * and MHA or grouped queries, SwiGLU; on request with Qwen2's biases or Qwen3's norms of queries and keys. Parameter
 * names are those of Hugging Face's LlamaForCausalLM, Qwen2ForCausalLM and Qwen3ForCausalLM.
 */
import { add, attention, linear, reshape, rmsNorm, rope, swiglu } from "../graph/ops.ts";
import { recompute } from "../graph/recompute.ts";
import type { Tensor } from "../graph/tensor.ts";
import {
  type CachedStep,
  cachedAttention,
  cacheMasks,
  flatLogits,
  type KeysValues,
  wantedTokens,
} from "./cache.ts";
import type { DecoderConfig } from "./config.ts";
import { embed, mergeHeads, type ParameterSpec, type Parameters, parameter, projectHeads } from "./layers.ts";
import { type RotaryTables, rotaryTables } from "./rope.ts";

/** Standard deviation of the initial matrices; those that write into the residual stream get it / sqrt(2 layers). */
const INIT_STD = 0.02;

type BlockParameter =
  | `${"input" | "post_attention"}_layernorm.weight`
  | `self_attn.${"q" | "k" | "v" | "o"}_proj.weight`
  | `mlp.${"gate" | "up" | "down"}_proj.weight`;
/** What only some families have. */
type FamilyParameter = `self_attn.${"q" | "k" | "v"}_proj.bias` | `self_attn.${"q" | "k"}_norm.weight`;

type BlockWeights = Record<BlockParameter, Tensor> & Partial<Record<FamilyParameter, Tensor>>;

/** The parameters of one block, named without the block. */
function blockParameters(config: DecoderConfig): (ParameterSpec & { name: keyof BlockWeights })[] {
  const {
    layers,
    hiddenSize: width,
    heads,
    kvHeads,
    headDim,
    intermediateSize: ffn,
    qkvBias,
    qkNorm,
  } = config;
  const residual = INIT_STD / Math.sqrt(2 * layers);
  const projection = (name: "q" | "k" | "v", count: number) => [
    {
      name: `self_attn.${name}_proj.weight`,
      role: name === "q" ? "projection" : "kvProjection",
      shape: [count * headDim, width],
      init: INIT_STD,
    } as const,
    ...(qkvBias
      ? [{ name: `self_attn.${name}_proj.bias`, role: "bias", shape: [count * headDim], init: 0 } as const]
      : []),
  ];
  const headNorm = (name: "q" | "k") =>
    qkNorm
      ? [{ name: `self_attn.${name}_norm.weight`, role: "norm", shape: [headDim], init: "ones" } as const]
      : [];
  return [
    { name: "input_layernorm.weight", role: "norm", shape: [width], init: "ones" },
    ...projection("q", heads),
    ...headNorm("q"),
    ...projection("k", kvHeads),
    ...headNorm("k"),
    ...projection("v", kvHeads),
    { name: "self_attn.o_proj.weight", role: "projection", shape: [width, heads * headDim], init: residual },
    { name: "post_attention_layernorm.weight", role: "norm", shape: [width], init: "ones" },
    { name: "mlp.gate_proj.weight", role: "projection", shape: [ffn, width], init: INIT_STD },
    { name: "mlp.up_proj.weight", role: "projection", shape: [ffn, width], init: INIT_STD },
    { name: "mlp.down_proj.weight", role: "projection", shape: [width, ffn], init: residual },
  ];
}

export function decoderParameters(config: DecoderConfig): ParameterSpec[] {
  const { vocabSize, layers, hiddenSize: width } = config;
  const blocks = Array.from({ length: layers }, (_, layer) =>
    blockParameters(config).map((spec) => ({ ...spec, name: `model.layers.${layer}.${spec.name}` })),
  );
  const specs: ParameterSpec[] = [
    { name: "model.embed_tokens.weight", role: "embedding", shape: [vocabSize, width], init: INIT_STD },
    ...blocks.flat(),
    { name: "model.norm.weight", role: "norm", shape: [width], init: "ones" },
  ];
  if (!config.tieEmbeddings)
    specs.push({ name: "lm_head.weight", role: "head", shape: [vocabSize, width], init: INIT_STD });
  return specs;
}

interface BlockContext {
  config: DecoderConfig;
  tables: RotaryTables;
  positions: Tensor;
  /** What differs between whole sequences and one cached token. */
  attend: (q: Tensor, kv: KeysValues) => Tensor;
}

/** x [batch, seq, width] + attention(norm(x)), then + SwiGLU(norm(.)). */
function block(
  x: Tensor,
  weights: BlockWeights,
  { config, tables, positions, attend }: BlockContext,
): Tensor {
  const { graph } = x;
  const mixed = graph.scope("attn", () => {
    const normed = graph.scope("norm", () => rmsNorm(x, weights["input_layernorm.weight"], config.normEps));
    const heads = (name: "q" | "k" | "v", count: number) =>
      graph.scope(name, () => {
        const weight = weights[`self_attn.${name}_proj.weight`];
        return projectHeads(normed, weight, count, config.headDim, weights[`self_attn.${name}_proj.bias`]);
      });
    const rotated = (name: "q" | "k", count: number) => {
      const projected = heads(name, count);
      return graph.scope(name, () => {
        const norm = weights[`self_attn.${name}_norm.weight`];
        const scaled = norm === undefined ? projected : rmsNorm(projected, norm, config.normEps);
        return rope(scaled, tables.cos, tables.sin, positions);
      });
    };
    const q = rotated("q", config.heads);
    const context = attend(q, { keys: rotated("k", config.kvHeads), values: heads("v", config.kvHeads) });
    return add(
      x,
      graph.scope("o", () => linear(context, weights["self_attn.o_proj.weight"])),
    );
  });
  return graph.scope("mlp", () => {
    const normed = graph.scope("norm", () =>
      rmsNorm(mixed, weights["post_attention_layernorm.weight"], config.normEps),
    );
    const gate = graph.scope("gate", () => linear(normed, weights["mlp.gate_proj.weight"]));
    const up = graph.scope("up", () => linear(normed, weights["mlp.up_proj.weight"]));
    const hidden = graph.scope("swiglu", () => swiglu(gate, up));
    return add(
      mixed,
      graph.scope("down", () => linear(hidden, weights["mlp.down_proj.weight"])),
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
  const tables = rotaryTables(graph, config);
  const names = blockParameters(config).map(({ name }) => name);
  let x = graph.scope("embed", () => embed(parameter(parameters, "model.embed_tokens.weight"), ids));
  for (let layer = 0; layer < config.layers; layer++) {
    const context = {
      config,
      tables,
      positions,
      attend: (q: Tensor, kv: KeysValues) => attend(layer, q, kv),
    };
    const weights = names.map((name) => parameter(parameters, `model.layers.${layer}.${name}`));
    const make = ([input, ...own]: readonly Tensor[]) =>
      block(input, Object.fromEntries(names.map((name, i) => [name, own[i]])) as BlockWeights, context);
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

export interface WholeOptions {
  /** Compute each block again in the backward pass instead of keeping its activations. */
  recompute?: boolean;
  /** What the head reads of the hidden states [batch, seq, width], where not all of them. */
  wanted?: (hidden: Tensor) => Tensor;
}

/** Whole sequences: logits [batch, seq, vocab], and the keys and values of each layer for a cache. */
export function decoder(
  parameters: Parameters,
  config: DecoderConfig,
  inputs: DecoderInputs,
  options: WholeOptions = {},
): { logits: Tensor; cache: KeysValues[] } {
  const cache: KeysValues[] = [];
  const attend: Attend = (layer, q, kv) => {
    cache[layer] = kv;
    return mergeHeads(attention(q, kv.keys, kv.values, inputs.mask));
  };
  const hidden = trunk(parameters, config, inputs, attend, options.recompute);
  return { logits: head(parameters, config, options.wanted?.(hidden) ?? hidden), cache };
}

/** New tokens over a cache: see `Model.decode`. */
export function cachedDecoder(
  parameters: Parameters,
  config: DecoderConfig,
  step: CachedStep,
): { logits: Tensor; hidden: Tensor; fresh: Tensor[] } {
  const fresh: Tensor[] = [];
  const { chunk, cache } = step;
  const [batch] = step.ids.shape;
  const { heads, kvHeads, headDim } = config;
  const masks = cacheMasks(step, heads / kvHeads);
  const hidden = trunk(parameters, config, step, (layer, q, kv) => {
    fresh.push(kv.keys, kv.values);
    const past = { keys: cache[2 * layer], values: cache[2 * layer + 1] };
    const context = cachedAttention(q, kv, past, masks, headDim ** -0.5);
    if (chunk === undefined) return reshape(context, [batch, 1, heads * headDim]);
    return mergeHeads(reshape(context, q.shape, q));
  });
  const logits = head(parameters, config, chunk === undefined ? hidden : wantedTokens(hidden, chunk.last));
  return { logits: flatLogits(logits), hidden, fresh };
}
