/** Sequences of different lengths as micro-batches: sorted, padded little, prompts shared where that is asked for. */

import { MASKED } from "../graph/ops/nn.ts";
import { causalMask } from "../models/masks.ts";
import { f32, type HostValue, i32 } from "../runtime/session.ts";

/** Row lengths are rounded up to this, so that the engine sees few shapes. */
const LENGTH_STEP = 16;

/** A sampled sequence with the values of its completion tokens; all arrays have the completion's length. */
export interface TrainingRow {
  prompt: readonly number[];
  ids: readonly number[];
  /** Log-probabilities by the sampler, at its temperature. */
  sampled: readonly number[];
  /** log π_old: the sampler's own, or the trainer's where importance sampling corrects between the two. */
  old: readonly number[];
  reference: readonly number[] | null;
  advantage: number;
  /** Loss weight of each token; 0 leaves the row out. */
  weight: number;
  importance: readonly number[];
}

/** Mini-batches in the rows' order, as even as can be; as many as there are rows where more are asked for. */
export function miniBatchesOf<Row>(rows: readonly Row[], parts: number): Row[][] {
  const count = Math.min(parts, rows.length);
  const at = (part: number): number => Math.floor((part * rows.length) / count);
  return Array.from({ length: count }, (_, part) => rows.slice(at(part), at(part + 1)));
}

/** What of a row tells its length. */
export type Sequence = Pick<TrainingRow, "prompt" | "ids">;

/** Rows of the engine's batch: one sequence each, or several that begin with the same prompt. */
export type Bundle = readonly TrainingRow[];

/**
 * The rows of each prompt together, up to `tokens` a bundle. A bundle's row holds the prompt once: all of it but the last
 * token, which every completion repeats as its own first input and so predicts its own first token from. With prompts
 * that are longer than the completions this saves most of an update.
 */
export function bundlesOf<Row extends Sequence>(rows: readonly Row[], tokens: number): Row[][] {
  const open = new Map<string, Row[]>();
  const bundles: Row[][] = [];
  for (const row of rows) {
    const key = row.prompt.join();
    const bundle = open.get(key);
    if (bundle !== undefined && bundleLength([...bundle, row]) <= tokens) bundle.push(row);
    else {
      const fresh = [row];
      open.set(key, fresh);
      bundles.push(fresh);
    }
  }
  return bundles;
}

/** Tokens that a bundle feeds: the prompt once, and of each completion all but its last, which is only a target. */
export const bundleLength = ([first, ...others]: readonly Sequence[]): number =>
  others.reduce((total, { ids }) => total + ids.length, first.prompt.length + first.ids.length - 1);

/**
 * Groups of items whose padded size stays within `tokens`, shortest first; a single longer one is a group of its own.
 * None is padded beyond `maxPositions`: the engine turns no longer rows.
 * @returns of each group the items' indices and the padded length
 */
export function planMicroBatches(
  lengths: readonly number[],
  tokens: number,
  maxPositions = Number.POSITIVE_INFINITY,
): { rows: number[]; seq: number }[] {
  const order = lengths.map((_, i) => i).sort((a, b) => lengths[a] - lengths[b] || a - b);
  const plans: { rows: number[]; seq: number }[] = [];
  for (const row of order) {
    const seq = Math.min(Math.ceil(lengths[row] / LENGTH_STEP) * LENGTH_STEP, maxPositions);
    const last = plans[plans.length - 1];
    if (last !== undefined && (last.rows.length + 1) * seq <= tokens) {
      last.rows.push(row);
      last.seq = seq;
    } else plans.push({ rows: [row], seq });
  }
  return plans;
}

function checkLengths(row: TrainingRow): void {
  const { sampled, old, reference, importance } = row;
  for (const [name, values] of Object.entries({ sampled, old, reference, importance }))
    if (values !== null && values.length !== row.ids.length)
      throw new RangeError(`a row has ${row.ids.length} ids but ${values.length} ${name} values`);
}

