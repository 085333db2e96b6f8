/**
 * DeepSeek-V3 (arXiv 2412.19437, section 2): pre-norm blocks of multi-head latent attention and, after the first dense
 * layers, DeepSeekMoE. The module that predicts a further token is in v3-mtp.ts.
 */
import { add, linear, rmsNorm } from "../graph/ops.ts";
import { recomputeAll } from "../graph/recompute.ts";
import { GraphError, type Tensor } from "../graph/tensor.ts";
import { type CachedStep, cacheMasks, flatLogits, wantedTokens } from "./cache.ts";
import type { DecoderInputs, WholeOptions } from "./dense.ts";
import { embed, type Parameters, parameter } from "./layers.ts";
import { absorbedAttention, expandedAttention, type MlaContext, overCache, rotarySettings } from "./mla.ts";
import { balanceLoss, moe, swigluLayer } from "./moe.ts";
import { rotaryTables } from "./rope.ts";
import type { V3Config } from "./v3-config.ts";
import { isRouted, layerParameters, layerWeights, type Weights } from "./v3-parameters.ts";

/** What one routed layer did. */
export interface LayerRouting {
  layer: number;
  /** The experts that each token chose, [batch · seq, active] i64, best first. */
  choices: Tensor;
  /** Tokens of each expert, [experts] i64. */
  load: Tensor;
  /** The sequence-wise balance loss without its factor, where it was asked for. */
  balance: Tensor | null;
}

export interface V3Options extends WholeOptions {
  /** Trace the balance loss of each routed layer; sizes must be fixed. */
  balance?: boolean;
  /** Where rows end in padding: 1 for a token and 0 for padding, [batch, seq] f32. */
  fed?: Tensor;
}

export type Attend = (x: Tensor, weights: Weights) => { out: Tensor; cache: Tensor };

interface BlockResult {
  x: Tensor;
  /** What a cache would hold of this layer, [batch, 1, seq, latent + rope]. */
  cache: Tensor;
  routing: Omit<LayerRouting, "layer"> | null;
}

/** x + attention(norm(x)), then + SwiGLU or experts of norm(.). */
function block(
  x: Tensor,
  weights: Weights,
  config: V3Config,
  layer: number,
  attend: Attend,
  { balance: balanced = false, fed }: Pick<V3Options, "balance" | "fed">,
): BlockResult {
  const { graph } = x;
  const normed = (input: Tensor, name: string) =>
    graph.scope("norm", () => rmsNorm(input, weights(`${name}.weight`), config.normEps));
  const [mixed, cache] = graph.scope("attn", () => {
    const { out, cache } = attend(normed(x, "input_layernorm"), weights);
    return [add(x, out), cache];
  });
  return graph.scope("mlp", () => {
    const input = normed(mixed, "post_attention_layernorm");
    if (!isRouted(config, layer))
      return { x: add(mixed, swigluLayer(input, weights, "mlp")), cache, routing: null };
    const { out, choices, load, scores } = moe(input, weights, config);
    const [batch, seq] = x.shape;
    if (balanced && (typeof batch !== "number" || typeof seq !== "number"))
      throw new GraphError("the balance loss needs a fixed batch and sequence");
    const balance = balanced
      ? graph.scope("balance", () => balanceLoss(scores, batch as number, seq as number, config, fed))
      : null;
    return { x: add(mixed, out), cache, routing: { choices, load, balance } };
  });
}

