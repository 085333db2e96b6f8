import { describe, expect, it } from "vitest";
import { f32, host, type Value } from "../../src/runtime/value.ts";
import { KvCache } from "../../src/sample/cache.ts";

const layers = [
  { name: "keys.0", heads: 2, width: 3 },
  { name: "values.0", heads: 2, width: 3 },
];

/** A value that names its layer, row, head, position and dimension. */
const label = (layer: number, row: number, head: number, position: number, dim: number): number =>
  layer * 100_000 + row * 10_000 + head * 1000 + position * 10 + dim;

const numbers = (value: Value): Float32Array => host(value).data as Float32Array;

/** What stands at (row, head, position) of both layers. */
function read(cache: KvCache, rows: number, row: number, head: number, position: number): number[][] {
  const feeds = cache.feeds(rows);
  return ["keys.0", "values.0"].map((name) => {
    const start = ((row * 2 + head) * cache.capacity + position) * 3;
    return Array.from(numbers(feeds[name]).subarray(start, start + 3));
  });
}

const expected = (row: number, head: number, position: number): number[][] =>
  [0, 1].map((layer) => [0, 1, 2].map((dim) => label(layer, row, head, position, dim)));

function prefix(row: number, length: number) {
  const values = [0, 1].map((layer) =>
    f32(
      Float32Array.from({ length: 2 * length * 3 }, (_, i) =>
        label(layer, row, Math.floor(i / (length * 3)), Math.floor(i / 3) % length, i % 3),
      ),
    ),
  );
  return { length, values };
}

/** The graph's outputs for one new token of each of `rows` rows, at a position each. */
const fresh = (positions: number[]): Value[] =>
  [0, 1].map((layer) =>
    f32(
      Float32Array.from({ length: positions.length * 6 }, (_, i) => {
        const row = Math.floor(i / 6);
        return label(layer, row, Math.floor(i / 3) % 2, positions[row], i % 3);
      }),
    ),
  );

