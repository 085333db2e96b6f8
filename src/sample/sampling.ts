/** From a row of logits to a token and its log-probability. */
import { isUserError, UserError } from "../lib/errors.ts";
import type { Random } from "../lib/random.ts";

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

/** One row of logits in an array of many. */
export interface LogitsRow {
  logits: Float32Array;
  /** `softmaxWeights` of the row, at the same offset. */
  weights: Float32Array | Float64Array;
  offset: number;
  vocabSize: number;
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

/** e^(logit · scale - largest) for one row, at the row's own offset: the decode graph computes the same for all rows. */
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

/** The error for a row of logits from which no token can be drawn. */
function logitsError(found: string, where: string): UserError {
  return new UserError({
    ...{ kind: "logits", where, what: `the model's logits are not finite numbers: ${found}`, found },
    remedy: "Its weights hold such numbers or it overflows: check the file or the run that they come from.",
  });
}

/** The result of `draw`; where it fails for its logits, the error names request and token. @throws UserError "logits" */
export function drawFor<T>(request: number, token: number, position: number, draw: () => T): T {
  try {
    return draw();
  } catch (error) {
    if (!isUserError(error, "logits")) throw error;
    throw logitsError(error.found ?? "", `request ${request}, new token ${token} (position ${position})`);
  }
}

/** Sum of a row's weights. Four sums side by side: an addition waits for the one before it. */
function rowTotal({ weights, offset, vocabSize }: LogitsRow): number {
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

/** `rowTotal`. @throws UserError "logits" if it is not finite: the row has a NaN, a +∞ or nothing but -∞ */
function finiteTotal(row: LogitsRow): number {
  const total = rowTotal(row);
  if (Number.isFinite(total)) return total;
  const own = row.logits.subarray(row.offset, row.offset + row.vocabSize);
  const bad = own.findIndex((x) => !(x < Number.POSITIVE_INFINITY));
  if (bad >= 0) throw logitsError(`that of id ${bad} is ${own[bad]}`, "a row");
  const none = own.every((x) => x === Number.NEGATIVE_INFINITY);
  throw logitsError(none ? "all are -Infinity" : "divided by the temperature they overflow", "a row");
}

/** How many ids of a nucleus are put in order first, and by which factor more if they are too few. */
const FIRST = 64;
const GROWTH = 16;

/** The ids that top-k and, of these, top-p keep, as in transformers and vLLM; `null` stands for all. */
export function keptIds(row: LogitsRow, { topP = 1, topK = row.vocabSize }: Sampling): number[] | null {
  const { logits, weights, offset, vocabSize } = row;
  if (topP >= 1 && topK >= vocabSize) return null;
  const own = logits.subarray(offset, offset + vocabSize);
  const mass = (ids: Iterable<number>): number => {
    let sum = 0;
    for (const id of ids) sum += weights[offset + id];
    return sum;
  };
  const nucleus = topP * (topK >= vocabSize ? rowTotal(row) : mass(likeliestIds(own, topK)));
  for (let count = Math.min(topK, FIRST); ; count = Math.min(topK, count * GROWTH)) {
    const kept: number[] = [];
    let reached = 0;
    for (const id of likeliestIds(own, count)) {
      kept.push(id);
      reached += weights[offset + id];
      if (reached >= nucleus) return kept;
    }
    if (count >= topK) return kept;
  }
}

/**
 * The first `count` ids of the row sorted by logit, the largest first and the lower id first among equals. A vocabulary of
 * 150,000 is not sorted where few ids count.
 */
export function likeliestIds(row: Float32Array, count: number): Iterable<number> {
  const byLogit = (a: number, b: number): number => row[b] - row[a] || a - b;
  if (count * 4 >= row.length)
    return Int32Array.from(row, (_, i) => i)
      .sort(byLogit)
      .subarray(0, count);
  const threshold = kthLargest(row, count);
  const above: number[] = [];
  const equal: number[] = [];
  for (let i = 0; i < row.length; i++) {
    if (row[i] > threshold) above.push(i);
    else if (row[i] === threshold && equal.length < count) equal.push(i);
  }
  return above.sort(byLogit).concat(equal.slice(0, count - above.length));
}

/** The k-th largest value, by Hoare's selection ("Find", 1961) on a copy. */
function kthLargest(row: Float32Array, k: number): number {
  const values = row.slice();
  let [left, right] = [0, values.length - 1];
  while (left < right) {
    const pivot = values[(left + right) >> 1];
    let [i, j] = [left, right];
    while (i <= j) {
      while (values[i] > pivot) i++;
      while (values[j] < pivot) j--;
      if (i <= j) {
        const held = values[i];
        values[i++] = values[j];
        values[j--] = held;
      }
    }
    if (k - 1 <= j) right = j;
    else if (k - 1 >= i) left = i;
    else break;
  }
  return values[k - 1];
}

/**
 * Draws from softmax(logits / temperature) for the row that starts at `offset`.
 * @param weights `softmaxWeights` of the row, where they are known already
 * @throws UserError "logits" if the logits are not finite
 */
export function sampleToken(
  logits: Float32Array,
  offset: number,
  vocabSize: number,
  sampling: Sampling,
  random: Random,
  weights: Float32Array | Float64Array = softmaxWeights(logits, offset, vocabSize, logitScale(sampling)),
): SampledToken {
  const row = { logits, weights, offset, vocabSize };
  const total = finiteTotal(row);
  const token = (id: number): SampledToken => ({ id, logProb: Math.log(weights[offset + id] / total) });
  if (sampling.temperature === 0) return token(likeliestId(logits, offset, vocabSize));

  const kept = keptIds(row, sampling);
  const mass = kept === null ? total : kept.reduce((sum, id) => sum + weights[offset + id], 0);
  let rest = random.uniform() * mass;
  for (let i = 0; i < (kept?.length ?? vocabSize); i++) {
    const id = kept?.[i] ?? i;
    rest -= weights[offset + id];
    if (rest < 0) return token(id);
  }
  return token(likeliestId(logits, offset, vocabSize));
}

/** The token that speculative sampling gives for one position. */
export interface VerifiedToken extends SampledToken {
  accepted: boolean;
}

/** A drafted token: it was drawn from softmax(logits), the row at `offset`. */
export interface Draft {
  id: number;
  logits: Float32Array;
  offset: number;
}

/**
 * Speculative sampling (Leviathan et al. 2211.17192, algorithm 1; Chen et al. 2302.01318). The next token is the draft with
 * probability min(1, p / q), else one from max(p - q, 0) made to sum to 1. Together that is a sample of p, the model's
 * distribution after top-k and top-p. Greedy decoding accepts the draft where it is the likeliest token.
 * @throws UserError "logits" if the model's or the draft's logits are not finite
 */
export function verifyDraft(row: LogitsRow, draft: Draft, sampling: Sampling, random: Random): VerifiedToken {
  const { logits, weights, offset, vocabSize } = row;
  const sampled = () => sampleToken(logits, offset, vocabSize, sampling, random, weights);
  if (sampling.temperature === 0) {
    const token = sampled();
    return { ...token, accepted: token.id === draft.id };
  }
  const total = finiteTotal(row);
  const token = (id: number, accepted: boolean): VerifiedToken => ({
    ...{ id, logProb: Math.log(weights[offset + id] / total), accepted },
  });
  const kept = keptIds(row, sampling);
  const mass = kept === null ? total : kept.reduce((sum, id) => sum + weights[offset + id], 0);
  const drafted = softmax(draft.logits, draft.offset, vocabSize);
  const allowed = kept === null || kept.includes(draft.id);
  const p = allowed ? weights[offset + draft.id] / mass : 0;
  if (random.uniform() * drafted[draft.id] < p) return token(draft.id, true);

  const excess = (id: number): number => Math.max(0, weights[offset + id] / mass - drafted[id]);
  const ids = kept ?? Array.from({ length: vocabSize }, (_, i) => i);
  let rest = random.uniform() * ids.reduce((sum, id) => sum + excess(id), 0);
  for (const id of ids) {
    rest -= excess(id);
    if (rest < 0) return token(id, false);
  }
  // p equals q but for rounding.
  return { ...sampled(), accepted: false };
}

function softmax(logits: Float32Array, offset: number, vocabSize: number): Float64Array {
  const weights = softmaxWeights(logits, offset, vocabSize, 1);
  const total = finiteTotal({ logits, weights, offset, vocabSize });
  return weights.subarray(offset).map((w) => w / total);
}

/** Gumbel noise: the largest of logits + noise is a sample of their softmax. Zeros where decoding is greedy. */
export function fillGumbel(noise: Float32Array, temperature: number, random: Random): void {
  for (let i = 0; i < noise.length; i++)
    noise[i] = temperature === 0 ? 0 : -Math.log(-Math.log(1 - random.uniform()) || Number.MIN_VALUE);
}
