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

/** e^(logit / temperature - peak) of the row at hand: computed once, and an allocation less for each token. */
let weights = new Float64Array(0);

/** Draws from softmax(logits / temperature) for the row that starts at `offset`, in double precision. */
export function sampleToken(
  logits: Float32Array,
  offset: number,
  vocabSize: number,
  options: SamplingOptions,
  random: Random,
): SampledToken {
  const greedy = options.temperature === 0;
  const scale = greedy ? 1 : 1 / options.temperature;
  let best = 0;
  for (let i = 1; i < vocabSize; i++) if (logits[offset + i] > logits[offset + best]) best = i;
  const peak = logits[offset + best] * scale;
  if (weights.length < vocabSize) weights = new Float64Array(vocabSize);
  let total = 0;
  for (let i = 0; i < vocabSize; i++) {
    weights[i] = Math.exp(logits[offset + i] * scale - peak);
    total += weights[i];
  }
  const logProb = (id: number): number => logits[offset + id] * scale - peak - Math.log(total);
  if (greedy) return { id: best, logProb: logProb(best) };

  const narrowed =
    (options.topP !== undefined && options.topP < 1) ||
    (options.topK !== undefined && options.topK < vocabSize);
  if (!narrowed) {
    let rest = random.uniform() * total;
    for (let i = 0; i < vocabSize; i++) {
      rest -= weights[i];
      if (rest < 0) return { id: i, logProb: logProb(i) };
    }
    return { id: best, logProb: logProb(best) };
  }
  const weight = (id: number): number => weights[id];
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
