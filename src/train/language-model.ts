/** The loss of pretraining and SFT, and the batch that it reads. */
import type { LanguageModelBatch } from "../data/packing.ts";
import { input } from "../graph/ops/source.ts";
import { type ModelConfig, modelOf } from "../models/architectures.ts";
import { type SequenceShape, sequenceInputs } from "../models/decoder.ts";
import type { LossFactors } from "../models/design.ts";
import { crossEntropy } from "../models/loss.ts";
import { causalMask } from "../models/masks.ts";
import { f32, type HostValue, i32 } from "../runtime/value.ts";
import type { BuildLoss } from "./trace-step.ts";

export interface BatchShape extends SequenceShape {
  /** Compute each block again in the backward pass instead of keeping its activations. */
  recompute?: boolean;
  /** Rows end in padding. */
  padded?: boolean;
}

/** What V3's training is told beyond its loss. */
export interface V3Factors extends LossFactors {
  /** γ: how far a router's bias moves in a step, until the last steps (see `biasFactor`). */
  biasRate: number;
}

/** As V3's pretraining begins (section 4.2). */
export const V3_FACTORS: V3Factors = { balanceFactor: 1e-4, mtpFactor: 0.3, biasRate: 0.001 };

/**
 * Weighted cross-entropy: loss = -sum w_t log p(target_t), where the weights [batch, seq] carry both the loss mask and
 * the one denominator (1 / number of trained tokens of the update), so micro-batches add up exactly.
 *
 * With `factors`, the loss of the model's design, if it has one of its own.
 */
export function languageModelLoss(config: ModelConfig, shape: BatchShape, factors?: LossFactors): BuildLoss {
  return (graph, parameters) => {
    const perToken = (name: string, dtype: "i32" | "f32") =>
      input(graph, name, dtype, [shape.batch, shape.seq]);
    const model = modelOf(config);
    const inputs = sequenceInputs(graph, shape);
    const targets = perToken("targets", "i32");
    const weights = perToken("weights", "f32");
    const { recompute } = shape;
    if (factors === undefined || model.loss === null) {
      const { logits } = model.forward(parameters, inputs, { recompute });
      return { loss: crossEntropy(logits, targets, weights), measurements: {} };
    }
    const options = { recompute, fed: shape.padded ? perToken("fed", "f32") : undefined };
    return model.loss(model, parameters, { inputs, targets, weights, options, perToken }, factors);
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

/**
 * Targets of MTP: position i predicts the target of position i + 1 where both count, under
 * the weight of the latter. The last position of a row predicts nothing, nor does the last one of an example that another
 * example or padding follows: the token that it is shown is not the one that position i + 1 reads.
 */
export function mtpFeeds({
  ids: read,
  targets,
  weights,
  batch,
  seq,
}: LanguageModelBatch): Record<string, HostValue> {
  const ids = new Int32Array(batch * seq);
  const counted = new Float32Array(batch * seq);
  for (let i = 0; i + 1 < batch * seq; i++) {
    if (i % seq === seq - 1 || targets[i] !== read[i + 1]) continue;
    ids[i] = targets[i + 1];
    if (weights[i] !== 0) counted[i] = weights[i + 1];
  }
  return { mtpTargets: i32(ids, [batch, seq]), mtpWeights: f32(counted, [batch, seq]) };
}

/** How many of a batch's positions have an MTP target that counts. */
export const mtpTokens = (batch: LanguageModelBatch): number =>
  (mtpFeeds(batch).mtpWeights.data as Float32Array).filter((weight) => weight !== 0).length;
