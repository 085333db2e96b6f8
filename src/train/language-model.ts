/** The language-modelling loss for pretraining and SFT, and the batch it reads. */

import type { LanguageModelBatch } from "../data/packing.ts";
import { input } from "../graph/ops/source.ts";
import { mul, neg, sum, tokenLogProbs } from "../graph/ops.ts";
import type { Graph } from "../graph/tensor.ts";
import { type ModelConfig, modelOf } from "../models/architectures.ts";
import { type SequenceShape, sequenceInputs } from "../models/decoder.ts";
import type { Parameters } from "../models/layers.ts";
import { causalMask } from "../models/masks.ts";
import { f32, type HostValue, i32 } from "../runtime/session.ts";
import type { LossGraph } from "./trace-step.ts";

export interface BatchShape extends SequenceShape {
  /** Compute each block again in the backward pass instead of keeping its activations. */
  recompute?: boolean;
  /** Rows end in padding. */
  padded?: boolean;
}

/**
 * Weighted cross-entropy: loss = -sum w_t log p(target_t), where the weights [batch, seq] carry both the loss mask and
 * the one denominator (1 / number of trained tokens of the whole update), so micro-batches add up exactly.
 */
export function languageModelLoss(
  config: ModelConfig,
  shape: BatchShape,
): (graph: Graph, parameters: Parameters) => LossGraph {
  return (graph, parameters) => {
    const inputs = sequenceInputs(graph, shape);
    const targets = input(graph, "targets", "i32", [shape.batch, shape.seq]);
    const weights = input(graph, "weights", "f32", [shape.batch, shape.seq]);
    const { logits } = modelOf(config).forward(parameters, inputs, { recompute: shape.recompute });
    return graph.scope("loss", () => {
      const { logProbs } = tokenLogProbs(logits, targets);
      return { loss: neg(sum(mul(logProbs, weights))), measurements: {} };
    });
  };
}

/** The feeds of a batch whose rows share the causal mask and count positions from 0. */
export function batchFeeds({
  ids,
  targets,
  weights,
  batch,
  seq,
}: LanguageModelBatch): Record<string, HostValue> {
  const positions = Int32Array.from({ length: batch * seq }, (_, i) => i % seq);
  return {
    ids: i32(ids, [batch, seq]),
    targets: i32(targets, [batch, seq]),
    weights: f32(weights, [batch, seq]),
    positions: i32(positions, [batch, seq]),
    mask: causalMask(seq),
  };
}
