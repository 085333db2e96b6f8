/** The forward pass over rollouts, as their losses read it: logits where completions' tokens are predicted, and nowhere else. */
import { input } from "../graph/ops/source.ts";
import { gatherRows, mul, reshape } from "../graph/ops.ts";
import { type Graph, product, type Tensor } from "../graph/tensor.ts";
import { type ModelConfig, modelOf } from "../models/architectures.ts";
import { sequenceInputs } from "../models/decoder.ts";
import type { LayerRouting } from "../models/design.ts";
import type { Parameters } from "../models/layers.ts";
import { loadName, loadOf } from "../models/loss.ts";

export interface CompletionOptions {
  /** Compute each block again in the backward pass. */
  recompute?: boolean;
  /** One mask for all rows, or one each. */
  mask?: "shared" | "each";
}

/** What a loss of completions reads. */
export interface CompletionLogits {
  /** At the sampler's temperature, [completionTokens, vocab]. */
  logits: Tensor;
  /** The completions' tokens, [completionTokens] i32. */
  targets: Tensor;
  /** Of each token in the loss, [batch, seq]; 0 where it has no part. */
  weights: Tensor;
  /** A value of each completion token [completionTokens] at its position, [batch, seq]; 0 elsewhere. */
  placed(x: Tensor): Tensor;
  /** One more input, [batch, seq]. */
  perToken(name: string): Tensor;
  /** Tokens of each expert, by the output's name; none where the model has no routed layer. */
  loads(): Record<string, Tensor>;
}

/** Traces a decoder on the inputs of `microBatchFeeds`, and the scalar `inverseTemperature`. */
export function completionLogits(
  graph: Graph,
  config: ModelConfig,
  parameters: Parameters,
  { recompute, mask = "shared" }: CompletionOptions = {},
): CompletionLogits {
  const perToken = (name: string) => input(graph, name, "f32", ["batch", "seq"]);
  const rows = product(["batch", "seq"]);
  const indices = input(graph, "completionIndices", "i32", ["completionTokens"]);
  const inverse = input(graph, "inverseIndices", "i32", [rows]);
  // Prompts have no loss, so the head, the widest product of all, reads completions only.
  const { logits, routing } = modelOf(config).forward(
    parameters,
    sequenceInputs(graph, { batch: "batch", seq: "seq", mask }),
    {
      recompute,
      wanted: (hidden) => gatherRows(reshape(hidden, [rows, hidden.shape[2]]), indices, inverse),
    },
  );
  const weights = perToken("weights");
  return {
    logits: graph.scope("loss", () => mul(logits, input(graph, "inverseTemperature", "f32", []))),
    targets: input(graph, "completionTargets", "i32", ["completionTokens"]),
    weights,
    perToken,
    placed: (x) =>
      reshape(gatherRows(reshape(x, ["completionTokens", 1]), inverse, indices), ["batch", "seq"], weights),
    loads: () => expertLoads(graph, routing, () => reshape(perToken("fed"), [rows])),
  };
}

function expertLoads(
  graph: Graph,
  routing: readonly LayerRouting[],
  fed: () => Tensor,
): Record<string, Tensor> {
  if (routing.length === 0) return {};
  return graph.scope("load", () => {
    const present = fed();
    return Object.fromEntries(
      routing.map(({ layer, choices, load }) => [
        loadName(layer),
        loadOf(choices, present, load.shape[0] as number),
      ]),
    );
  });
}
