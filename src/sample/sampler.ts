/** From a row of logits to a token and its log-probability. */
import type { Random } from "../runtime/random.ts";

export interface SamplingOptions {
  /** 0 is greedy. */
  temperature: number;
  /** Nucleus sampling (Holtzman et al. 2020): the smallest set of likeliest tokens whose probability reaches this. */
  topP?: number;
  /** Only the k likeliest tokens. */
  topK?: number;
}

export interface SampledToken {
  id: number;
  /**
   * log softmax(logits / temperature)[id] over the whole vocabulary, before top-p and top-k: the number that training
   * computes too. Greedy decoding reports it at temperature 1.
   */
  logProb: number;
}

/** What the logits are multiplied by before the softmax. */
export function logitScale({ temperature }: SamplingOptions): number {
  return temperature === 0 ? 1 : 1 / temperature;
}

/** The likeliest id, the first of equals. */
function likeliestId(logits: Float32Array, offset: number, vocabSize: number): number {
  let best = 0;
  for (let i = 1; i < vocabSize; i++) if (logits[offset + i] > logits[offset + best]) best = i;
  return best;
}

/**
 * e^(logit scale - largest) for a row of logits, at the row's own offset: what the decode graph computes for all rows.
 */
export function softmaxWeights(
  logits: Float32Array,
  offset: number,
  vocabSize: number,
  scale: number,
): Float64Array {
  const peak = logits[offset + likeliestId(logits, offset, vocabSize)] * scale;
  const weights = new Float64Array(offset + vocabSize);
  for (let i = offset; i < offset + vocabSize; i++) weights[i] = Math.exp(logits[i] * scale - peak);
  return weights;
}

/**
 * The ids that top-k and, of what it leaves, top-p keep, as in transformers and vLLM; `null`: all of them.
 * @param weights `softmaxWeights` of the row
 */
export function narrow(
  logits: Float32Array,
  offset: number,
  vocabSize: number,
  { topP = 1, topK = vocabSize }: SamplingOptions,
  weights: Float32Array | Float64Array,
): number[] | null {
  if (topP >= 1 && topK >= vocabSize) return null;
  const weight = (id: number): number => weights[offset + id];
  const likeliest = Array.from({ length: vocabSize }, (_, i) => i)
    .sort((a, b) => logits[offset + b] - logits[offset + a] || a - b)
    .slice(0, topK);
  const nucleus = topP * likeliest.reduce((sum, id) => sum + weight(id), 0);
  let mass = 0;
  let count = 0;
  while (count < likeliest.length && (count === 0 || mass < nucleus)) mass += weight(likeliest[count++]);
  return likeliest.slice(0, count);
}

/**
 * Draws from softmax(logits / temperature) for the row that starts at `offset`.
 * @param weights `softmaxWeights` of the row, where they are known already
 */
export function sampleToken(
  logits: Float32Array,
  offset: number,
  vocabSize: number,
  options: SamplingOptions,
  random: Random,
  weights: Float32Array | Float64Array = softmaxWeights(logits, offset, vocabSize, logitScale(options)),
): SampledToken {
  let total = 0;
  for (let i = offset; i < offset + vocabSize; i++) total += weights[i];
  const logProb = (id: number): number => Math.log(weights[offset + id] / total);
  const best = (): SampledToken => {
    const id = likeliestId(logits, offset, vocabSize);
    return { id, logProb: logProb(id) };
  };
  if (options.temperature === 0) return best();

  const kept = narrow(logits, offset, vocabSize, options, weights);
  const mass = kept === null ? total : kept.reduce((sum, id) => sum + weights[offset + id], 0);
  let rest = random.uniform() * mass;
  for (let i = 0; i < (kept?.length ?? vocabSize); i++) {
    const id = kept?.[i] ?? i;
    rest -= weights[offset + id];
    if (rest < 0) return { id, logProb: logProb(id) };
  }
  return best();
}