describe("KvCache", () => {
  it("feeds the first rows as one view of [rows, kvHeads, capacity, headDim]", () => {
    const cache = new KvCache(layers);
    cache.reset(4);
    const feeds = cache.feeds(2);
    expect(Object.keys(feeds)).toEqual(["keys.0", "values.0"]);
    expect(feeds["keys.0"].shape).toEqual([2, 2, 32, 3]);
    expect(numbers(feeds["keys.0"]).length).toBe(2 * 2 * 32 * 3);
  });

  it("holds prompts and new tokens where they belong, and moves a row whole", () => {
    const cache = new KvCache(layers);
    cache.reset(3);
    [0, 1, 2].forEach((row) => {
      cache.load(row, prefix(row, 5));
    });
    const rows = fresh([5, 5, 5]);
    for (const row of [0, 1, 2]) cache.append(row, 5, rows);
    for (const row of [0, 1, 2])
      for (const head of [0, 1])
        for (const position of [0, 4, 5])
          expect(read(cache, 3, row, head, position)).toEqual(expected(row, head, position));
    cache.move(2, 0);
    for (const head of [0, 1])
      for (const position of [0, 5])
        expect(read(cache, 1, 0, head, position)).toEqual(expected(2, head, position));
    expect(read(cache, 3, 1, 1, 5)).toEqual(expected(1, 1, 5));
  });

  it("keeps every value when the capacity grows, again and again, and when a batch starts over", () => {
    const cache = new KvCache(layers);
    cache.reset(3);
    cache.ensure(60, 0);
    [0, 1, 2].forEach((row) => {
      cache.load(row, prefix(row, 60));
    });
    for (const [length, capacity] of [
      [64, 64],
      [65, 96],
      [96, 96],
      [97, 128],
      [400, 416],
    ]) {
      cache.ensure(length, 3);
      expect(cache.capacity).toBe(capacity);
      for (const row of [0, 1, 2])
        for (const head of [0, 1])
          for (const position of [0, 31, 59])
            expect(read(cache, 3, row, head, position)).toEqual(expected(row, head, position));
    }
    // What fits already changes nothing.
    for (const length of [10, 416]) {
      cache.ensure(length, 3);
      expect(cache.capacity).toBe(416);
    }
    cache.reset(2);
    expect(cache.capacity).toBe(32);
    cache.ensure(60, 0);
    cache.load(1, prefix(1, 60));
    expect(read(cache, 2, 1, 1, 59)).toEqual(expected(1, 1, 59));
  });

  it("keeps layers of different widths apart", () => {
    const cache = new KvCache([
      { name: "a", heads: 1, width: 5 },
      { name: "b", heads: 2, width: 1 },
    ]);
    cache.reset(2);
    const count = (length: number, from: number) => f32(Float32Array.from({ length }, (_, i) => from + i));
    cache.append(0, 3, [count(10, 0), count(4, 100)]);
    cache.append(1, 3, [count(10, 0), count(4, 100)]);
    cache.ensure(200, 2);
    const { a, b } = cache.feeds(2);
    expect([a.shape, b.shape]).toEqual([
      [2, 1, cache.capacity, 5],
      [2, 2, cache.capacity, 1],
    ]);
    const second = (cache.capacity + 3) * 5;
    expect([...numbers(a).subarray(second, second + 5)]).toEqual([5, 6, 7, 8, 9]);
    expect([1, 2, 3].map((head) => numbers(b)[head * cache.capacity + 3])).toEqual([101, 102, 103]);
  });

  it("keeps the beginning of row 0 alone, in a capacity that fits it", () => {
    const cache = new KvCache(layers);
    for (const [held, kept, capacity] of [
      [100, 70, 96],
      [100, 33, 64],
      [40, 64, 64],
      [60, 0, 32],
      [64, 64, 64],
    ]) {
      cache.reset(3);
      cache.ensure(held, 0);
      [0, 1, 2].forEach((row) => {
        cache.load(row, prefix(row, held));
      });
      cache.keep(kept);
      expect(cache.capacity).toBe(capacity);
      expect(cache.feeds(1)["keys.0"].shape).toEqual([1, 2, capacity, 3]);
      for (const head of [0, 1])
        for (const position of [0, 31, Math.min(held, kept) - 1].filter(
          (p) => p >= 0 && p < Math.min(held, kept),
        ))
          expect(read(cache, 1, 0, head, position), `${held} ${kept}`).toEqual(expected(0, head, position));
    }
  });

  it("gives back what a row holds of its first tokens", () => {
    const cache = new KvCache(layers);
    cache.reset(3);
    cache.ensure(50, 0);
    [0, 1, 2].forEach((row) => {
      cache.load(row, prefix(row, 50));
    });
    for (const row of [0, 1, 2])
      for (const length of [1, 7, 50]) {
        const { values, ...rest } = cache.prefix(row, length);
        expect(rest).toEqual({ length });
        for (const [layer, value] of values.entries())
          for (const head of [0, 1])
            for (const position of [0, length - 1])
              expect([
                ...numbers(value).subarray(
                  (head * length + position) * 3,
                  (head * length + position + 1) * 3,
                ),
              ]).toEqual([0, 1, 2].map((dim) => label(layer, row, head, position, dim)));
        expect(values.map((value) => value.shape)).toEqual([
          [2, length, 3],
          [2, length, 3],
        ]);
      }
  });

  it("appends several tokens of one row, and touches nothing else", () => {
    const cache = new KvCache(layers);
    cache.reset(3);
    // [3 rows, 2 heads, 4 tokens, 3]: a pass that read four tokens of each row.
    const chunk = [0, 1].map((layer) =>
      f32(
        Float32Array.from({ length: 3 * 2 * 4 * 3 }, (_, i) =>
          label(layer, Math.floor(i / 24), Math.floor(i / 12) % 2, 5 + (Math.floor(i / 3) % 4), i % 3),
        ),
      ),
    );
    cache.append(1, 5, chunk, 3, 4);
    for (const head of [0, 1]) {
      for (const position of [5, 6, 7])
        expect(read(cache, 3, 1, head, position)).toEqual(expected(1, head, position));
      for (const position of [4, 8, 0, 31])
        expect(read(cache, 3, 1, head, position)).toEqual([
          [0, 0, 0],
          [0, 0, 0],
        ]);
    }
    for (const row of [0, 2])
      for (const head of [0, 1]) expect(read(cache, 3, row, head, 5)[0]).toEqual([0, 0, 0]);
  });

  it("loads one row and touches nothing else; moves to any row", () => {
    const cache = new KvCache(layers);
    cache.reset(4);
    cache.load(2, prefix(2, 32));
    for (const row of [0, 1, 3])
      for (const head of [0, 1]) expect(read(cache, 4, row, head, 0)[1]).toEqual([0, 0, 0]);
    cache.move(2, 1);
    for (const head of [0, 1])
      for (const position of [0, 31])
        expect(read(cache, 4, 1, head, position)).toEqual(expected(2, head, position));
    for (const row of [0, 3]) expect(read(cache, 4, row, 0, 0)[0]).toEqual([0, 0, 0]);
  });

  it("feeds the same views until batch, capacity or arrays change", () => {
    const cache = new KvCache(layers);
    cache.reset(4);
    const feeds = cache.feeds(2);
    expect(cache.feeds(2)).toBe(feeds);
    expect(cache.feeds(3)["keys.0"].shape).toEqual([3, 2, 32, 3]);
    expect(cache.feeds(2)["keys.0"].shape).toEqual([2, 2, 32, 3]);
    // Rows that fit the arrays: the capacity alone is another.
    cache.reset(1);
    cache.feeds(1);
    cache.ensure(64, 1);
    expect(cache.feeds(1)["keys.0"].shape).toEqual([1, 2, 64, 3]);
    expect(numbers(cache.feeds(1)["keys.0"]).length).toBe(2 * 64 * 3);
    // The same batch and capacity over arrays that have grown.
    cache.reset(1);
    const small = numbers(cache.feeds(1)["keys.0"]).buffer;
    cache.reset(500);
    const large = numbers(cache.feeds(1)["keys.0"]).buffer;
    expect(large).not.toBe(small);
    // Smaller batches use them again.
    cache.reset(499);
    expect(numbers(cache.feeds(1)["keys.0"]).buffer).toBe(large);
    cache.reset(500);
    expect(numbers(cache.feeds(1)["keys.0"]).buffer).toBe(large);
  });

  it("forgets everything, what lies beyond the tokens of a row too", () => {
    const cache = new KvCache(layers);
    cache.reset(2);
    cache.load(0, prefix(7, 32));
    cache.load(1, prefix(8, 32));
    cache.clear();
    cache.reset(2);
    for (const row of [0, 1])
      for (const position of [0, 31])
        expect(read(cache, 2, row, 1, position)).toEqual([
          [0, 0, 0],
          [0, 0, 0],
        ]);
  });
});
