/** Feeds of the policy loss, position by position, written by hand. */
import { describe, expect, it } from "vitest";
import { MASKED } from "../../src/graph/ops/nn.ts";
import {
  forEachCompletion,
  microBatchFeeds,
  miniBatchesOf,
  packByPrefix,
  type TrainingRow,
} from "../../src/train/microbatch.ts";

const row = (prompt: number[], ids: number[], over: Partial<TrainingRow> = {}): TrainingRow => ({
  ...{ prompt, ids, reference: null },
  ...{ sampled: ids.map((id) => -id), old: ids.map((id) => -2 * id), importance: ids.map((id) => id / 2) },
  ...{ advantages: ids.map(() => ids[0]! / 10), weights: ids.map(() => ids[0]! / 100) },
  ...over,
});

/** Two completions of one prompt in a bundle, and a shorter one in another. */
const first = row([1, 2, 3], [10, 11]);
const second = row([1, 2, 3], [20], { reference: [-7] });
const other = row([5], [30, 31, 32]);
const bundles = [[first, second], [other]];
const SEQ = 6;
const feeds = microBatchFeeds({ packed: bundles, seq: SEQ });
const values = (name: string): number[] => [...(feeds[name]!.data as Float32Array)];

describe("mini-batches", () => {
  it("keep the order and are as even as can be", () => {
    expect(miniBatchesOf([1, 2, 3, 4, 5, 6, 7, 8], 5)).toEqual([[1], [2, 3], [4], [5, 6], [7, 8]]);
    expect(miniBatchesOf([1, 2, 3], 2)).toEqual([[1], [2, 3]]);
    expect(miniBatchesOf([1, 2], 3)).toEqual([[1], [2]]);
    expect(miniBatchesOf([], 3)).toEqual([]);
  });
});

describe("bundles", () => {
  it("hold rows of one prompt up to the limit", () => {
    // 3 + 2 - 1 tokens, and one more.
    expect(packByPrefix([first, second, other], 5)).toEqual([[first, second], [other]]);
    expect(packByPrefix([first, second, other], 4)).toEqual([[first], [second], [other]]);
  });

  it("say where each row's first token is predicted", () => {
    const starts: number[] = [];
    forEachCompletion({ packed: bundles, seq: SEQ }, (_, start) => starts.push(start));
    // The last token of the prompt; behind the first completion; the prompt of one token in the second bundle.
    expect(starts).toEqual([2, 4, 6]);
  });
});

describe("what is fed", () => {
  it("is the prompt once, and of each completion the prompt's last token and all but its own last", () => {
    expect(feeds.ids!.shape).toEqual([2, SEQ]);
    expect(values("ids")).toEqual([...[1, 2, 3, 10, 3, 0], ...[5, 30, 31, 0, 0, 0]]);
    expect(values("positions")).toEqual([...[0, 1, 2, 3, 2, 0], ...[0, 1, 2, 0, 0, 0]]);
    expect(values("targets")).toEqual([...[2, 3, 10, 11, 20, 0], ...[30, 31, 32, 0, 0, 0]]);
    expect(values("fed")).toEqual([...[1, 1, 1, 1, 1, 0], ...[1, 1, 1, 0, 0, 0]]);
  });

  it("has a completion's values where its tokens are predicted", () => {
    const at = (...list: number[]) => [...[0, 0, ...list.slice(0, 3), 0], ...[...list.slice(3), 0, 0, 0]];
    expect(values("sampled")).toEqual(at(-10, -11, -20, -30, -31, -32));
    expect(values("old")).toEqual(at(-20, -22, -40, -60, -62, -64));
    expect(values("importance")).toEqual(at(5, 5.5, 10, 15, 15.5, 16));
    expect(values("reference")).toEqual(at(0, 0, -7, 0, 0, 0));
    expect(values("advantage")).toEqual(at(1, 1, 2, 3, 3, 3));
    expect(values("weights").map((value) => Math.round(100 * value))).toEqual(at(10, 10, 20, 30, 30, 30));
  });

  it("names the completions' positions, their targets, and the way back", () => {
    expect(values("completionIndices")).toEqual([2, 3, 4, 6, 7, 8]);
    expect(values("completionTargets")).toEqual([10, 11, 20, 30, 31, 32]);
    expect(values("inverseIndices")).toEqual([...[6, 6, 0, 1, 2, 6], ...[3, 4, 5, 6, 6, 6]]);
  });

  it("hides the other completions of the bundle", () => {
    const mask = feeds.mask!;
    expect(mask.shape).toEqual([2, 1, SEQ, SEQ]);
    const seen = (bundle: number, query: number): number[] =>
      Array.from({ length: SEQ }, (_, key) => key).filter(
        (key) => mask.data[(bundle * SEQ + query) * SEQ + key] === 0,
      );
    expect([0, 1, 2, 3, 4].map((query) => seen(0, query))).toEqual([
      [0],
      [0, 1],
      [0, 1, 2],
      [0, 1, 2, 3],
      [0, 1, 4],
    ]);
    expect([0, 1, 2].map((query) => seen(1, query))).toEqual([[0], [0, 1], [0, 1, 2]]);
    expect(new Set(mask.data as Float32Array)).toEqual(new Set([0, MASKED]));
    // Without shared prompts one causal mask serves all.
    expect(microBatchFeeds({ packed: [[first], [other]], seq: SEQ }).mask!.shape).not.toEqual([
      2,
      1,
      SEQ,
      SEQ,
    ]);
  });

  it("refuses what does not fit, and values that do not match the ids", () => {
    expect(() => microBatchFeeds({ packed: [[first, second]], seq: 4 })).toThrow(
      "a row of 5 tokens does not fit 4 positions",
    );
    expect(() => microBatchFeeds({ packed: [[{ ...first, old: [1] }]], seq: SEQ })).toThrow(
      "a row has 2 ids but 1 old values",
    );
  });
});
