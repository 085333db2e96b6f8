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

  const narrowed =
    (options.topP !== undefined && options.topP < 1) ||
    (options.topK !== undefined && options.topK < vocabSize);
  if (!narrowed) {
    let rest = random.uniform() * total;
    for (let i = 0; i < vocabSize; i++) {
      rest -= weights[offset + i];
      if (rest < 0) return { id: i, logProb: logProb(i) };
    }
    return best();
  }
  const weight = (id: number): number => weights[offset + id];
  const ids = Array.from({ length: vocabSize }, (_, i) => i).sort(
    (a, b) => logits[offset + b] - logits[offset + a] || a - b,
  );
  // As in transformers and vLLM: top-k first, and top-p of what it leaves.
  const likeliest = ids.slice(0, options.topK ?? vocabSize);
  const nucleus = (options.topP ?? 1) * likeliest.reduce((sum, id) => sum + weight(id), 0);
  const kept: number[] = [];
  let mass = 0;
  for (const id of likeliest) {
    kept.push(id);
    mass += weight(id);
    if (mass >= nucleus) break;
  }
  let rest = random.uniform() * mass;
  for (const id of kept) {
    rest -= weight(id);
    if (rest < 0) return { id, logProb: logProb(id) };
  }
  return { id: kept[0], logProb: logProb(kept[0]) };
}
