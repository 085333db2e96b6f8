/** The loss of pretraining and SFT, also as DeepSeek-V3 is trained (arXiv 2412.19437), and the batch that it reads. */

import type { LanguageModelBatch } from "../data/packing.ts";
import { input } from "../graph/ops/source.ts";
import { add, cast, expandLike, mul, neg, reshape, scatter, sum, tokenLogProbs } from "../graph/ops.ts";
import { product, type Tensor } from "../graph/tensor.ts";
import { type ModelConfig, modelOf } from "../models/architectures.ts";
import { type SequenceShape, sequenceInputs } from "../models/decoder.ts";
import { causalMask } from "../models/masks.ts";
import { f32, type HostValue, i32 } from "../runtime/value.ts";
import type { BuildLoss } from "./trace-step.ts";

export interface BatchShape extends SequenceShape {
  /** Compute each block again in the backward pass instead of keeping its activations. */
  recompute?: boolean;
  /** Rows end in padding. */
  padded?: boolean;
}

/** Factors of the further losses of DeepSeek-V3 (arXiv 2412.19437). */
export interface V3LossOptions {
  /** α of the sequence-wise balance loss; 1e-4 in the paper, 0 for none. */
  balanceFactor: number;
  /** λ of the MTP loss; 0.3, later 0.1 in the paper (section 4.2), 0 for none. */
  mtpFactor: number;
}

/** What V3's training is told beyond its loss. */
export interface V3Factors extends V3LossOptions {
  /** γ: how far a router's bias moves in a step, until the last steps (see `biasFactor`). */
  biasRate: number;
}

/** As V3's pretraining begins (section 4.2). */
export const V3_FACTORS: V3Factors = { balanceFactor: 1e-4, mtpFactor: 0.3, biasRate: 0.001 };

/**
 * Weighted cross-entropy: loss = -sum w_t log p(target_t), where the weights [batch, seq] carry both the loss mask and
 * the one denominator (1 / number of trained tokens of the update), so micro-batches add up exactly.
 *
 * With `factors`, as DeepSeek-V3 is trained: + λ · the cross-entropy of the token after the next (eq. 24, 25) + α · the
 * balance losses of all routed layers (eq. 17 to 20). The latter count a micro-batch by the weight of its tokens. Padding
 * chooses experts as well, and is no part of any load or balance.
 */
export function languageModelLoss(
  config: ModelConfig,
  shape: BatchShape,
  factors?: V3LossOptions,
): BuildLoss {
  return (graph, parameters) => {
    const perToken = (name: string, dtype: "i32" | "f32") =>
      input(graph, name, dtype, [shape.batch, shape.seq]);
    const entropy = (logits: Tensor, ids: Tensor, weights: Tensor) =>
      graph.scope("loss", () => neg(sum(mul(tokenLogProbs(logits, ids).logProbs, weights))));
    const { forward, mtp } = modelOf(config);
    const inputs = sequenceInputs(graph, shape);
    const targets = perToken("targets", "i32");
    const weights = perToken("weights", "f32");
    if (factors === undefined) {
      const { logits } = forward(parameters, inputs, { recompute: shape.recompute });
      return { loss: entropy(logits, targets, weights), measurements: {} };
    }

    const { balanceFactor, mtpFactor } = factors;
    const fed = shape.padded ? perToken("fed", "f32") : undefined;
    const options = { recompute: shape.recompute, balance: balanceFactor > 0, fed };
    const { logits, hidden, routing: trunkRouting } = forward(parameters, inputs, options);
    const routing = [...trunkRouting];
    const crossEntropy = entropy(logits, targets, weights);
    const measurements: Record<string, Tensor> = { "cross-entropy": crossEntropy };
    let loss = crossEntropy;
    if (mtpFactor > 0 && mtp !== null) {
      const predicted = mtp.forward(parameters, { ...inputs, ids: targets, hidden }, options);
      routing.push(...predicted.routing);
      const [ids, counted] = [perToken("mtpTargets", "i32"), perToken("mtpWeights", "f32")];
      measurements["mtp-cross-entropy"] = entropy(predicted.logits, ids, counted);
      loss = add(loss, mul(measurements["mtp-cross-entropy"], mtpFactor));
    }
    const balances = routing.flatMap(({ balance }) => balance ?? []);
    graph.scope("balance", () => {
      if (balances.length === 0) return;
      measurements.balance = balances.reduce((total, one) => add(total, one));
      loss = add(loss, mul(mul(measurements.balance, sum(weights)), balanceFactor));
    });
    const loads = new Map<string, Tensor>();
    graph.scope("load", () => {
      const flat = fed && reshape(fed, [product([shape.batch, shape.seq])]);
      for (const { layer, load, choices, bias } of routing) {
        const counts = flat ? loadOf(choices, flat, load.shape[0] as number) : cast(load, "f32");
        loads.set(bias, counts);
        measurements[loadName(layer)] = counts;
      }
    });
    return { loss, measurements, loads };
  };
}

/**
 * The output that holds each expert's tokens [experts] of a layer. A stage logs `experts/LAYER/max-load`, the fullest
 * expert's tokens over the mean: 1 where the load is even, experts / active where all tokens choose the same experts.
 */
export const loadName = (layer: number): string => `experts/${layer}`;

/**
 * Tokens of each expert, [experts] f32, from `choices` [rows, active] i64 of rows that are partly padding: `fed` [rows]
 * is 1 for a token and 0 for padding, which chooses experts as well.
 */
export function loadOf(choices: Tensor, fed: Tensor, experts: number): Tensor {
  const counted = expandLike(reshape(fed, [fed.shape[0], 1]), choices);
  return sum(scatter(counted, choices, experts), [0]);
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
