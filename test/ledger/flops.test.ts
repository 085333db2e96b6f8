import { expect, test } from "vitest";
import {
  attentionTrainingFlops,
  deepseekFlopsPerToken,
  grpoFlopsPerToken,
  trainingFlops,
  utilisation,
} from "../../src/ledger/flops.ts";

test("DeepSeek-V3 by 6ND (pitfall G5)", () => {
  const flops = trainingFlops(37e9, 14.8e12);
  expect(flops).toBeCloseTo(3.2856e24, -20);
  expect(utilisation(flops, 1, 1.52e25, "6ND").share).toBeCloseTo(0.216, 3);
  expect(() => utilisation(trainingFlops(671e9, 14.8e12), 1, 1.52e25, "6ND, total")).toThrow(
    /392\.\d % is impossible/,
  );
  expect(() => utilisation(1, 0, 1, "x")).toThrow(RangeError);
});

test("DeepSeek LLM 7B: 30 layers, width 4096, sequence 4096", () => {
  // 72 * 30 * 4096^2 = 3.624e10; 12 * 30 * 4096 * 4096 = 6.04e9.
  expect(deepseekFlopsPerToken(30, 4096, 4096)).toBe(36_238_786_560 + 6_039_797_760);
  // The attention term is the non-causal one.
  expect(attentionTrainingFlops(30, 4096, 4096, false)).toBe(6_039_797_760);
  expect(attentionTrainingFlops(30, 4096, 4096, true)).toBe(3_019_898_880);
});

test("GRPO costs 8 to 12 FLOPs per parameter and generated token", () => {
  expect(grpoFlopsPerToken(1, { reference: false, oldPolicy: false })).toBe(8);
  expect(grpoFlopsPerToken(1, { reference: true, oldPolicy: true })).toBe(12);
  expect(grpoFlopsPerToken(1, { epochs: 2, reference: true, oldPolicy: false })).toBe(16);
});
