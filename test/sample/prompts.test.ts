/** Prompts are read in time, in full passes, once; and few caches are held however many there are. */
import { describe, expect, it } from "vitest";
import { PromptCaches } from "../../src/sample/prompts.ts";
import { Scheduler } from "../../src/sample/scheduler.ts";

/** Requests whose prompts begin with a number of their own and are as long as told. */
const requestsOf = (prompts: [number, number][]) =>
  prompts.map(([number, length], i) => ({
    prompt: Array.from({ length }, (_, j) => (j === 0 ? number : 7)),
    maxNewTokens: 1,
    key: [i],
  }));

const prefix = (length: number) => ({ length, values: [] });

/** Runs requests of which each takes as many steps as told: what was read when, and how many caches were held at most. */
function simulate(prompts: [number, number][], rows: number, tokens: number, steps = (_: number) => 1) {
  const requests = requestsOf(prompts);
  const caches = new PromptCaches(requests, rows, tokens);
  const scheduler = new Scheduler(requests, rows);
  const calls: number[][][] = [];
  const held = new Set<number>();
  let most = 0;
  const left = new Map<number, number>();
  while (!scheduler.done()) {
    const admitted = scheduler.admit().map(({ entry }) => entry.index);
    const passes = admitted.length === 0 ? [] : caches.missing(admitted[0], admitted[0] + admitted.length);
    if (passes.length > 0) calls.push(passes);
    for (const index of passes.flat()) {
      held.add(prompts[index][0]);
      caches.hold(index, prefix(prompts[index][1]));
    }
    most = Math.max(most, held.size);
    for (const index of admitted) {
      const [number, length] = prompts[index];
      // A request gets its own prompt's cache, or none if it has nothing to read.
      expect(caches.take(index)?.length).toBe(length > 1 ? length : undefined);
      left.set(index, steps(index));
      // Dropped: whoever asks again has to read it again.
      if (length > 1 && caches.take(index) === undefined) held.delete(number);
    }
    for (let row = scheduler.active.length - 1; row >= 0; row--) {
      const { index } = scheduler.active[row];
      left.set(index, (left.get(index) as number) - 1);
      if (left.get(index) === 0) scheduler.release(row);
    }
  }
  return { calls, passes: calls.flat(), most, held: held.size };
}

describe("PromptCaches", () => {
  it("reads a prompt when a row takes it, with those next in line that fit the pass", () => {
    const { passes, held } = simulate(
      [1, 2, 3, 4, 5, 6].map((number) => [number, 10]),
      2,
      40,
    );
    // Two rows, and two ahead; as many prompts at once as there are rows.
    expect(passes).toEqual([
      [0, 1],
      [2, 3],
      [4, 5],
    ]);
    expect(held).toBe(0);
  });

  it("one row that is free takes what comes next along", () => {
    // Row 0 is busy for long: request after request goes through row 1.
    const { passes } = simulate(
      [1, 2, 3, 4, 5, 6, 7].map((number) => [number, 10]),
      3,
      1000,
      (index) => (index < 2 ? 50 : 1),
    );
    expect(passes).toEqual([[0, 1, 2], [3, 4, 5], [6]]);
  });

  it("a pass holds as many as fit with padding, in order of length; one that is too long stands alone", () => {
    const { passes } = simulate(
      [
        [1, 30],
        [2, 5],
        [3, 6],
        [4, 5],
        [5, 90],
      ],
      5,
      18,
    );
    expect(passes).toEqual([[1, 3, 2], [0], [4]]);
  });

  it("takes along as many as fill the pass, with the padding of the longest", () => {
    // Two rows are busy for long: the third takes one request after another.
    const read = (...lengths: number[]) =>
      simulate(
        [10, 10, 10, ...lengths].map((length, i) => [i, length]),
        3,
        20,
        (index) => (index < 2 ? 50 : 1),
      ).calls;
    const first = [[0, 1], [2]];
    expect(read(10, 10, 10, 10)).toEqual([first, [[3, 4]], [[5, 6]]]);
    expect(read(15, 10)).toEqual([first, [[3]], [[4]]]);
    expect(read(10, 15)).toEqual([first, [[3]], [[4]]]);
    expect(read(5, 6, 6, 5)).toEqual([first, [[3, 4, 5]], [[6]]]);
  });

  it("takes nothing along that the pass has no room for", () => {
    const lengths: [number, number][] = [
      [1, 10],
      [2, 10],
      [3, 21],
      [4, 10],
    ];
    // 3 · 10 fits 40, and 3 · 21 does not.
    expect(simulate(lengths, 1, 40).passes).toEqual([[0], [1], [2], [3]]);
    expect(simulate(lengths, 2, 40).passes[0]).toEqual([0, 1]);
  });

  it("groups share: each prompt is read once, also where a row at a time is free", () => {
    const groups: [number, number][] = [1, 2, 3].flatMap((number) =>
      Array.from({ length: 8 }, (): [number, number] => [number, 12]),
    );
    for (const rows of [1, 2, 3, 8, 24]) {
      const { passes, most, held } = simulate(groups, rows, 4096, (index) => 1 + (index % 3));
      expect(
        passes.flat().map((index) => groups[index][0]),
        `${rows} rows`,
      ).toEqual([1, 2, 3]);
      // Nothing is read before a row takes it, unless a pass takes it along.
      expect(most).toBeLessThanOrEqual(rows === 1 ? 1 : 3);
      expect(held).toBe(0);
    }
  });

  it("holds at most as many prompts as two times the rows, of a thousand", () => {
    const many: [number, number][] = Array.from({ length: 1000 }, (_, i) => [i, 2 + ((i * 7) % 90)]);
    for (const rows of [1, 2, 16]) {
      const { most, passes, held } = simulate(many, rows, 4096, (index) => 1 + (index % 5));
      expect(most).toBeLessThanOrEqual(2 * rows);
      expect(passes.flat().sort((a, b) => a - b)).toEqual(many.map((_, i) => i));
      expect(held).toBe(0);
    }
  });

  it("samples that are far apart do not hold a prompt: it is read again", () => {
    const twice: [number, number][] = [...Array(2)].flatMap(() =>
      Array.from({ length: 50 }, (_, i): [number, number] => [i, 9]),
    );
    const { most, passes } = simulate(twice, 4, 4096);
    expect(most).toBeLessThanOrEqual(8);
    expect(passes.flat().length).toBe(100);
  });

  it("a prompt of one token is never read", () => {
    expect(
      simulate(
        [
          [1, 1],
          [2, 3],
          [1, 1],
        ] as [number, number][],
        3,
        100,
      ).passes,
    ).toEqual([[1]]);
  });
});
