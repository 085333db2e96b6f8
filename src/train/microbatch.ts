/** Sequences of different lengths as micro-batches: sorted, padded little, one sequence a row. */

import { causalMask } from "../models/masks.ts";
import { f32, i32, type Value } from "../runtime/session.ts";

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

/**
 * Groups of rows whose padded size stays within `tokens`, shortest first; a single longer row is a group of its own.
 * No row is padded beyond `maxPositions`, which the model has no angles for.
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

/** Tokens that a row feeds: all but the last, which is only a target. */
export const rowLength = (row: Pick<TrainingRow, "prompt" | "ids">): number =>
  row.prompt.length + row.ids.length - 1;

function checkLengths(row: TrainingRow, seq: number): void {
  const { sampled, old, reference, importance } = row;
  for (const [name, values] of Object.entries({ sampled, old, reference, importance }))
    if (values !== null && values.length !== row.ids.length)
      throw new RangeError(`a row has ${row.ids.length} ids but ${values.length} ${name} values`);
  if (rowLength(row) > seq)
    throw new RangeError(`a row of ${rowLength(row)} tokens does not fit ${seq} positions`);
}

/**
 * Feeds [rows, seq] of the policy loss. Position p predicts token p + 1; values of completion token j stand at
 * prompt.length - 1 + j, everything else is 0. What is padding follows from lengths, never from ids. `at` [chosen] are the
 * flat positions of all completions' tokens, and `back` [rows · seq] their inverse, `chosen` where there is none.
 */
export function microBatchFeeds(rows: readonly TrainingRow[], seq: number): Record<string, Value> {
  const shape = [rows.length, seq];
  const size = rows.length * seq;
  const whole = () => new Int32Array(size);
  const real = () => new Float32Array(size);
  const [ids, targets, positions] = [whole(), whole(), whole()];
  const [sampled, old, reference, advantage, weights, importance] = [
    real(),
    real(),
    real(),
    real(),
    real(),
    real(),
  ];
  const chosen: number[] = [];
  const back = new Int32Array(size).fill(rows.reduce((total, row) => total + row.ids.length, 0));
  rows.forEach((row, r) => {
    checkLengths(row, seq);
    const sequence = [...row.prompt, ...row.ids];
    const offset = r * seq;
    for (let p = 0; p < seq; p++) positions[offset + p] = p;
    for (let p = 0; p + 1 < sequence.length; p++) {
      ids[offset + p] = sequence[p];
      targets[offset + p] = sequence[p + 1];
    }
    row.ids.forEach((_, j) => {
      const at = offset + row.prompt.length - 1 + j;
      back[at] = chosen.length;
      chosen.push(at);
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
    mask: causalMask(seq),
    at: i32(chosen),
    back: i32(back),
    chosenTargets: i32(chosen.map((at) => targets[at])),
    sampled: f32(sampled, shape),
    old: f32(old, shape),
    reference: f32(reference, shape),
    advantage: f32(advantage, shape),
    weights: f32(weights, shape),
    importance: f32(importance, shape),
  };
}
