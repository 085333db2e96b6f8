import { expect, test } from "vitest";
import { importanceWeights } from "../../src/train/advantages.ts";

// ln 2, ln 4 and -ln 2 of difference between trainer and sampler: ratios 2, 4 and 1/2.
const sampled = [-1, -2, -3];
const old = [-1 + Math.log(2), -2 + Math.log(4), -3 - Math.log(2)];

const rounded = (level: "token" | "sequence" | "length-normalised", cap: number) => {
  const { weights, cut } = importanceWeights(old, sampled, level, cap);
  return { weights: weights.map((weight) => Number(weight.toFixed(10))), cut };
};

test("a weight is the ratio of both probabilities, of the token, the sequence, or their geometric mean", () => {
  expect(rounded("token", 100)).toEqual({ weights: [2, 4, 0.5], cut: 0 });
  // 2 x 4 x 1/2 = 4, its third root 1.5874010520.
  expect(rounded("sequence", 100)).toEqual({ weights: [4, 4, 4], cut: 0 });
  expect(rounded("length-normalised", 100)).toEqual({
    weights: [1.587401052, 1.587401052, 1.587401052],
    cut: 0,
  });
});

test("weights above the cap are cut to it and counted; one at the cap is neither", () => {
  expect(rounded("token", 3)).toEqual({ weights: [2, 3, 0.5], cut: 1 });
  expect(rounded("sequence", 3)).toEqual({ weights: [3, 3, 3], cut: 3 });
  expect(importanceWeights([-1, -1], [-1, -1], "token", 1)).toEqual({ weights: [1, 1], cut: 0 });
});