/**
 * Calls `use` with each row and the flat position in [bundles, seq] that predicts its first token; its further tokens
 * follow there.
 */
export function forEachRow(
  bundles: readonly Bundle[],
  seq: number,
  use: (row: TrainingRow, start: number) => void,
): void {
  bundles.forEach((bundle, b) => {
    let start = b * seq + bundle[0].prompt.length - 1;
    for (const row of bundle) {
      use(row, start);
      start += row.ids.length;
    }
  });
}

/**
 * Feeds [bundles, seq] of the policy loss. The position of a token predicts the one after it; values of a completion's
 * token stand where it is predicted, everything else is 0. What is padding follows from lengths, never from ids: `fed` is
 * 0 there and 1 elsewhere. `at` [chosen] are the flat positions of all completions' tokens, and `back` [bundles · seq]
 * their inverse, `chosen` where there is none.
 */
export function microBatchFeeds(bundles: readonly Bundle[], seq: number): Record<string, HostValue> {
  const shape = [bundles.length, seq];
  const size = bundles.length * seq;
  const whole = () => new Int32Array(size);
  const real = () => new Float32Array(size);
  const [ids, targets, positions] = [whole(), whole(), whole()];
  const [sampled, old, reference] = [real(), real(), real()];
  const [advantage, weights, importance, fed] = [real(), real(), real(), real()];
  bundles.forEach((bundle, b) => {
    const length = bundleLength(bundle);
    if (length > seq) throw new RangeError(`a row of ${length} tokens does not fit ${seq} positions`);
    fed.fill(1, b * seq, b * seq + length);
    bundle[0].prompt.forEach((id, p) => {
      ids[b * seq + p] = id;
      positions[b * seq + p] = p;
      if (p > 0) targets[b * seq + p - 1] = id;
    });
  });
  const chosen: number[] = [];
  const back = new Int32Array(size).fill(bundles.flat().reduce((total, row) => total + row.ids.length, 0));
  forEachRow(bundles, seq, (row, start) => {
    checkLengths(row);
    const { prompt } = row;
    row.ids.forEach((id, j) => {
      const at = start + j;
      back[at] = chosen.length;
      chosen.push(at);
      ids[at] = j === 0 ? prompt[prompt.length - 1] : row.ids[j - 1];
      positions[at] = prompt.length - 1 + j;
      targets[at] = id;
      sampled[at] = row.sampled[j];
      old[at] = row.old[j];
      reference[at] = row.reference?.[j] ?? 0;
      advantage[at] = row.advantage;
      weights[at] = row.weight;
      importance[at] = row.importance[j];
    });
  });
  return {
    ids: i32(ids, shape),
    targets: i32(targets, shape),
    positions: i32(positions, shape),
    mask: bundles.every((bundle) => bundle.length === 1) ? causalMask(seq) : bundleMask(bundles, seq),
    at: i32(chosen),
    back: i32(back),
    chosenTargets: i32(chosen.map((at) => targets[at])),
    sampled: f32(sampled, shape),
    old: f32(old, shape),
    reference: f32(reference, shape),
    advantage: f32(advantage, shape),
    weights: f32(weights, shape),
    importance: f32(importance, shape),
    fed: f32(fed, shape),
  };
}

/** A completion's token sees the prompt and what of its own completion came before: [bundles, 1, seq, seq]. */
function bundleMask(bundles: readonly Bundle[], seq: number): HostValue {
  const mask = new Float32Array(bundles.length * seq * seq);
  const causal = causalMask(seq).data as Float32Array;
  bundles.forEach((_, b) => {
    mask.set(causal, b * seq * seq);
  });
  forEachRow(bundles, seq, (row, start) => {
    const b = Math.floor(start / seq);
    const shared = row.prompt.length - 1;
    for (let at = start; at < start + row.ids.length; at++)
      mask.fill(MASKED, at * seq + shared, at * seq + start - b * seq);
  });
  return f32(mask, [bundles.length, 1, seq, seq]);
}
