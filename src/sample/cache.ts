/**
 * The KV cache: one array [rows, heads, window, width] for each plane of the design, such as a layer's keys. Rows are
 * outermost, so the first n of them are one contiguous view; the window grows in place when a row outgrows it.
 */
import type { CacheLayer } from "../models/architectures.ts";
import { f32, type HostValue } from "../runtime/value.ts";

/** Windows are multiples of this many tokens, so that the engine sees few shapes. */
export const WINDOW_STEP = 32;

const windowFor = (length: number): number => Math.max(1, Math.ceil(length / WINDOW_STEP)) * WINDOW_STEP;

/** What a cache holds of one prompt, copied into each row that starts from it. */
export interface PrefixCache {
  length: number;
  /** [heads, length, width] for each plane. */
  tensors: Float32Array[];
}

export class KvCache {
  window = WINDOW_STEP;
  private readonly planes: readonly CacheLayer[];
  private arrays: Float32Array[] = [];
  private rows = 0;

  constructor(planes: readonly CacheLayer[]) {
    this.planes = planes;
  }

  private rowSize({ heads, width }: CacheLayer): number {
    return heads * this.window * width;
  }

  /** Starts over with room for `rows` rows; arrays of an earlier batch are used again. */
  reset(rows: number): void {
    this.window = WINDOW_STEP;
    this.rows = rows;
    this.fit();
  }

  /** Forgets everything, and what is hidden behind masks too. */
  clear(): void {
    this.arrays = [];
    this.views = null;
  }

  private fit(): void {
    this.arrays = this.planes.map((plane, i) => {
      const [old, length] = [this.arrays[i], this.rows * this.rowSize(plane)];
      if (old !== undefined && old.length >= length) return old;
      const grown = new Float32Array(length);
      if (old !== undefined) grown.set(old);
      return grown;
    });
  }

  /** Starts over with row 0 alone, which keeps its first `length` tokens. */
  keep(length: number): void {
    const before = this.window;
    this.window = windowFor(length);
    this.rows = 1;
    this.fit();
    this.planes.forEach(({ heads, width }, plane) => {
      for (let head = 1; head < heads; head++) {
        const from = head * before * width;
        this.arrays[plane].copyWithin(head * this.window * width, from, from + length * width);
      }
    });
  }

  /** Makes room for `length` tokens a row, moving what the first `active` rows hold. */
  ensure(length: number, active: number): void {
    if (length <= this.window) return;
    const before = this.window;
    this.window = windowFor(length);
    this.fit();
    // From the end, so that nothing is overwritten before it has moved.
    this.planes.forEach(({ heads, width }, plane) => {
      for (let i = active * heads - 1; i >= 0; i--)
        this.arrays[plane].copyWithin(i * this.window * width, i * before * width, (i + 1) * before * width);
    });
  }

  /** Fills row `row` with what the cache holds of a prompt. */
  load(row: number, prefix: PrefixCache): void {
    this.planes.forEach((plane, i) => {
      const span = prefix.length * plane.width;
      for (let head = 0; head < plane.heads; head++)
        this.arrays[i].set(
          prefix.tensors[i].subarray(head * span, (head + 1) * span),
          row * this.rowSize(plane) + head * this.window * plane.width,
        );
    });
  }

  /**
   * Stores new tokens of row `row` from `position` on; `fresh` are the graph's outputs [batch, heads, seq, width], of which
   * the first `length` tokens count.
   */
  append(row: number, position: number, fresh: readonly Float32Array[], length = 1, seq = 1): void {
    const { planes, arrays, window } = this;
    for (let plane = 0; plane < planes.length; plane++) {
      const { heads, width } = planes[plane];
      const [array, source] = [arrays[plane], fresh[plane]];
      const first = row * heads * window * width + position * width;
      for (let head = 0; head < heads; head++) {
        const from = (row * heads + head) * seq * width;
        const to = first + head * window * width;
        for (let i = 0; i < length * width; i++) array[to + i] = source[from + i];
      }
    }
  }

  /** What row `row` holds of its first `length` tokens. */
  prefix(row: number, length: number): PrefixCache {
    const tensors = this.planes.map((plane, i) => {
      const { heads, width } = plane;
      const copy = new Float32Array(heads * length * width);
      for (let head = 0; head < heads; head++) {
        const from = row * this.rowSize(plane) + head * this.window * width;
        copy.set(this.arrays[i].subarray(from, from + length * width), head * length * width);
      }
      return copy;
    });
    return { length, tensors };
  }

  /** Row `from` takes the place of row `to`. */
  move(from: number, to: number): void {
    this.planes.forEach((plane, i) => {
      const size = this.rowSize(plane);
      this.arrays[i].copyWithin(to * size, from * size, (from + 1) * size);
    });
  }

  /** The last views, which serve until the batch, the window or an array changes. */
  private views: {
    batch: number;
    window: number;
    arrays: Float32Array[];
    feeds: Record<string, HostValue>;
  } | null = null;

  /** The first `batch` rows as graph inputs, by the planes' names. */
  feeds(batch: number): Record<string, HostValue> {
    const { window, arrays, views } = this;
    if (views !== null && views.batch === batch && views.window === window && views.arrays === arrays)
      return views.feeds;
    const feeds: Record<string, HostValue> = {};
    this.planes.forEach((plane, i) => {
      const shape = [batch, plane.heads, window, plane.width];
      feeds[plane.name] = f32(arrays[i].subarray(0, batch * this.rowSize(plane)), shape);
    });
    this.views = { batch, window, arrays, feeds };
    return feeds;
  }
}
