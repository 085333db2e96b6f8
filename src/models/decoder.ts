/**
 * The decoder that all designs have in common: embedding, pre-norm blocks of attention and a feed-forward layer, the
 * final norm and the head. Names of parameters are those of Hugging Face's checkpoints.
 */
import { input } from "../graph/ops/source.ts";
import { add, embedding, linear, rmsNorm } from "../graph/ops.ts";
import { recomputeAll } from "../graph/recompute.ts";
import type { Dim, Graph, Tensor } from "../graph/tensor.ts";
import { type CachedStep, cacheMasks, flatLogits, wantedTokens } from "./cache.ts";
import type {
  AttentionContext,
  CacheLayer,
  Decoded,
  Design,
  ForwardInputs,
  ForwardOptions,
  ForwardResult,
  LayerRouting,
  Routing,
  TrunkConfig,
} from "./design.ts";
import {
  matrix,
  normWeight,
  type ParameterSpec,
  type Parameters,
  parameter,
  type Weights,
} from "./layers.ts";
import { rotaryTables } from "./rope.ts";

const EMBEDDING = "model.embed_tokens";

/** Prefix of the names of a block's parameters. */
export const prefixOf = (layer: number): string => `model.layers.${layer}.`;

/** Numbers of the layers, without the one of MTP. */
export const trunkLayers = ({ config }: Design): number[] =>
  Array.from({ length: config.layers }, (_, layer) => layer);

/** The parameters of block `layer`, with their full names. */
export function blockParameters(design: Design, layer: number): ParameterSpec[] {
  const { hiddenSize } = design.config;
  const specs = [
    normWeight("input_layernorm", hiddenSize),
    ...design.attentionParameters,
    normWeight("post_attention_layernorm", hiddenSize),
    ...design.feedForwardParameters(layer),
  ];
  return specs.map((spec) => ({ ...spec, name: prefixOf(layer) + spec.name }));
}

export function trunkParameters(design: Design): ParameterSpec[] {
  const { vocabSize, hiddenSize, tieEmbeddings } = design.config;
  return [
    matrix(EMBEDDING, [vocabSize, hiddenSize], { role: "embedding" }),
    ...trunkLayers(design).flatMap((layer) => blockParameters(design, layer)),
    normWeight("model.norm", hiddenSize),
    ...(tieEmbeddings ? [] : [matrix("lm_head", [vocabSize, hiddenSize], { role: "head" })]),
  ];
}

/** The cache layers of these layers. */
export const cacheLayersOf = ({ cacheLayers }: Design, layers: readonly number[]): CacheLayer[] =>
  layers.flatMap((layer) => cacheLayers.map((cached) => ({ ...cached, name: `${cached.name}.${layer}` })));

export const rmsNormed = (x: Tensor, weight: Tensor, { normEps }: TrunkConfig, scope = "norm"): Tensor =>
  x.graph.scope(scope, () => rmsNorm(x, weight, normEps));

/** x + attention(norm(x)), then + feedForward(norm(.)). */
function block(
  design: Design,
  x: Tensor,
  weights: Weights,
  context: AttentionContext,
  options: ForwardOptions & { layer: number },
): { x: Tensor; cache: Tensor[]; routing?: Routing } {
  const { graph } = x;
  const { config } = design;
  const [mixed, cache] = graph.scope("attn", () => {
    const input = rmsNormed(x, weights("input_layernorm.weight"), config);
    const { out, cache } = design.attention(input, weights, context);
    return [add(x, out), cache];
  });
  return graph.scope("mlp", () => {
    const input = rmsNormed(mixed, weights("post_attention_layernorm.weight"), config);
    const { out, routing } = design.feedForward(input, weights, options);
    return { x: add(mixed, out), cache, routing };
  });
}

/** Blocks over x [batch, seq, hiddenSize]. */
export interface Run {
  design: Design;
  parameters: Parameters;
  layers: readonly number[];
  positions: Tensor;
  /** What attention of the nth of `layers` sees. */
  over(n: number): AttentionContext["over"];
  options: ForwardOptions;
}

