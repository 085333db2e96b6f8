import { describe, expect, it } from "vitest";
import { architectureOf, checkDecoderConfig } from "../../src/models/config.ts";
import { shippedShape as config } from "./shipped-shape.ts";

describe("impossible shapes", () => {
  it.each([
    [
      { heads: 6, headDim: 128 / 6 },
      "model heads: expected a divisor of hiddenSize 128, found 6. Use 4 heads, or change hiddenSize.",
    ],
    [{ kvHeads: 3 }, "model kvHeads: expected a divisor of heads 4, found 3. Use 2 key and value heads."],
    [{ kvHeads: 8 }, "model kvHeads: expected a divisor of heads 4, found 8. Use 4 key and value heads."],
    [{ headDim: 31 }, /headDim: expected an even number/],
    [{ layers: 0 }, /layers: expected a whole number, 1 or more, found 0/],
    [{ intermediateSize: 1.5 }, /intermediateSize: expected a whole number/],
    [{ vocabSize: Number.NaN }, /vocabSize/],
    [{ normEps: 0 }, /normEps: expected a positive number/],
    [{ ropeTheta: Number.POSITIVE_INFINITY }, /ropeTheta/],
    [
      { qkvBias: true, qkNorm: true },
      /architecture: expected llama .*, found none \(qkvBias true, qkNorm true\)/,
    ],
    [{ architecture: "qwen3" as const }, /found qwen3 \(qkvBias false, qkNorm false\)/],
    [
      { ropeScaling: { kind: "linear" as const, factor: 0.5 } },
      /ropeScaling.factor: expected 1 or more, found 0.5/,
    ],
    [
      { ropeScaling: { kind: "linear" as const, factor: Number.NaN } },
      /ropeScaling.factor: expected a positive/,
    ],
    [
      { ropeScaling: { kind: "dynamic" as const, factor: 2, originalPositions: 500 } },
      /ropeScaling.originalPositions: expected 512 positions \/ factor 2, found 500/,
    ],
    [
      {
        ropeScaling: {
          kind: "llama3" as const,
          factor: 2,
          originalPositions: 256,
          lowFrequencyFactor: 4,
          highFrequencyFactor: 4,
        },
      },
      /ropeScaling.highFrequencyFactor: expected more than lowFrequencyFactor 4, found 4/,
    ],
  ])("%j", (change, message) => {
    expect(() => checkDecoderConfig({ ...config, ...change })).toThrow(message);
  });

  it("lets a possible one through", () => {
    expect(checkDecoderConfig({ ...config, kvHeads: 2 }).kvHeads).toBe(2);
  });
});

it("a family follows from its traits", () => {
  expect(architectureOf(config)).toBe("llama");
  expect(architectureOf({ qkvBias: true })).toBe("qwen2");
  expect(architectureOf({ qkNorm: true, qkvBias: false })).toBe("qwen3");
});
