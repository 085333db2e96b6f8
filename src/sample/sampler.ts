/** From a row of logits to a token and its log-probability. */
import type { Random } from "../lib/random.ts";
import { RuntimeError } from "../runtime/value.ts";
import { likeliestFirst } from "./likeliest.ts";

/** How a token is drawn from a row of logits. */
export interface Sampling {
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
export function logitScale({ temperature }: Sampling): number {
  return temperature === 0 ? 1 : 1 / temperature;
}

/** The likeliest id, the first of equals. */
function likeliestId(logits: Float32Array, offset: number, vocabSize: number): number {
  let best = 0;
  let peak = logits[offset];
  for (let i = 1; i < vocabSize; i++) {
    const logit = logits[offset + i];
    if (logit > peak) {
      best = i;
      peak = logit;
    }
  }
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

/** A row of logits from which no token can be drawn. */
export class LogitsError extends RuntimeError {
  override name = "LogitsError";
  private readonly found: string;

  constructor(found: string, place = "a row") {
    super(
      `${place}: the model's logits are not finite numbers: ${found}. ` +
        "Its weights hold such numbers or it overflows: check the file or the run that they come from.",
    );
    this.found = found;
  }

  at(place: string): LogitsError {
    return new LogitsError(this.found, place);
  }
}

/** What `draw` gives; where it fails for its logits, the error says whose. @throws LogitsError */
export function drawFor<T>(request: number, token: number, position: number, draw: () => T): T {
  try {
    return draw();
  } catch (error) {
    const place = `request ${request}, new token ${token} (position ${position})`;
    throw error instanceof LogitsError ? error.at(place) : error;
  }
}

/** @throws LogitsError if a row's sum of weights is not finite, as one NaN, +∞ or nothing but -∞ makes it */
export function checkTotal(total: number, logits: Float32Array, offset: number, vocabSize: number): void {
  if (Number.isFinite(total)) return;
  const row = logits.subarray(offset, offset + vocabSize);
  const bad = row.findIndex((x) => !(x < Number.POSITIVE_INFINITY));
  if (bad >= 0) throw new LogitsError(`that of id ${bad} is ${row[bad]}`);
  const none = row.every((x) => x === Number.NEGATIVE_INFINITY);
  throw new LogitsError(none ? "all are -Infinity" : "divided by the temperature they overflow");
}

/** Sum of a row; four chains of additions, since each waits for its last. */
function rowTotal(weights: Float32Array | Float64Array, offset: number, vocabSize: number): number {
  let [a, b, c, d] = [0, 0, 0, 0];
  const end = offset + vocabSize;
  let i = offset;
  for (; i + 3 < end; i += 4) {
    a += weights[i];
    b += weights[i + 1];
    c += weights[i + 2];
    d += weights[i + 3];
  }
  for (; i < end; i++) a += weights[i];
  return a + b + (c + d);
}

/**
 * The ids that top-k and, of what it leaves, top-p keep, as in transformers and vLLM; `null`: all of them.
 * @param weights `softmaxWeights` of the row
 */
export function narrow(
  logits: Float32Array,
  offset: number,
  vocabSize: number,
  { topP = 1, topK = vocabSize }: Sampling,
  weights: Float32Array | Float64Array,
): number[] | null {
  if (topP >= 1 && topK >= vocabSize) return null;
  const ordered = likeliestFirst(logits.subarray(offset, offset + vocabSize));
  let whole = 0;
  if (topK >= vocabSize) whole = rowTotal(weights, offset, vocabSize);
  else for (const id of ordered(topK)) whole += weights[offset + id];
  const nucleus = topP * whole;
  // The nucleus is small as a rule: ever more ids are put in order until it is reached.
  for (let count = Math.min(topK, FIRST); ; count = Math.min(topK, count * FURTHER)) {
    const kept: number[] = [];
    let mass = 0;
    for (const id of ordered(count)) {
      kept.push(id);
      mass += weights[offset + id];
      if (mass >= nucleus) return kept;
    }
    if (count >= topK) return kept;
  }
}

const FIRST = 64;
const FURTHER = 16;

/**
 * Draws from softmax(logits / temperature) for the row that starts at `offset`.
 * @param weights `softmaxWeights` of the row, where they are known already
 * @throws LogitsError if the logits are not finite
 */
export function sampleToken(
  logits: Float32Array,
  offset: number,
  vocabSize: number,
  sampling: Sampling,
  random: Random,
  weights: Float32Array | Float64Array = softmaxWeights(logits, offset, vocabSize, logitScale(sampling)),
): SampledToken {
  const total = rowTotal(weights, offset, vocabSize);
  checkTotal(total, logits, offset, vocabSize);
  const logProb = (id: number): number => Math.log(weights[offset + id] / total);
  const best = (): SampledToken => {
    const id = likeliestId(logits, offset, vocabSize);
    return { id, logProb: logProb(id) };
  };
  if (sampling.temperature === 0) return best();

  const kept = narrow(logits, offset, vocabSize, sampling, weights);
  const mass = kept === null ? total : kept.reduce((sum, id) => sum + weights[offset + id], 0);
  let rest = random.uniform() * mass;
  for (let i = 0; i < (kept?.length ?? vocabSize); i++) {
    const id = kept?.[i] ?? i;
    rest -= weights[offset + id];
    if (rest < 0) return { id, logProb: logProb(id) };
  }
  return best();
}
