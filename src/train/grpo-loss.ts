/**
 * GRPO's loss (DeepSeekMath, arXiv 2402.03300, eq. 3; R1, arXiv 2501.12948, eq. 1 to 3) as it is traced into the graph: the
 * ratio between the policy and the one that sampled, in the forms of several papers, and the KL divergence to a reference.
 */

import {
  abs,
  add,
  and,
  cast,
  clip,
  detach,
  div,
  entropy,
  exp,
  greater,
  less,
  max,
  maximum,
  minimum,
  mul,
  neg,
  sub,
  sum,
  tokenLogProbs,
  where,
} from "../graph/ops.ts";
import type { Tensor } from "../graph/tensor.ts";
import { registry } from "../lib/schema.ts";
import type { ModelConfig } from "../models/architectures.ts";
import type { LossGraph } from "../models/design.ts";
import { type CompletionOptions, completionLogits } from "./completion-logits.ts";
import type { BuildLoss } from "./trace-step.ts";

/** Distances from 1 at which a ratio is clipped: [1 - low, 1 + high]. */
export interface Clip {
  low: number;
  high: number;
}

/** Log-ratios are bounded to this before exp, in which float32 overflows at 88.7. */
export const LOG_RATIO_BOUND = 20;

interface RatioTokens {
  /** log π(token), [batch, seq]; gradients flow. */
  logProbs: Tensor;
  /** log π/π_old, bounded, 0 where not active. */
  logRatio: Tensor;
  advantage: Tensor;
  active: Tensor;
}

/** The surrogate to be maximised, per token [batch, seq], and the tokens that the range's two ends change. */
interface Surrogate {
  surrogate: Tensor;
  clippedLow: Tensor | null;
  clippedHigh: Tensor;
}

/** The surrogates by name, as functions of the tokens' log-ratios, [batch, seq]. */
export const ratios = registry<(tokens: RatioTokens, clip: Clip) => Surrogate>()({
  /** min(ρA, clip(ρ, 1-ε, 1+ε)A) with ρ per token (PPO, 1707.06347, eq. 7); ε_low ≠ ε_high is DAPO's clip-higher. */
  token: ({ logRatio, advantage }, limits) => clippedSurrogate(exp(logRatio), advantage, limits),
  /** The same with s = exp(mean log ρ) of the sequence (GSPO, 2507.18071, eq. 5 to 7). Rows hold one sequence. */
  sequence: ({ logRatio, advantage, active }, limits) => {
    const length = maximum(sum(cast(active, "f32"), [1], true), 1);
    const ratio = exp(add(div(sum(logRatio, [1], true), length), mul(logRatio, 0)));
    return clippedSurrogate(ratio, advantage, limits);
  },
  /** sg[min(ρ, 1+ε)] A log π: weights are clipped, at the upper end alone, no token is dropped (CISPO, 2506.13585, eq. 4 and 5). */
  cispo: ({ logProbs, logRatio, advantage }, limits) => {
    const ratio = exp(logRatio);
    return {
      surrogate: mul(mul(detach(clip(ratio, 0, 1 + limits.high)), advantage), logProbs),
      clippedLow: null,
      clippedHigh: and(greater(ratio, 1 + limits.high), greater(abs(advantage), 0)),
    };
  },
});

function clippedSurrogate(ratio: Tensor, advantage: Tensor, { low, high }: Clip): Surrogate {
  return {
    surrogate: minimum(mul(ratio, advantage), mul(clip(ratio, 1 - low, 1 + high), advantage)),
    clippedLow: and(less(ratio, 1 - low), less(advantage, 0)),
    clippedHigh: and(greater(ratio, 1 + high), greater(advantage, 0)),
  };
}

/** k3 = π_ref/π - log(π_ref/π) - 1, unbiased and never negative (Schulman 2020; DeepSeekMath eq. 4), bounded before exp. */
export function k3(logProbs: Tensor, reference: Tensor): { kl: Tensor; bounded: Tensor } {
  const difference = sub(reference, logProbs);
  const safe = clip(difference, -LOG_RATIO_BOUND, LOG_RATIO_BOUND);
  return { kl: sub(sub(exp(safe), safe), 1), bounded: greater(abs(difference), LOG_RATIO_BOUND) };
}