export function runBlocks(x: Tensor, run: Run) {
  const { design, parameters, positions, options } = run;
  const tables = rotaryTables(x.graph, design.rotary);
  const [cache, routing]: [Tensor[], LayerRouting[]] = [[], []];
  let hidden = x;
  for (const [n, layer] of run.layers.entries()) {
    const specs = blockParameters(design, layer);
    const names = specs.map(({ name }) => name);
    const context = { tables, positions, over: run.over(n) };
    const make = ([input, ...own]: readonly Tensor[]) => {
      const byName = new Map(names.map((name, i) => [name, own[i]]));
      const weights = (name: string) => parameter(byName, prefixOf(layer) + name);
      return block(design, input, weights, context, { ...options, layer });
    };
    const inputs = [hidden, ...names.map((name) => parameter(parameters, name))];
    const result = x.graph.scope(`layers.${layer}`, () =>
      options.recompute ? recomputed(inputs, make) : make(inputs),
    );
    hidden = result.x;
    cache.push(...result.cache);
    const bias = specs.find(({ role }) => role === "routerBias")?.name;
    if (result.routing !== undefined) routing.push({ ...result.routing, layer, bias: bias as string });
  }
  return { hidden, cache, routing };
}

/** A block whose inner values are computed again in the backward pass. */
function recomputed(
  inputs: readonly Tensor[],
  make: (inputs: readonly Tensor[]) => ReturnType<typeof block>,
) {
  const [x, choices, load, balance] = recomputeAll(inputs, (again) => {
    const { x, routing } = make(again);
    return [x, routing?.choices, routing?.load, routing?.balance].filter((tensor) => tensor !== undefined);
  });
  return { x, cache: [], routing: choices && { choices, load, balance } };
}

export function embedTokens(parameters: Parameters, ids: Tensor): Tensor {
  return ids.graph.scope("embed", () => embedding(parameter(parameters, `${EMBEDDING}.weight`), ids));
}

export function head(parameters: Parameters, config: TrunkConfig, hidden: Tensor): Tensor {
  const name = config.tieEmbeddings ? EMBEDDING : "lm_head";
  return hidden.graph.scope("head", () => linear(hidden, parameter(parameters, `${name}.weight`)));
}

function trunk(
  run: Omit<Run, "layers" | "positions">,
  { ids, positions }: { ids: Tensor; positions: Tensor },
): ForwardResult {
  const { design, parameters, options } = run;
  const { config } = design;
  const blocks = runBlocks(embedTokens(parameters, ids), { ...run, layers: trunkLayers(design), positions });
  const hidden = rmsNormed(blocks.hidden, parameter(parameters, "model.norm.weight"), config);
  return { ...blocks, hidden, logits: head(parameters, config, options.wanted?.(hidden) ?? hidden) };
}

/** The shape of sequences that are read from their beginning. */
export interface SequenceShape {
  batch: Dim;
  seq: Dim;
  /** "shared": one causal mask for all rows; "each": a mask a row, as packed documents that must not see each other need. */
  mask: "shared" | "each";
}

/** The inputs of a graph that calls `forward`. */
export const sequenceInputs = (graph: Graph, { batch, seq, mask }: SequenceShape): ForwardInputs => ({
  ids: input(graph, "ids", "i32", [batch, seq]),
  positions: input(graph, "positions", "i32", [batch, seq]),
  mask: input(graph, "mask", "f32", [mask === "shared" ? 1 : batch, 1, seq, seq]),
});

/** See `Model.forward`. */
export const forward = (
  design: Design,
  parameters: Parameters,
  inputs: ForwardInputs,
  options: ForwardOptions = {},
): ForwardResult => trunk({ design, parameters, over: () => inputs, options }, inputs);

/** See `Model.decode`. */
export const decode = (design: Design, parameters: Parameters, step: CachedStep): Decoded =>
  decoded(trunk({ design, parameters, ...cachedRun(design, step) }, step));

/** The result of a run over a cache. */
export const decoded = ({ logits, hidden, cache }: ForwardResult): Decoded => ({
  logits: flatLogits(logits),
  hidden,
  newCache: cache,
});

/** How blocks see the cache of a step, and which hidden states the head reads. */
export function cachedRun(
  { config, cacheLayers }: Design,
  { mask, chunk, cache }: Pick<CachedStep, "mask" | "chunk" | "cache">,
) {
  const count = cacheLayers.length;
  const masks = cacheMasks({ mask, chunk }, config.heads / cacheLayers[0].heads);
  const over = (n: number) => ({ cache: cache.slice(n * count, (n + 1) * count), masks });
  const wanted = chunk && ((hidden: Tensor) => wantedTokens(hidden, chunk.last));
  return { over, options: { wanted } };
}
