/** Memory of a GPU: ZeRO's published figure, hand-made sums, and models that do not fit. */
import { describe, expect, it, test } from "vitest";
import { type ModelCounts, modelOfSize } from "../../../src/plan/scale/counts.ts";
import { gpus } from "../../../src/plan/scale/gpus.ts";
import { checkMemory, fewestGpus, gigabytes, memoryPerGpu } from "../../../src/plan/scale/memory.ts";

const states = { sequences: 1, context: null, rollouts: null };

test("7.5 billion parameters take 120 GB on one GPU and 1.9 GB on each of 64 (ZeRO, arXiv 1910.02054, figure 1)", () => {
  const model = modelOfSize(7.5e9);
  expect(memoryPerGpu(model, 1, states)).toMatchObject({
    weights: 15e9,
    gradients: 15e9,
    optimizer: 90e9,
    total: 120e9,
  });
  expect(memoryPerGpu(model, 64, states).total / 1e9).toBeCloseTo(1.9, 1);
});

const model: ModelCounts = {
  ...{ parameters: 1e9, active: 1e9, mtp: null, forward: { fixed: 2e9, perKey: 0 } },
  details: {
    ...{ layers: 10, hiddenSize: 1000, vocabSize: 5000, cache: 20_000, block: 12_000 },
    decode: { fixed: 2e9, perKey: 0 },
    routed: { parameters: 0, experts: 1, active: 1 },
  },
};

describe("activations and cache", () => {
  it("keep each block's input and one block, or all blocks, and the logits", () => {
    const { activations, kept } = memoryPerGpu(model, 8, { sequences: 2, context: 100, rollouts: null });
    expect(activations).toBe(200 * (2 * (10 * 1000 + 12_000) + 6 * 5000));
    expect(kept).toBe(200 * (2 * 10 * 12_000 + 6 * 5000));
  });

  it("share the memory, because training and rollouts take turns", () => {
    const rollouts = { samples: 100, tokens: 1000 };
    const both = memoryPerGpu(model, 8, { sequences: 1, context: 100, rollouts });
    // 13 of the 100 completions on the fullest GPU, two bytes a number.
    expect(both.cache).toBe(13 * 1000 * 2 * 20_000);
    expect(both.total).toBe(2e9 + 13 * 1000 * 2 * 20_000);
    expect(memoryPerGpu(model, 8, { sequences: 1, context: 100, rollouts: null }).cache).toBe(0);
  });

  it("are unknown without a shape", () => {
    const size = memoryPerGpu(modelOfSize(1e9), 1, {
      sequences: 1,
      context: 100,
      rollouts: { samples: 1, tokens: 9 },
    });
    expect(size).toMatchObject({ activations: null, kept: null, cache: null, total: 16e9 });
  });
});

describe("fitting", () => {
  it("takes the fewest GPUs: one, two, four, then servers of eight", () => {
    const fewest = (parameters: number): number => fewestGpus(modelOfSize(parameters), gpus.H100, states);
    expect([1e9, 7e9, 20e9, 25e9, 70e9].map(fewest)).toEqual([1, 2, 4, 8, 16]);
    // 16 GB of states; 35 of 40 GB are cache on one GPU, so two share the completions.
    const rollouts = { samples: 7, tokens: 125_000 };
    const small = { ...gpus.H100, memory: 40e9 };
    expect(fewestGpus(model, small, { ...states, rollouts })).toBe(2);
  });

  it("says the numbers where it does not fit, and what to do", () => {
    expect(() => checkMemory(modelOfSize(7e9), gpus.H100, 1, states)).toThrow(
      "needs 112 GB on each of 1 x NVIDIA H100 SXM5, which has 80 GB: 112 GB of weights, gradients and moments. Give more GPUs",
    );
    const long = { sequences: 1, context: 1e6, rollouts: null };
    expect(() => fewestGpus(model, gpus.H100, { ...long, context: 2e6 })).toThrow(
      "One sequence is too long for one GPU",
    );
    const rollouts = { samples: 1, tokens: 3e6 };
    expect(() => fewestGpus(model, gpus.H100, { ...states, rollouts })).toThrow(/120 GB of KV cache/);
  });

  it("writes gigabytes as people do", () => {
    expect([0.0123e9, 0.5e9, 47.94e9, 1342e9].map(gigabytes)).toEqual([
      "0.012 GB",
      "0.5 GB",
      "47.9 GB",
      "1,340 GB",
    ]);
  });
});