/** The form of the ratio, its clipping, and the weight of the KL term. */
export interface PolicyLossOptions {
  ratio: keyof typeof ratios;
  clip: Clip;
  /** β, the coefficient of the KL to the reference policy; 0 leaves the reference out of the graph. */
  kl: number;
}

/** Per-token inputs, all [batch, seq]; positions that are not trained have weight 0. */
export interface PolicyTokens {
  logProbs: Tensor;
  old: Tensor;
  /** `null` where β = 0. */
  reference: Tensor | null;
  advantage: Tensor;
  /** From `aggregations`. */
  weights: Tensor;
  /** Truncated importance weights sampler -> trainer, 1 where not used. */
  importance: Tensor;
}

/**
 * Tokens that move the policy by their reward. Per-token metrics are means over these, so that a KL term, with which the
 * other tokens are computed too, does not change what they mean.
 */
const withSignal = (advantage: Tensor, weights: Tensor): Tensor =>
  and(greater(weights, 0), greater(abs(advantage), 0));

/** loss = -sum w c surrogate + β sum w k3, and sums over the active tokens for the log. */
export function policyLoss(tokens: PolicyTokens, options: PolicyLossOptions): LossGraph {
  const { logProbs, old, reference, advantage, weights, importance } = tokens;
  const active = greater(weights, 0);
  const masked = (x: Tensor): Tensor => where(active, x, 0);
  const count = (condition: Tensor, among = active): Tensor => sum(cast(and(among, condition), "f32"));
  const difference = masked(sub(logProbs, old));
  const logRatio = clip(difference, -LOG_RATIO_BOUND, LOG_RATIO_BOUND);
  const { surrogate, clippedLow, clippedHigh } = ratios[options.ratio](
    { logProbs, logRatio, advantage, active },
    options.clip,
  );
  let loss = neg(sum(mul(weights, masked(mul(importance, surrogate)))));
  const measurements: Record<string, Tensor> = {
    ...(clippedLow !== null && { clippedLow: count(clippedLow) }),
    clippedHigh: count(clippedHigh),
    boundedRatios: count(greater(abs(difference), LOG_RATIO_BOUND), withSignal(advantage, weights)),
  };
  if (reference !== null) {
    const { kl, bounded } = k3(where(active, logProbs, 0), where(active, reference, 0));
    loss = add(loss, mul(sum(mul(weights, masked(kl))), options.kl));
    measurements.kl = sum(masked(kl));
    measurements.boundedKl = count(bounded);
  }
  return { loss, measurements };
}

/** Traces the policy loss of a decoder on the inputs of `microBatchFeeds`; the temperature is the sampler's. */
export function grpoLoss(config: ModelConfig, options: PolicyLossOptions & CompletionOptions): BuildLoss {
  return (graph, parameters) => {
    const completions = completionLogits(graph, config, parameters, options);
    const { logits, targets, weights, placed, perToken } = completions;
    const sampled = perToken("sampled");
    const loads = completions.loads();
    return graph.scope("loss", () => {
      const perCompletion = tokenLogProbs(logits, targets);
      const logProbs = placed(perCompletion.logProbs);
      const advantage = perToken("advantage");
      const result = policyLoss(
        {
          logProbs,
          old: perToken("old"),
          reference: options.kl > 0 ? perToken("reference") : null,
          advantage,
          weights,
          importance: perToken("importance"),
        },
        options,
      );
      const active = withSignal(advantage, weights);
      const mismatch = where(active, abs(sub(logProbs, sampled)), 0);
      Object.assign(result.measurements, {
        entropy: sum(where(active, placed(entropy(perCompletion.distribution)), 0)),
        mismatchSum: sum(mismatch),
        mismatchMax: max(mismatch),
        ...loads,
      });
      return result;
    });
  };
}
