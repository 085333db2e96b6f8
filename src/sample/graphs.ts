/** The graphs of a sampler: one decodes over the cache, and one reads whole prompts where the first one takes no chunks. */
import { MASKED } from "../graph/ops/nn.ts";
import { constant, input } from "../graph/ops/source.ts";
import { add, argmax, cast, concat, exp, gather, max, mul, reshape, slice, sub } from "../graph/ops.ts";
import { type Dim, Graph, GraphError, sumDims, type Tensor } from "../graph/tensor.ts";
import { type CacheLayer, type ModelConfig, type MtpModule, modelOf } from "../models/architectures.ts";
import { sequenceInputs } from "../models/decoder.ts";
import { type ParameterMaker, type Parameters, parameterInputs } from "../models/layers.ts";
import { causalMask } from "../models/masks.ts";
import { f32, i32, type Value } from "../runtime/value.ts";
import type { KvCache } from "./cache.ts";

/** The graph that reads prompts: for each cache layer `new.<layer>`, what the cache holds of the tokens. */
export function tracePrefill(config: ModelConfig, maker: ParameterMaker = parameterInputs): Graph {
  const graph = new Graph();
  const model = modelOf(config);
  const parameters = maker(graph, model.parameters);
  const inputs = sequenceInputs(graph, { batch: "batch", seq: "seq", mask: "shared" });
  outputNew(graph, model.cacheLayers, model.forward(parameters, inputs).cache);
  return graph;
}

/** New tokens of a batch. */
export interface TokenBatch {
  /** [batch, seq]. */
  ids: Int32Array;
  /** For each row, how many tokens of its sequence come before; rows after these are padding. */
  starts: readonly number[];
  batch: number;
  maxPositions: number;
}

/** Inputs of `tracePrefill`. */
export const prefillFeeds = (tokens: TokenBatch): Record<string, Value> => ({
  ...tokenFeeds(tokens, 0),
  mask: causalMask(tokens.ids.length / tokens.batch),
});

/** Ids and positions, with positions of the drafts that follow. */
function tokenFeeds({ ids, starts, batch, maxPositions }: TokenBatch, drafts: number): Record<string, Value> {
  const seq = ids.length / batch;
  const total = seq + drafts;
  const [positions, last] = [new Int32Array(batch * total), maxPositions - 1];
  starts.forEach((start, row) => {
    // Drafts beyond the last position are never used, so any position will do for them.
    for (let i = 0; i < total; i++) positions[row * total + i] = Math.min(start + i, last);
  });
  return { ids: i32(ids, [batch, seq]), positions: i32(positions, [batch, total]) };
}

/** Inputs of `traceDecode` but `scale` and those of drafts: the logits of the last token and of the drafts are asked for. */
export function decodeFeeds(tokens: TokenBatch, cache: KvCache, drafts: number): Record<string, Value> {
  const { ids, starts, batch } = tokens;
  const { capacity } = cache;
  const seq = ids.length / batch;
  const mask = new Float32Array(batch * capacity);
  starts.forEach((start, row) => {
    mask.fill(MASKED, row * capacity + start, (row + 1) * capacity);
  });
  return {
    ...cache.feeds(batch),
    ...tokenFeeds(tokens, drafts),
    mask: f32(mask, [batch, 1, 1, capacity]),
    chunkMask: causalMask(seq + drafts),
    last: i32(Array.from({ length: 1 + drafts }, (_, i) => seq - 1 + i)),
  };
}

export interface DecodeOptions {
  parameters?: ParameterMaker;
  /** Takes several new tokens a row, [batch, seq], so that it reads prompts as well. */
  chunks?: boolean;
  /** Tokens that the model's MTP module drafts after these, for a batch of one row of chunks. */
  drafts?: number;
}

/**
 * The graph that decodes one token a row, or a chunk, over the cache. Outputs: `logits` and `weights` = e^(logits · scale -
 * largest), [batch, vocab], of a chunk those of its tokens `last`, [last · batch, vocab]; and for each cache layer
 * `new.<layer>` [batch, heads, seq, width], what the cache stores of the new tokens. With drafts there are also `drafts`
 * [1, drafts] with `draftLogits` [drafts, vocab] and `hidden` [1, seq + drafts, hiddenSize], which the next run is fed.
 */