/** A block whose inner values are kept, or computed again in the backward pass. */
export function runBlock(
  x: Tensor,
  parameters: Parameters,
  config: V3Config,
  layer: number,
  attend: Attend,
  options: V3Options,
): BlockResult {
  const { graph } = x;
  const make = (input: Tensor, weights: Weights) => block(input, weights, config, layer, attend, options);
  if (options.recompute !== true)
    return graph.scope(`layers.${layer}`, () => make(x, layerWeights(parameters, layer)));
  const names = layerParameters(config, layer).map(({ name }) => name);
  const weights = layerWeights(parameters, layer);
  const outputs = graph.scope(`layers.${layer}`, () =>
    recomputeAll([x, ...names.map(weights)], ([input, ...own]) => {
      const byName = new Map(names.map((name, i) => [name, own[i]]));
      const result = make(input, (name) => byName.get(name) as Tensor);
      const { choices, load, balance } = result.routing ?? {};
      return [result.x, result.cache, choices, load, balance].filter((t) => t !== undefined && t !== null);
    }),
  );
  const [out, cache, choices, load, balance] = outputs;
  const routing = choices === undefined ? null : { choices, load, balance: balance ?? null };
  return { x: out, cache, routing };
}

export interface V3Result {
  /** [batch, seq, vocab] */
  logits: Tensor;
  /** After the final norm, [batch, seq, width]: what the module that predicts a further token reads. */
  hidden: Tensor;
  /** For each layer what a cache holds, [batch, 1, seq, latent + rope]. */
  cache: Tensor[];
  routing: LayerRouting[];
  context: MlaContext;
}

export function embedding(parameters: Parameters, ids: Tensor): Tensor {
  return ids.graph.scope("embed", () => embed(parameter(parameters, "model.embed_tokens.weight"), ids));
}

export function head(parameters: Parameters, config: V3Config, hidden: Tensor): Tensor {
  const name = config.tieEmbeddings ? "model.embed_tokens.weight" : "lm_head.weight";
  return hidden.graph.scope("head", () => linear(hidden, parameter(parameters, name)));
}

export function trunk(
  parameters: Parameters,
  config: V3Config,
  { ids, positions }: { ids: Tensor; positions: Tensor },
  attend: (layer: number, context: MlaContext) => Attend,
  options: V3Options,
): V3Result {
  const { graph } = ids;
  const context = { config, tables: rotaryTables(graph, rotarySettings(config)), positions };
  let x = embedding(parameters, ids);
  const cache: Tensor[] = [];
  const routing: LayerRouting[] = [];
  for (let layer = 0; layer < config.layers; layer++) {
    const result = runBlock(x, parameters, config, layer, attend(layer, context), options);
    x = result.x;
    cache.push(result.cache);
    if (result.routing !== null) routing.push({ layer, ...result.routing });
  }
  const hidden = graph.scope("norm", () =>
    rmsNorm(x, parameter(parameters, "model.norm.weight"), config.normEps),
  );
  const logits = head(parameters, config, options.wanted?.(hidden) ?? hidden);
  return { logits, hidden, cache, routing, context };
}

/** Whole sequences, attention in its expanded form. */
export function v3Decoder(
  parameters: Parameters,
  config: V3Config,
  inputs: DecoderInputs,
  options: V3Options = {},
): V3Result {
  return trunk(parameters, config, inputs, (_layer, context) => expanded(inputs.mask, context), options);
}

export const expanded =
  (mask: Tensor, context: MlaContext): Attend =>
  (x, weights) =>
    expandedAttention(x, weights, mask, context);

/** New tokens over a cache, attention in its absorbed form: see `Model.decode`. */
export function v3CachedDecoder(
  parameters: Parameters,
  config: V3Config,
  step: CachedStep,
): { logits: Tensor; hidden: Tensor; fresh: Tensor[] } {
  const { cache, chunk } = step;
  const masks = cacheMasks(step, config.heads);
  const attend =
    (layer: number, context: MlaContext): Attend =>
    (x, weights) =>
      absorbedAttention(x, weights, overCache(cache[layer], masks), context);
  const wanted = chunk && ((hidden: Tensor) => wantedTokens(hidden, chunk.last));
  const { logits, hidden, cache: fresh } = trunk(parameters, config, step, attend, { wanted });
  return { logits: flatLogits(logits), hidden, fresh };
}
