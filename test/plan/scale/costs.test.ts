/** Each formula against a figure that somebody published, or one that is worked out by hand. */
import { describe, expect, it, test } from "vitest";
import { fromHuggingFace } from "../../../src/models/architectures.ts";
import {
  amortised,
  clusterPrice,
  forwardFlops,
  gpuHours,
  kilowattHours,
  rlFlops,
  rolloutBound,
  trainingFlops,
  utilisation,
} from "../../../src/plan/scale/costs.ts";
import { countModel, type ModelCounts, modelOfSize } from "../../../src/plan/scale/counts.ts";
import { gpus } from "../../../src/plan/scale/gpus.ts";
import { systems } from "../../../src/plan/scale/systems.ts";

describe("FLOPs of a training token", () => {
  const v3 = countModel(fromHuggingFace(systems["deepseek-v3"].shape));

  it("are 250 billion for V3 at 4,096 tokens (arXiv 2505.09343, table 2)", () => {
    expect(trainingFlops(v3, 4096, "causal") / 1e9).toBeCloseTo(250.45, 2);
    expect(3 * forwardFlops(v3, 4096)).toBe(trainingFlops(v3, 4096, "causal"));
  });

  it("differ by numerator: 6ND, the full square, the MTP module", () => {
    expect(trainingFlops(v3, 4096, "6nd")).toBe(6 * v3.active);
    expect(trainingFlops(v3, 4096, "full") - trainingFlops(v3, 4096, "causal")).toBe(
      3 * 2048 * v3.forward.perKey,
    );
    const [causal, full] = (["causal", "full"] as const).map(
      (one) => trainingFlops(v3, 4096, `${one}+mtp`) - trainingFlops(v3, 4096, one),
    );
    expect(causal / 1e9).toBeCloseTo(10.19, 2);
    expect(full - causal).toBeCloseTo(3 * 2048 * 2 * 128 * 320, -1);
  });

  it("are 6ND, attention or not, where only the size is known", () => {
    for (const numerator of ["6nd", "causal", "full+mtp"] as const)
      expect(trainingFlops(modelOfSize(1e9), 4096, numerator)).toBe(6e9);
  });
});

test("hours and utilisation are each other's inverse; downtime costs hours", () => {
  // 6 x 37e9 x 14.8e12 over 2.664 million hours of 989.4 TFLOP/s is 34.6 %.
  const flop = 6 * 37e9 * 14.8e12;
  expect(utilisation(flop, 2.664e6, 989.4e12)).toBeCloseTo(0.3463, 4);
  expect(gpuHours(flop, 989.4e12, utilisation(flop, 2.664e6, 989.4e12))).toBeCloseTo(2.664e6, 3);
  expect(gpuHours(3600e12, 1e12, 0.5, 0.8)).toBeCloseTo(2.5, 9);
});

describe("RL", () => {
  const rl = { steps: 10, problems: 4, group: 8, prompt: 100, completion: 400, scores: 2 };

  it("reads prompts once a problem, decodes, scores twice and trains", () => {
    const samples = 10 * 4 * 8;
    expect(rlFlops(modelOfSize(1e9), rl)).toEqual({
      rollout: (10 * 4 * 100 + samples * 400) * 2e9,
      scores: 2 * samples * 500 * 2e9,
      training: 3 * samples * 500 * 2e9,
    });
  });

  const model: ModelCounts = {
    ...{ parameters: 10e9, active: 2e9, mtp: null, forward: { fixed: 4e9, perKey: 1000 } },
    details: {
      ...{ layers: 10, hiddenSize: 1000, vocabSize: 5000, cache: 1000, block: 1 },
      decode: { fixed: 4e9, perKey: 5000 },
      routed: { parameters: 9e9, experts: 10, active: 1 },
    },
  };

  it("decodes at the context that a completion has in the mean", () => {
    const { rollout } = rlFlops(model, { ...rl, steps: 1, problems: 1, group: 1 });
    expect(rollout).toBe(100 * (4e9 + 50 * 1000) + 400 * (4e9 + 300 * 5000));
  });

  it("samples no faster than the weights of its rows' experts and the caches are read", () => {
    // 32 rows: all experts but 0.9^32 of them; 2 bytes a weight and a number of the cache, at 300 tokens.
    const bytes = 2 * (10e9 - 9e9 * 0.9 ** 32 + 32 * 1000 * 300);
    expect(rolloutBound(model, gpus.H800, rl)).toBeCloseTo((32 * 3.36e12) / bytes, 6);
    const many = { ...rl, problems: 1e6 };
    expect(rolloutBound(model, { ...gpus.H800, bandwidth: 1e18 }, many)).toBeCloseTo(
      989e12 / (4e9 + 300 * 5000),
      3,
    );
    expect(rolloutBound(modelOfSize(1e9), gpus.H800, rl)).toBeNull();
  });
});

describe("energy and dollars", () => {
  it("V3's hours take 3.33 GWh, and R1's 0.18", () => {
    expect(kilowattHours(2_788_000, 700, 1.25) / 1e6).toBeCloseTo(3.33, 2);
    expect(kilowattHours(147_000, 700, 1.25) / 1e6).toBeCloseTo(0.176, 3);
  });

  it("a cluster costs its servers and its network: GPT-4's within 3 % of Epoch AI's 778 million", () => {
    expect(clusterPrice(1, 100)).toBeCloseTo(164 / 0.81, 9);
    expect(Math.abs(clusterPrice(25_000, 15_000) / 778e6 - 1)).toBeLessThan(0.03);
  });

  it("the hours' share of four years, with electricity", () => {
    expect(amortised(4 * 8760, 100, 1000)).toBeCloseTo(164 / 0.81 + 77, 9);
    expect(amortised(4 * 876, 100, 0)).toBeCloseTo(16.4 / 0.81, 9);
  });
});
