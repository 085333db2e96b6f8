/** Completions of different lengths as micro-batches: sorted by length, little padding, and on request one copy of a prompt. */

import { MASKED } from "../graph/ops/nn.ts";
import { causalMask } from "../models/masks.ts";
import { f32, type HostValue, i32 } from "../runtime/value.ts";
import type { GrpoOptions } from "./options.ts";

/** Row lengths are rounded up to this, so that the engine sees few shapes. */
const LENGTH_STEP = 16;

/**
 * A sampled completion with the values of its tokens; all arrays have the completion's length. An environment's conversation is
 * one completion, in which the tokens of the replies have weight 0.
 */
export interface TrainingRow {
  prompt: readonly number[];
  ids: readonly number[];
  /** Log-probabilities by the sampler, at its temperature. */
  sampled: readonly number[];
  /** log π_old: the sampler's own, or the trainer's where importance sampling corrects between the two. */
  old: readonly number[];
  reference: readonly number[] | null;
  /** Of each token: a group's reward gives all tokens of a completion one, a process reward may differ by position. */
  advantages: readonly number[];
  /** Of each token in the loss; 0 leaves it out, and its logits are not computed. */
  weights: readonly number[];
  importance: readonly number[];
}

/** Mini-batches of nearly equal size in the rows' order; with fewer rows than `parts`, one a row. */
export function miniBatchesOf<Row>(rows: readonly Row[], parts: number): Row[][] {
  const count = Math.min(parts, rows.length);
  const at = (part: number): number => Math.floor((part * rows.length) / count);
  return Array.from({ length: count }, (_, part) => rows.slice(at(part), at(part + 1)));
}

/** A completion and its prompt. */
export type Sequence = Pick<TrainingRow, "prompt" | "ids">;

export interface MicroBatch<Row extends Sequence = TrainingRow> {
  /** Rows of the batch: each is one completion, or several of one prompt. */
  packed: (readonly Row[])[];
  /** The padded length. */
  seq: number;
}

/**
 * The completions of each prompt together, up to `tokens` a packed row. The row holds the prompt once: all of it but the
 * last token, which each completion repeats as its first input and predicts its first token from. With prompts longer
 * than the completions this saves most of an update.
 */
export function packByPrefix<Row extends Sequence>(rows: readonly Row[], tokens: number): Row[][] {
  const open = new Map<string, Row[]>();
  const packed: Row[][] = [];
  for (const row of rows) {
    const key = row.prompt.join();
    const known = open.get(key);
    if (known !== undefined && packedLength([...known, row]) <= tokens) known.push(row);
    else {
      const fresh = [row];
      open.set(key, fresh);
      packed.push(fresh);
    }
  }
  return packed;
}

/** Tokens that a packed row feeds: the prompt once, and of each completion all but its last, which is only a target. */
export const packedLength = ([first, ...others]: readonly Sequence[]): number =>
  others.reduce((total, { ids }) => total + ids.length, first.prompt.length + first.ids.length - 1);

/**
 * Groups of items whose padded size is at most `tokens`, shortest first; a single longer item is a group too.
 * None is padded beyond `maxPositions`, where the rotary table ends.
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

/** Micro-batches of up to `tokens` padded tokens; `sharedPrefix` packs completions of one prompt into one row. */
export function microBatches<Row extends Sequence>(
  rows: readonly Row[],
  { microBatchTokens: tokens, sharedPrefix }: Pick<GrpoOptions, "microBatchTokens" | "sharedPrefix">,
  maxPositions: number,
): MicroBatch<Row>[] {
  const packed = sharedPrefix
    ? packByPrefix(rows, Math.min(tokens, maxPositions))
    : rows.map((row): Row[] => [row]);
  return planMicroBatches(packed.map(packedLength), tokens, maxPositions).map(({ rows: members, seq }) => ({
    packed: members.map((i) => packed[i]),
    seq,
  }));
}

/** Tokens that a micro-batch feeds; padding is not counted. */
export const fedTokens = ({ packed }: MicroBatch<Sequence>): number =>
  packed.reduce((total, row) => total + packedLength(row), 0);

/**
 * Calls `use` with each completion and the flat position in [batch, seq] that predicts its first token; its other tokens
 * are predicted at the positions after it.
 */
export function forEachCompletion<Row extends Sequence>(
  { packed, seq }: MicroBatch<Row>,
  use: (row: Row, start: number) => void,
): void {
  packed.forEach((rows, b) => {
    let start = b * seq + rows[0].prompt.length - 1;
    for (const row of rows) {
      use(row, start);
      start += row.ids.length;
    }
  });
}

