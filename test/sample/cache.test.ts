import { describe, expect, it } from "vitest";
import { KvCache } from "../../src/sample/cache.ts";

const planes = [
  { name: "keys.0", heads: 2, width: 3 },
  { name: "values.0", heads: 2, width: 3 },
];

/** A value that names its plane, row, head, position and dimension. */
const label = (plane: number, row: number, head: number, position: number, dim: number): number =>
  plane * 100_000 + row * 10_000 + head * 1000 + position * 10 + dim;

/** What stands at (row, head, position) of both planes. */
function read(cache: KvCache, rows: number, row: number, head: number, position: number): number[][] {
  const feeds = cache.feeds(rows);
  return ["keys.0", "values.0"].map((name) => {
    const start = ((row * 2 + head) * cache.window + position) * 3;
    return Array.from(feeds[name].data.subarray(start, start + 3) as Float32Array);
  });
}

const expected = (row: number, head: number, position: number): number[][] =>
  [0, 1].map((plane) => [0, 1, 2].map((dim) => label(plane, row, head, position, dim)));

function prefix(row: number, length: number) {
  const tensors = [0, 1].map((plane) =>
    Float32Array.from({ length: 2 * length * 3 }, (_, i) =>
      label(plane, row, Math.floor(i / (length * 3)), Math.floor(i / 3) % length, i % 3),
    ),
  );
  return { length, tensors };
}

/** The graph's outputs for one new token of each of `rows` rows, at a position each. */
const fresh = (positions: number[]): Float32Array[] =>
  [0, 1].map((plane) =>
    Float32Array.from({ length: positions.length * 6 }, (_, i) => {
      const row = Math.floor(i / 6);
      return label(plane, row, Math.floor(i / 3) % 2, positions[row], i % 3);
    }),
  );

describe("KvCache", () => {
  it("feeds the first rows as one view of [rows, kvHeads, window, headDim]", () => {
    const cache = new KvCache(planes);
    cache.reset(4);
    const feeds = cache.feeds(2);
    expect(Object.keys(feeds)).toEqual(["keys.0", "values.0"]);
    expect(feeds["keys.0"].shape).toEqual([2, 2, 32, 3]);
    expect(feeds["keys.0"].data.length).toBe(2 * 2 * 32 * 3);
  });

  it("holds prompts and new tokens where they belong, and moves a row whole", () => {
    const cache = new KvCache(planes);
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

  it("keeps every value when the window grows, again and again, and when a batch starts over", () => {
    const cache = new KvCache(planes);
    cache.reset(3);
    cache.ensure(60, 0);
    [0, 1, 2].forEach((row) => {
      cache.load(row, prefix(row, 60));
    });
    for (const [length, window] of [
      [64, 64],
      [65, 96],
      [96, 96],
      [97, 128],
      [400, 416],
    ]) {
      cache.ensure(length, 3);
      expect(cache.window).toBe(window);
      for (const row of [0, 1, 2])
        for (const head of [0, 1])
          for (const position of [0, 31, 59])
            expect(read(cache, 3, row, head, position)).toEqual(expected(row, head, position));
    }
    cache.reset(2);
    expect(cache.window).toBe(32);
    cache.ensure(60, 0);
    cache.load(1, prefix(1, 60));
    expect(read(cache, 2, 1, 1, 59)).toEqual(expected(1, 1, 59));
  });

  it("keeps planes of different widths apart", () => {
    const cache = new KvCache([
      { name: "a", heads: 1, width: 5 },
      { name: "b", heads: 2, width: 1 },
    ]);
    cache.reset(2);
    const count = (length: number, from: number) => Float32Array.from({ length }, (_, i) => from + i);
    cache.append(0, 3, [count(10, 0), count(4, 100)]);
    cache.append(1, 3, [count(10, 0), count(4, 100)]);
    cache.ensure(200, 2);
    const { a, b } = cache.feeds(2);
    expect([a.shape, b.shape]).toEqual([
      [2, 1, cache.window, 5],
      [2, 2, cache.window, 1],
    ]);
    const second = (cache.window + 3) * 5;
    expect([...(a.data as Float32Array).subarray(second, second + 5)]).toEqual([5, 6, 7, 8, 9]);
    expect([1, 2, 3].map((head) => b.data[head * cache.window + 3])).toEqual([101, 102, 103]);
  });
});
