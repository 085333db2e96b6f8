/** The two graphs of a sampler: one reads prompts, one decodes a token a row over the cache. */
import { input } from "../graph/ops/source.ts";
import { exp, max, mul, sub } from "../graph/ops.ts";
import { Graph, type Tensor } from "../graph/tensor.ts";
import { type ModelConfig, modelOf } from "../models/architectures.ts";
import { type ParameterMaker, parameterInputs } from "../models/layers.ts";

/** The graph that reads prompts and returns what the cache holds of them, by the planes' names. */
export function tracePrefill(config: ModelConfig, weights: ParameterMaker = parameterInputs): Graph {
  const graph = new Graph();
  const model = modelOf(config);
  const parameters = weights(graph, model.parameters);
  const ids = input(graph, "ids", "i32", ["batch", "seq"]);
  const positions = input(graph, "positions", "i32", ["batch", "seq"]);
  const mask = input(graph, "mask", "f32", [1, 1, "seq", "seq"]);
  const { cache } = model.forward(parameters, { ids, positions, mask });
  model.cacheLayers.forEach(({ name }, i) => {
    graph.output(name, cache[i]);
  });
  return graph;
}

/**
 * The graph that decodes one token a row: `logits` and `weights` = e^(logits · scale - largest) [batch, vocab], and
 * `fresh.<plane>` [batch, heads, 1, width]; with `chunks` of several tokens a row, [batch, heads, seq, width].
 */
export function traceDecode(
  config: ModelConfig,
  weights: ParameterMaker = parameterInputs,
  chunks = false,
): Graph {
  const graph = new Graph();
  const model = modelOf(config);
  const parameters = weights(graph, model.parameters);
  const seq = chunks ? "seq" : 1;
  const ids = input(graph, "ids", "i32", ["batch", seq]);
  const positions = input(graph, "positions", "i32", ["batch", seq]);
  const mask = input(graph, "mask", "f32", ["batch", 1, 1, "past"]);
  const cache = model.cacheLayers.map(({ name, heads, width }) =>
    input(graph, name, "f32", ["batch", heads, "past", width]),
  );
  const chunk = chunks
    ? { mask: input(graph, "chunkMask", "f32", [1, 1, "seq", "seq"]), last: input(graph, "last", "i32", [1]) }
    : undefined;
  const { logits, fresh } = model.decode(parameters, { ids, positions, cache, mask, chunk });
  outputLogits(graph, logits, input(graph, "scale", "f32", []));
  model.cacheLayers.forEach(({ name }, i) => {
    graph.output(`fresh.${name}`, fresh[i]);
  });
  return graph;
}

/** `logits` as an output, and `weights`: what each token weighs at the inverse temperature `scale`, the likeliest 1. */
export function outputLogits(graph: Graph, logits: Tensor, scale: Tensor): void {
  graph.output("logits", logits);
  graph.scope("sampling", () => {
    const scaled = mul(logits, scale);
    graph.output("weights", exp(sub(scaled, max(scaled, [-1], true))));
  });
}
