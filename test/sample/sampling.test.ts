import { describe, expect, it } from "vitest";
import { Random } from "../../src/lib/random.ts";
import { type Sampling, sampleToken } from "../../src/sample/sampling.ts";

const DRAWS = 20_000;
const logits = Float32Array.from([9, 9, 1.2, -0.4, 0.3, 2.0, -3, 0.9, 9]);
const OFFSET = 2;
const VOCABULARY = 6;
const row = Array.from(logits.subarray(OFFSET, OFFSET + VOCABULARY));

/** Exact probabilities of the kept ids. */
function exact(temperature: number, kept: number[]): number[] {
  const weights = row.map((v, id) => (kept.includes(id) ? Math.exp(v / temperature) : 0));
  const total = weights.reduce((a, b) => a + b);
  return weights.map((w) => w / total);
}

function counts(options: Sampling): number[] {
  const random = new Random(1, "sampler", JSON.stringify(options));
  const found = new Array(VOCABULARY).fill(0);
  for (let i = 0; i < DRAWS; i++) found[sampleToken(logits, OFFSET, VOCABULARY, options, random).id]++;
  return found;
}

const everything = [0, 1, 2, 3, 4, 5];

describe("sampleToken", () => {
  // At T = 1 the probabilities are .218, .044, .089, .485, .003, .161; at T = 0.5 .149, .006, .025, .738, .00003, .082.
  it.each<[string, Sampling, number[]]>([
    ["T = 1", { temperature: 1 }, everything],
    ["T = 0.7", { temperature: 0.7 }, everything],
    ["T = 2", { temperature: 2 }, everything],
    ["top-k 2", { temperature: 1, topK: 2 }, [0, 3]],
    ["top-k 1 is greedy", { temperature: 1, topK: 1 }, [3]],
    ["top-k as large as the vocabulary", { temperature: 1, topK: 6 }, everything],
    // .485 + .218 = .703 < .75 <= .864
    ["top-p 0.75", { temperature: 1, topP: 0.75 }, [0, 3, 5]],
    ["top-p 0.7", { temperature: 1, topP: 0.7 }, [0, 3]],
    ["top-p is of the tempered distribution", { temperature: 0.5, topP: 0.7 }, [3]],
    ["top-p 0 keeps the likeliest", { temperature: 1, topP: 0 }, [3]],
    ["top-p 1", { temperature: 1, topP: 1 }, everything],
    // Of the three kept by top-k, renormalised: .561, .252, .187; the first two reach 0.8.
    ["top-k before top-p, as in transformers and vLLM", { temperature: 1, topK: 3, topP: 0.8 }, [0, 3]],
  ])("draws from the exact distribution: %s", (_name, options, kept) => {
    const found = counts(options);
    exact(options.temperature, kept).forEach((p, id) => {
      // 5 standard errors of a binomial count; what has no probability is never drawn.
      expect(Math.abs(found[id] - DRAWS * p), `id ${id}: ${found[id]}`).toBeLessThanOrEqual(
        5 * Math.sqrt(DRAWS * p * (1 - p)),
      );
    });
  });

  it("is greedy at T = 0, the first of equals, and draws nothing from the stream", () => {
    const random = new Random(2);
    const before = random.state();
    expect(sampleToken(logits, OFFSET, VOCABULARY, { temperature: 0, topK: 3 }, random).id).toBe(3);
    expect(sampleToken(Float32Array.of(1, 5, 5), 0, 3, { temperature: 0 }, random).id).toBe(1);
    expect(random.state()).toEqual(before);
  });

  it.each([0.5, 1, 0.7])(
    "reports log softmax(logits / T) of the whole vocabulary, also under top-k and top-p: T = %s",
    (temperature) => {
      const whole = exact(temperature, everything).map(Math.log);
      for (const narrowing of [{}, { topK: 2 }, { topP: 0.6 }])
        for (let i = 0; i < 20; i++) {
          const { id, logProb } = sampleToken(
            logits,
            OFFSET,
            VOCABULARY,
            { temperature, ...narrowing },
            new Random(i),
          );
          // The logits themselves are rounded to f32.
          expect(logProb).toBeCloseTo(whole[id], 6);
        }
    },
  );

  it("reports the log-probability at temperature 1 when greedy", () => {
    expect(sampleToken(logits, OFFSET, VOCABULARY, { temperature: 0 }, new Random(0)).logProb).toBeCloseTo(
      Math.log(exact(1, everything)[3]),
      6,
    );
  });

  it("stands large logits", () => {
    const { id, logProb } = sampleToken(
      Float32Array.of(3e4, -3e4, 0),
      0,
      3,
      { temperature: 0.1 },
      new Random(0),
    );
    expect([id, logProb]).toEqual([0, 0]);
  });

  it("never draws what has no probability, not at the smallest number either", () => {
    const zero = { uniform: () => 0 } as Random;
    const row = Float32Array.of(Number.NEGATIVE_INFINITY, 0, 1);
    expect(sampleToken(row, 0, 3, { temperature: 1 }, zero).id).toBe(1);
  });
});
