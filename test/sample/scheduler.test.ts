import { describe, expect, it } from "vitest";
import { Random } from "../../src/lib/random.ts";
import { ladderSize, Scheduler } from "../../src/sample/scheduler.ts";

const requests = [[4, 5, 6], [7], [8, 9], [10, 11, 12, 13], [14]].map((prompt, i) => ({
  prompt,
  maxNewTokens: 3,
  key: ["scheduler", i],
}));

describe("Scheduler", () => {
  it("admits in order, as many as there are rows, and a newcomer for each that ends", () => {
    const scheduler = new Scheduler(requests, 2);
    expect(scheduler.done()).toBe(false);
    expect(scheduler.admit().map(({ row, entry }) => [row, entry.index])).toEqual([
      [0, 0],
      [1, 1],
    ]);
    expect(scheduler.admit()).toEqual([]);
    // Row 1 is the last: nothing moves.
    expect(scheduler.release(1)).toBeNull();
    expect(scheduler.admit().map(({ row, entry }) => [row, entry.index])).toEqual([[1, 2]]);
    // Row 0 is not: the last row takes its place.
    expect(scheduler.release(0)).toBe(1);
    expect(scheduler.active.map(({ index }) => index)).toEqual([2]);
    expect(scheduler.admit().map(({ row, entry }) => [row, entry.index])).toEqual([[1, 3]]);
    expect(scheduler.release(1)).toBeNull();
    expect(scheduler.release(0)).toBeNull();
    expect(scheduler.done()).toBe(false);
    expect(scheduler.admit().map(({ entry }) => entry.index)).toEqual([4]);
    expect(scheduler.done()).toBe(false);
    scheduler.release(0);
    expect(scheduler.admit()).toEqual([]);
    expect(scheduler.done()).toBe(true);
  });

  it("begins with the last token of a prompt, at its position, and the request's own stream", () => {
    const [{ entry }] = new Scheduler(requests.slice(3), 1).admit();
    expect(entry).toMatchObject({ index: 0, next: 13, position: 3, ids: [], logProbs: [] });
    expect(entry.request).toBe(requests[3]);
    expect(entry.random.uniform()).toBe(new Random("scheduler", 3).uniform());
  });

  it("has no more rows than requests, and than the ladder", () => {
    expect(new Scheduler(requests, 128).maxBatch).toBe(5);
    expect(new Scheduler(requests, 3).maxBatch).toBe(3);
    const many = Array.from({ length: 1000 }, () => requests[0]);
    expect(new Scheduler(many, 500).maxBatch).toBe(256);
    expect(new Scheduler([], 4).done()).toBe(true);
  });

  it("runs the smallest batch of the ladder that holds the rows", () => {
    const sizes = [1, 2, 3, 4, 5, 9, 17, 25, 33, 49, 65, 97, 129, 193, 256].map(ladderSize);
    expect(sizes).toEqual([1, 2, 4, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 256]);
    const scheduler = new Scheduler(requests, 5);
    scheduler.admit();
    expect(scheduler.batchSize()).toBe(8);
    scheduler.release(4);
    expect(scheduler.batchSize()).toBe(4);
  });
});