/** Feeds [batch, seq] of the tokens: the position of a token predicts the next one, its target. */
export function sequenceFeeds(micro: MicroBatch<Sequence>): Record<string, HostValue> {
  const { packed, seq } = micro;
  const shape = [packed.length, seq];
  const [ids, targets, positions] = [0, 1, 2].map(() => new Int32Array(packed.length * seq));
  packed.forEach((rows, b) => {
    const length = packedLength(rows);
    if (length > seq) throw new RangeError(`a row of ${length} tokens does not fit ${seq} positions`);
    rows[0].prompt.forEach((id, p) => {
      ids[b * seq + p] = id;
      positions[b * seq + p] = p;
      if (p > 0) targets[b * seq + p - 1] = id;
    });
  });
  forEachCompletion(micro, ({ prompt, ids: completion }, start) => {
    completion.forEach((id, j) => {
      ids[start + j] = j === 0 ? prompt[prompt.length - 1] : completion[j - 1];
      positions[start + j] = prompt.length - 1 + j;
      targets[start + j] = id;
    });
  });
  return {
    ids: i32(ids, shape),
    targets: i32(targets, shape),
    positions: i32(positions, shape),
    mask: packed.every((rows) => rows.length === 1) ? causalMask(seq) : prefixMask(micro),
  };
}

/** A row's values that are fed per token, by the name of the input. */
const PER_TOKEN = {
  sampled: ({ sampled }: TrainingRow) => sampled,
  old: ({ old }: TrainingRow) => old,
  reference: ({ reference }: TrainingRow) => reference,
  advantage: ({ advantages }: TrainingRow) => advantages,
  weights: ({ weights }: TrainingRow) => weights,
  importance: ({ importance }: TrainingRow) => importance,
};

/**
 * All feeds of the policy loss. A completion's values are where its tokens are predicted, and 0 elsewhere. Padding follows
 * from lengths, never from ids: `fed` is 0 there and 1 elsewhere. `completionIndices` [completionTokens] are the flat
 * positions that predict the completions' tokens with a weight, and `inverseIndices` [batch · seq] is the inverse: for each position an
 * index into the former, and `completionTokens` where there is none.
 */
export function microBatchFeeds(micro: MicroBatch): Record<string, HostValue> {
  const { packed, seq } = micro;
  const tokens = sequenceFeeds(micro);
  const [shape, size] = [[packed.length, seq], packed.length * seq];
  const fed = new Float32Array(size);
  packed.forEach((rows, b) => {
    fed.fill(1, b * seq, b * seq + packedLength(rows));
  });
  const values = Object.entries(PER_TOKEN).map(([name, of]) => ({ name, of, data: new Float32Array(size) }));
  const indices: number[] = [];
  const targets: number[] = [];
  const count = packed
    .flat()
    .reduce((total, { weights }) => total + weights.filter((w) => w !== 0).length, 0);
  const inverse = new Int32Array(size).fill(count);
  forEachCompletion(micro, (row, start) => {
    for (const { name, of, data } of values) {
      const own = of(row);
      if (own === null) continue;
      if (own.length !== row.ids.length)
        throw new RangeError(`a row has ${row.ids.length} ids but ${own.length} ${name} values`);
      data.set(own, start);
    }
    row.ids.forEach((id, j) => {
      if (row.weights[j] === 0) return;
      inverse[start + j] = indices.length;
      indices.push(start + j);
      targets.push(id);
    });
  });
  return {
    ...tokens,
    completionIndices: i32(indices),
    inverseIndices: i32(inverse),
    completionTargets: i32(targets),
    ...Object.fromEntries(values.map(({ name, data }) => [name, f32(data, shape)])),
    fed: f32(fed, shape),
  };
}

/** A completion's token attends to the prompt and to earlier tokens of the same completion: [rows, 1, seq, seq]. */
function prefixMask(micro: MicroBatch<Sequence>): HostValue {
  const { packed, seq } = micro;
  const mask = new Float32Array(packed.length * seq * seq);
  const causal = causalMask(seq).data as Float32Array;
  packed.forEach((_, b) => {
    mask.set(causal, b * seq * seq);
  });
  forEachCompletion(micro, (row, start) => {
    const b = Math.floor(start / seq);
    const shared = row.prompt.length - 1;
    for (let i = start; i < start + row.ids.length; i++)
      mask.fill(MASKED, i * seq + shared, i * seq + start - b * seq);
  });
  return f32(mask, [packed.length, 1, seq, seq]);
}
