/**
 * The KV cache: one value [rows, heads, capacity, width] for each cache layer, such as a decoder layer's keys. Rows are
 * outermost, so the first n of them are one contiguous view; the capacity grows in place when a row outgrows it.
 */
import type { CacheLayer } from "../models/architectures.ts";
import { allocate, copyBlocks, copyGroups, type Value, view } from "../runtime/value.ts";

/** Capacities are multiples of this many tokens, so that the graphs see few shapes. */
export const CAPACITY_STEP = 32;

const capacityFor = (length: number): number =>
  Math.max(1, Math.ceil(length / CAPACITY_STEP)) * CAPACITY_STEP;

/** What a cache holds of one prompt, copied into each row that starts from it. */
export interface PrefixCache {
  length: number;
  /** [heads, length, width] for each cache layer. */
  values: Value[];
}

export class KvCache {
  /** Tokens that a row can hold. */
  capacity = CAPACITY_STEP;
  private readonly layers: readonly CacheLayer[];
  private values: Value[] = [];
  private rows = 0;
  /** The views that were fed last: they serve until the batch, the capacity or a value changes. */
  private fed: { batch: number; capacity: number; values: Value[]; feeds: Record<string, Value> } | null =
    null;

  constructor(layers: readonly CacheLayer[]) {
    this.layers = layers;
  }

  private rowSize({ heads, width }: CacheLayer): number {
    return heads * this.capacity * width;
  }

  /** Empties the cache for a batch of `rows` rows; the memory of an earlier batch is used again. */
  reset(rows: number): void {
    this.capacity = CAPACITY_STEP;
    this.rows = rows;
    this.allocate();
  }

  /** Frees the memory, including masked values of earlier tokens. */
  clear(): void {
    this.values = [];
    this.fed = null;
  }

  private allocate(): void {
    this.values = this.layers.map((layer, i) => {
      const old: Value | undefined = this.values[i];
      const size = this.rows * this.rowSize(layer);
      const held = old === undefined ? 0 : old.shape[0];
      if (held >= size && old !== undefined) return old;
      const grown = allocate("f32", [size]);
      if (old !== undefined) copyBlocks(grown, old, { count: 1, width: held });
      return grown;
    });
  }

  /** Gives every row this capacity; the first `rows` of them keep their first `length` tokens. */
  private resize(capacity: number, rows: number, length: number): void {
    const before = this.capacity;
    this.capacity = capacity;
    this.allocate();
    if (rows * length === 0) return;
    this.layers.forEach(({ heads, width }, i) => {
      copyBlocks(this.values[i], this.values[i], {
        ...{ count: rows * heads, width: length * width },
        ...{ fromStride: before * width, toStride: capacity * width },
      });
    });
  }

  /** Row 0 becomes the only row and keeps its first `length` tokens. */
  keep(length: number): void {
    this.rows = 1;
    this.resize(capacityFor(length), 1, Math.min(length, this.capacity));
  }

  /** Makes each row large enough for `length` tokens; the first `active` rows keep what they hold. */
  ensure(length: number, active: number): void {
    if (length > this.capacity) this.resize(capacityFor(length), active, this.capacity);
  }

  /** Fills row `row` with the cache of a prompt. */
  load(row: number, prefix: PrefixCache): void {
    this.append(row, 0, prefix.values, prefix.length, prefix.length, 0);
  }

  /**
   * Stores new tokens of row `row` from `position` on. `added` has a value [batch, heads, seq, width] for each cache layer,
   * of which row `from` counts, and of its tokens the first `length`.
   */
  append(row: number, position: number, added: readonly Value[], length = 1, seq = 1, from = row): void {
    this.store(added, { length, seq }, [{ row, position, from }]);
  }

  /** Stores a new token of each of the first rows, row i at `positions[i]`; `added` is [batch, heads, 1, width] a layer. */
  appendEach(positions: readonly number[], added: readonly Value[]): void {
    const rows = positions.map((position, row) => ({ row, position, from: row }));
    this.store(added, { length: 1, seq: 1 }, rows);
  }

  private store(
    added: readonly Value[],
    { length, seq }: { length: number; seq: number },
    rows: readonly { row: number; position: number; from: number }[],
  ): void {
    const { layers, values, capacity } = this;
    layers.forEach(({ heads, width }, i) => {
      copyGroups(
        values[i],
        added[i],
        { count: heads, width: length * width, fromStride: seq * width, toStride: capacity * width },
        rows.map(({ from }) => from * heads * seq * width),
        rows.map(({ row, position }) => (row * heads * capacity + position) * width),
      );
    });
  }

  /** What row `row` holds of its first `length` tokens. */
  prefix(row: number, length: number): PrefixCache {
    const values = this.layers.map((layer, i) => {
      const { heads, width } = layer;
      const copy = allocate("f32", [heads, length, width]);
      const blocks = { count: heads, width: length * width, fromStride: this.capacity * width };
      copyBlocks(copy, this.values[i], { ...blocks, from: row * this.rowSize(layer) });
      return copy;
    });
    return { length, values };
  }

  /** Row `from` takes the place of row `to`. */
  move(from: number, to: number): void {
    this.layers.forEach((layer, i) => {
      const size = this.rowSize(layer);
      const blocks = { count: 1, width: size, from: from * size, to: to * size };
      copyBlocks(this.values[i], this.values[i], blocks);
    });
  }

  /** The first `batch` rows as graph inputs, by the names of the cache layers. */
  feeds(batch: number): Record<string, Value> {
    const { capacity, values, fed } = this;
    if (fed?.batch === batch && fed.capacity === capacity && fed.values === values) return fed.feeds;
    const feeds = Object.fromEntries(
      this.layers.map(({ name, heads, width }, i) => [
        name,
        view(values[i], [batch, heads, capacity, width]),
      ]),
    );
    this.fed = { batch, capacity, values, feeds };
    return feeds;
  }
}
