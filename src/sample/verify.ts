/** Speculative sampling (Leviathan et al. 2211.17192, algorithm 1; Chen et al. 2302.01318): whether a draft stays. */
import type { Random } from "../lib/random.ts";
import { checkTotal, narrow, type SampledToken, type Sampling, sampleToken } from "./sampler.ts";

/** The row of logits at `offset`, and its `softmaxWeights` at the same place. */
export interface TargetRow {
  logits: Float32Array;
  weights: Float32Array | Float64Array;
  offset: number;
  vocabSize: number;
}

/** A token drawn from softmax(logits), the row at `offset`. */
export interface Draft {
  id: number;
  logits: Float32Array;
  offset: number;
}

/**
 * The next token: the draft with probability min(1, p / q), else one from max(p - q, 0) made to sum to 1, which together
 * is a sample of p, the target after top-k and top-p. Greedy keeps the draft where it is the likeliest token.
 * @throws LogitsError if the target's or the draft's logits are not finite
 */
export function verifyDraft(
  { logits, weights, offset, vocabSize }: TargetRow,
  draft: Draft,
  sampling: Sampling,
  random: Random,
): SampledToken & { accepted: boolean } {
  if (sampling.temperature === 0) {
    const token = sampleToken(logits, offset, vocabSize, sampling, random, weights);
    return { ...token, accepted: token.id === draft.id };
  }
  let total = 0;
  for (let i = offset; i < offset + vocabSize; i++) total += weights[i];
  checkTotal(total, logits, offset, vocabSize);
  const token = (id: number): SampledToken => ({ id, logProb: Math.log(weights[offset + id] / total) });

  const kept = narrow(logits, offset, vocabSize, sampling, weights);
  const mass = kept === null ? total : kept.reduce((sum, id) => sum + weights[offset + id], 0);
  const drafted = softmax(draft.logits, draft.offset, vocabSize);
  const allowed = kept === null || kept.includes(draft.id);
  const p = allowed ? weights[offset + draft.id] / mass : 0;
  if (random.uniform() * drafted[draft.id] < p) return { ...token(draft.id), accepted: true };

  const excess = (id: number): number => Math.max(0, weights[offset + id] / mass - drafted[id]);
  const ids = kept ?? Array.from({ length: vocabSize }, (_, i) => i);
  let rest = random.uniform() * ids.reduce((sum, id) => sum + excess(id), 0);
  for (const id of ids) {
    rest -= excess(id);
    if (rest < 0) return { ...token(id), accepted: false };
  }
  // Only rounding leads here: p and q are the same.
  return { ...sampleToken(logits, offset, vocabSize, sampling, random, weights), accepted: false };
}

function softmax(logits: Float32Array, offset: number, vocabSize: number): Float64Array {
  const row = logits.subarray(offset, offset + vocabSize);
  const peak = row.reduce((most, x) => Math.max(most, x), Number.NEGATIVE_INFINITY);
  const weights = Float64Array.from(row, (x) => Math.exp(x - peak));
  const total = weights.reduce((sum, w) => sum + w, 0);
  checkTotal(total, logits, offset, vocabSize);
  return weights.map((w) => w / total);
}

/** Adds nothing where decoding is greedy; the largest of logits + Gumbel noise is a sample of their softmax. */
export function fillGumbel(noise: Float32Array, temperature: number, random: Random): void {
  for (let i = 0; i < noise.length; i++)
    noise[i] = temperature === 0 ? 0 : -Math.log(-Math.log(1 - random.uniform()) || Number.MIN_VALUE);
}
