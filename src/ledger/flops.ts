/**
 * Closed forms beside the exact count from the graph: to plan, and to cross-check. A multiply and an add
 * are 2 FLOPs.
 */

/** 6 N D: 2 forward and 4 backward per active parameter and token, without attention. */
export const trainingFlops = (activeParameters: number, tokens: number): number =>
  6 * activeParameters * tokens;

/** 2 N D: a forward pass, without attention. */
export const forwardFlops = (activeParameters: number, tokens: number): number =>
  2 * activeParameters * tokens;

/**
 * Training FLOPs of one token in a dense decoder with SwiGLU at 8/3 of the width, attention included and
 * embeddings left out: M = 72 L d^2 + 12 L d T (DeepSeek LLM, arXiv 2401.02954).
 */
export function deepseekFlopsPerToken(layers: number, width: number, sequence: number): number {
  return 72 * layers * width ** 2 + 12 * layers * width * sequence;
}

/**
 * Training FLOPs of attention's two products (scores, weighted values) per token at a context of
 * `sequence` tokens. Causal attention computes half of them.
 */
export function attentionTrainingFlops(
  layers: number,
  attentionWidth: number,
  sequence: number,
  causal: boolean,
): number {
  return (12 * layers * attentionWidth * sequence) / (causal ? 2 : 1);
}

/**
 * FLOPs of GRPO per generated token, without attention and prompts: 2 N rollout, 6 N training and 2 N for
 * each log-probability pass (old policy where the sampler's are not used, reference where KL is on).
 */
export function grpoFlopsPerToken(
  activeParameters: number,
  { epochs = 1, reference, oldPolicy }: { epochs?: number; reference: boolean; oldPolicy: boolean },
): number {
  return activeParameters * (2 + 6 * epochs + (reference ? 2 : 0) + (oldPolicy ? 2 : 0));
}

export interface Utilisation {
  share: number;
  /** The figure means nothing without both: the same run is 17 % or 46 % by convention. */
  flops: number;
  peakFlops: number;
  formula: string;
}

/**
 * Model FLOPs utilisation over `seconds` on hardware of `peakPerSecond` dense FLOP/s. Throws a `RangeError`
 * above 1: then the formula or the peak is wrong (total instead of active parameters, a sparse peak).
 */
export function utilisation(
  flops: number,
  seconds: number,
  peakPerSecond: number,
  formula: string,
): Utilisation {
  const peakFlops = seconds * peakPerSecond;
  const share = flops / peakFlops;
  if (!(share >= 0 && share <= 1)) {
    throw new RangeError(
      `A utilisation of ${(100 * share).toFixed(1)} % is impossible: ${formula} gives ${flops.toExponential(2)} FLOPs, the hardware can do ${peakFlops.toExponential(2)} in ${seconds} s. Check active against total parameters, and a dense against a sparse peak.`,
    );
  }
  return { share, flops, peakFlops, formula };
}
