/**
 * The KV cache: for each layer, keys and values [rows, kvHeads, window, headDim] in one array each. Rows are outermost,
 * so the first n of them are one contiguous view; the window grows in place when a row outgrows it.
 */
import type { DecoderConfig } from "../models/config.ts";
import { f32, type Value } from "../runtime/session.ts";

/** Windows are multiples of this many tokens, so that the engine sees few shapes. */
const WINDOW_STEP = 32;

/** Keys and values of one prompt, copied into each row that starts from it: [kvHeads, length, headDim] a layer. */
export interface PrefixCache {
  length: number;
  /** Keys of layer 0, values of layer 0, keys of layer 1, ... */
  tensors: Float32Array[];
}

export class KvCache {
  window = WINDOW_STEP;
  private readonly planes: number;
  private readonly heads: number;
  private readonly headDim: number;
  private arrays: Float32Array[] = [];
  private rows = 0;

  constructor({ layers, kvHeads, headDim }: Pick<DecoderConfig, "layers" | "kvHeads" | "headDim">) {
    this.planes = 2 * layers;
    this.heads = kvHeads;
    this.headDim = headDim;
  }

  private rowSize(): number {
    return this.heads * this.window * this.headDim;
  }

  /** Starts over with room for `rows` rows; arrays of an earlier batch are used again. */
  reset(rows: number): void {
    this.window = WINDOW_STEP;
    this.rows = rows;
    this.fit(rows * this.rowSize());
  }

  private fit(length: number): void {
    if (this.arrays.length > 0 && this.arrays[0].length >= length) return;
    const old = this.arrays;
    this.arrays = Array.from({ length: this.planes }, (_, i) => {
      const grown = new Float32Array(length);
      if (old.length > 0) grown.set(old[i]);
      return grown;
    });
  }

  /** Makes room for `length` tokens a row, moving what the first `active` rows hold. */
  ensure(length: number, active: number): void {
    if (length <= this.window) return;
    const before = this.window;
    this.window = Math.ceil(length / WINDOW_STEP) * WINDOW_STEP;
    this.fit(this.rows * this.rowSize());
    // From the end, so that nothing is overwritten before it has moved.
    for (const array of this.arrays)
      for (let i = active * this.heads - 1; i >= 0; i--)
        array.copyWithin(
          i * this.window * this.headDim,
          i * before * this.headDim,
          (i + 1) * before * this.headDim,
        );
  }

  /** Fills row `row` with a prompt's keys and values. */
  load(row: number, prefix: PrefixCache): void {
    const span = prefix.length * this.headDim;
    this.arrays.forEach((array, plane) => {
      for (let head = 0; head < this.heads; head++)
        array.set(
          prefix.tensors[plane].subarray(head * span, (head + 1) * span),
          row * this.rowSize() + head * this.window * this.headDim,
        );
    });
  }

  /** Stores the newest token of row `row` at `position`; `fresh` are the graph's outputs [batch, kvHeads, 1, headDim]. */
  append(row: number, position: number, fresh: readonly Float32Array[]): void {
    const { headDim, heads, window, arrays } = this;
    const first = row * this.rowSize() + position * headDim;
    for (let plane = 0; plane < arrays.length; plane++) {
      const [array, source] = [arrays[plane], fresh[plane]];
      for (let head = 0; head < heads; head++) {
        const from = (row * heads + head) * headDim;
        const to = first + head * window * headDim;
        for (let i = 0; i < headDim; i++) array[to + i] = source[from + i];
      }
    }
  }

  /** Row `from` takes the place of row `to`. */
  move(from: number, to: number): void {
    const size = this.rowSize();
    for (const array of this.arrays) array.copyWithin(to * size, from * size, (from + 1) * size);
  }

  /** The first `batch` rows as graph inputs: `keys.<layer>` and `values.<layer>`. */
  feeds(batch: number): Record<string, Value> {
    const shape = [batch, this.heads, this.window, this.headDim];
    const feeds: Record<string, Value> = {};
    this.arrays.forEach((array, plane) => {
      const name = `${plane % 2 === 0 ? "keys" : "values"}.${plane >> 1}`;
      feeds[name] = f32(array.subarray(0, batch * this.rowSize()), shape);
    });
    return feeds;
  }
}