export function traceDecode(config: ModelConfig, options: DecodeOptions = {}): Graph {
  const { parameters: maker = parameterInputs, chunks = false, drafts = 0 } = options;
  const graph = new Graph();
  const model = modelOf(config);
  const mtp = drafts > 0 ? model.mtp : null;
  if (drafts > 0 && mtp === null) throw new GraphError("the model has no MTP module to draft with");
  const parameters = maker(graph, [...model.parameters, ...(mtp?.parameters ?? [])]);
  const batch = drafts > 0 ? 1 : "batch";
  const seq = chunks ? "seq" : 1;
  const total = sumDims([seq, drafts]);
  const scale = input(graph, "scale", "f32", []);
  let ids = input(graph, "ids", "i32", [batch, seq]);
  if (mtp !== null) ids = concat([ids, traceDrafts(mtp, config, parameters, drafts, scale)], 1);
  const { logits, hidden, newCache } = model.decode(parameters, {
    ids,
    positions: input(graph, "positions", "i32", [batch, total]),
    cache: cacheInputs(graph, model.cacheLayers, batch),
    mask: input(graph, "mask", "f32", [batch, 1, 1, "past"]),
    chunk: chunks
      ? {
          mask: input(graph, "chunkMask", "f32", [1, 1, total, total]),
          last: input(graph, "last", "i32", [1 + drafts]),
        }
      : undefined,
  });
  graph.output("logits", logits);
  graph.scope("sampling", () => {
    const scaled = mul(logits, scale);
    graph.output("weights", exp(sub(scaled, max(scaled, [-1], true))));
  });
  if (drafts > 0) graph.output("hidden", hidden);
  outputNew(graph, model.cacheLayers, newCache);
  return graph;
}

const cacheInputs = (graph: Graph, layers: readonly CacheLayer[], batch: Dim): Tensor[] =>
  layers.map(({ name, heads, width }) => input(graph, name, "f32", [batch, heads, "past", width]));

function outputNew(graph: Graph, layers: readonly CacheLayer[], values: readonly Tensor[]): void {
  layers.forEach(({ name }, i) => {
    graph.output(`new.${name}`, values[i]);
  });
}

/**
 * Drafts the tokens that follow the newest one of a single row, [1, drafts] i32, by the model's MTP module (DeepSeek-V3,
 * arXiv 2412.19437, section 5.4.3). The module reads pairs: what the model made of a token, and the token after it. Inputs
 * `mtp.*` are the pairs that it has not read yet, of which the last one ends with the newest token. A draft is the largest of
 * logits · scale + noise: with Gumbel noise it is a sample of their softmax (Gumbel 1954), without noise the likeliest token.
 * For a draft after the first the module takes its own output in place of the model's.
 */
function traceDrafts(
  mtp: MtpModule,
  { hiddenSize, vocabSize }: ModelConfig,
  parameters: Parameters,
  drafts: number,
  scale: Tensor,
): Tensor {
  const { graph } = scale;
  const floats = (name: string, shape: Dim[]) => input(graph, `mtp.${name}`, "f32", shape);
  const integers = (name: string, shape: Dim[]) => input(graph, `mtp.${name}`, "i32", shape);
  const last = integers("last", [1]);
  const noise = floats("noise", [drafts, vocabSize]);
  let cache = cacheInputs(graph, mtp.cacheLayers, 1);
  let module = mtp.decode(parameters, {
    hidden: floats("hidden", [1, "pairs", hiddenSize]),
    ids: integers("ids", [1, "pairs"]),
    positions: integers("positions", [1, "pairs"]),
    cache,
    mask: floats("mask", [1, 1, 1, "past"]),
    chunk: { mask: floats("chunkMask", [1, 1, "pairs", "pairs"]), last },
  });
  outputNew(graph, mtp.cacheLayers, module.newCache);
  let hidden = reshape(gather(reshape(module.hidden, ["pairs", hiddenSize]), last), [1, 1, hiddenSize]);
  const ids: Tensor[] = [];
  const logits: Tensor[] = [];
  let mask: Tensor | null = null;
  for (let i = 0; i < drafts; i++) {
    if (i > 0) {
      cache = cache.map((past, layer) => concat([past, module.newCache[layer]], 2));
      mask =
        mask === null
          ? floats("laterMask", [1, 1, 1, sumDims(["past", "pairs"])])
          : concat([mask, constant(graph, 0, [1, 1, 1, 1])], 3);
      const positions = integers(`position.${i}`, [1, 1]);
      module = mtp.decode(parameters, { hidden, ids: ids[i - 1], positions, cache, mask });
      hidden = module.hidden;
    }
    graph.scope(`draft.${i}`, () => {
      logits.push(mul(module.logits, scale));
      const id = argmax(add(logits[i], slice(noise, 0, i, i + 1)));
      ids.push(reshape(cast(id, "i32"), [1, 1]));
    });
  }
  const drafted = concat(ids, 1);
  graph.output("drafts", drafted);
  graph.output("draftLogits", concat(logits, 0));
  return drafted;
}
