import { describe, expect, it } from "vitest";
import { Random } from "../../src/lib/random.ts";

const take = (random: Random, count: number) => Array.from({ length: count }, () => random.uint32());

describe("Random", () => {
  it("is xoshiro128**: the first outputs from the state 1, 2, 3, 4 are the reference implementation's", () => {
    const random = Random.fromState([1, 2, 3, 4]);
    expect(take(random, 8)).toEqual([
      11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849,
    ]);
  });

  it("gives equal numbers for equal names, others for others", () => {
    const first = take(new Random(1, "countdown", "train", 12), 4);
    expect(take(new Random(1, "countdown", "train", 12), 4)).toEqual(first);
    const others = [
      new Random(2, "countdown", "train", 12),
      new Random(1, "countdown", "test", 12),
      new Random(1, "countdown", "train", 1, 2),
      new Random("1", "countdown", "train", 12),
      new Random(1, "countdown", "train", "12"),
      new Random(1, "countdowntrain", 12),
    ];
    for (const other of others) expect(take(other, 4)).not.toEqual(first);
  });

  it("has streams that share nothing for neighbouring seeds and indices (pitfall: seed + index)", () => {
    const seen = new Set<string>();
    for (let seed = 0; seed < 50; seed++) {
      for (let index = 0; index < 200; index++) seen.add(take(new Random(seed, "task", index), 2).join());
    }
    expect(seen.size).toBe(50 * 200);
  });

  it("goes on exactly from a saved state, in the middle of any method", () => {
    const random = new Random(3, "resume");
    for (let i = 0; i < 7; i++) random.normal();
    const state = JSON.parse(JSON.stringify(random.state()));
    const copy = Random.fromState(state);
    const calls = (r: Random) => [
      r.normal(),
      r.uniform(),
      r.integer(0, 9),
      r.pick([5, 6]),
      r.shuffle([1, 2, 3]),
    ];
    expect(calls(copy)).toEqual(calls(random));
    expect(copy.state()).toEqual(random.state());
  });

  it("refuses what is no state", () => {
    for (const state of [[], [1, 2, 3], [0, 0, 0, 0], [1, 2, 3, -1], [1, 2, 3, 0.5], [1, 2, 3, 2 ** 32]]) {
      expect(() => Random.fromState(state)).toThrow(RangeError);
    }
  });

  // The statistics below are of fixed streams, so they cannot flicker; bounds are 5 standard errors.
  it("draws uniformly from [0, 1)", () => {
    const random = new Random(4, "uniform");
    const draws = Array.from({ length: 20_000 }, () => random.uniform());
    expect(Math.min(...draws)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...draws)).toBeLessThan(1);
    const mean = draws.reduce((a, b) => a + b) / draws.length;
    expect(Math.abs(mean - 0.5)).toBeLessThan((5 * Math.sqrt(1 / 12)) / Math.sqrt(20_000));
  });

  it("draws integers evenly, both ends included, also above 2^32", () => {
    const random = new Random(5, "integer");
    const counts = [0, 0, 0, 0, 0, 0];
    for (let i = 0; i < 60_000; i++) counts[random.integer(-2, 3) + 2]++;
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(5 * Math.sqrt(10_000));
    const wide = Array.from({ length: 1000 }, () => random.integer(1e12, 9e12));
    expect(Math.min(...wide)).toBeGreaterThanOrEqual(1e12);
    expect(Math.max(...wide)).toBeLessThanOrEqual(9e12);
    expect(new Set(wide).size).toBe(1000);
    expect(random.integer(7, 7)).toBe(7);
    expect(() => random.integer(2, 1)).toThrow(RangeError);
    expect(() => random.integer(0, 0.5)).toThrow(RangeError);
    expect(() => random.pick([])).toThrow(RangeError);
  });

  it("draws a standard normal", () => {
    const random = new Random(6, "normal");
    const draws = Array.from({ length: 40_000 }, () => random.normal());
    const mean = draws.reduce((a, b) => a + b) / draws.length;
    const square = draws.reduce((a, b) => a + b * b) / draws.length;
    expect(Math.abs(mean)).toBeLessThan(5 / Math.sqrt(40_000));
    // The variance of a squared standard normal is 2.
    expect(Math.abs(square - 1)).toBeLessThan((5 * Math.SQRT2) / Math.sqrt(40_000));
  });

  it("shuffles in place, all orders equally often", () => {
    const random = new Random(8, "shuffle");
    const counts = new Map<string, number>();
    for (let i = 0; i < 6000; i++) {
      const items = [1, 2, 3];
      expect(random.shuffle(items)).toBe(items);
      counts.set(items.join(), (counts.get(items.join()) ?? 0) + 1);
    }
    expect(counts.size).toBe(6);
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(5 * Math.sqrt(1000));
  });
});
