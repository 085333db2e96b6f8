import { describe, expect, it } from "vitest";
import { biasFactor, lrFactor, type Schedule } from "../../src/train/schedule.ts";

const at = (schedule: Schedule, total: number, steps: number[]): number[] =>
  steps.map((step) => Number(lrFactor(schedule, step, total).toFixed(6)));

describe("lrFactor, by hand", () => {
  it("warms up linearly and reaches the peak at its last step", () => {
    expect(at({ kind: "constant", warmup: 4 }, 10, [0, 1, 2, 3, 4, 9])).toEqual([0.25, 0.5, 0.75, 1, 1, 1]);
    expect(at({ kind: "constant", warmup: 0 }, 10, [0, 9])).toEqual([1, 1]);
  });

  it("multi-step: 1, sqrt(0.1) from 80 %, 0.1 from 90 % (DeepSeek LLM, section 2.3)", () => {
    const steps = [0, 1, 2, 79, 80, 89, 90, 99];
    expect(at({ kind: "multi-step", warmup: 2 }, 100, steps)).toEqual([
      0.5, 1, 1, 1, 0.316228, 0.316228, 0.1, 0.1,
    ]);
  });

  it("cosine: 1 at its start, the middle half way, towards `final`", () => {
    // progress 0, 1/4, 1/2, 3/4: (1 + cos)/2 = 1, .853553, .5, .146447, scaled to [0.1, 1].
    expect(at({ kind: "cosine", warmup: 2, minLrRatio: 0.1 }, 10, [2, 4, 6, 8, 10])).toEqual([
      1, 0.868198, 0.55, 0.231802, 0.1,
    ]);
  });

  it("warm-up, stable, decay: flat, then linear over the last part", () => {
    // 20 steps after the warm-up of 5; the last quarter, from step 20, falls from 1 to 0.2.
    const schedule: Schedule = { kind: "wsd", warmup: 5, minLrRatio: 0.2, decayFraction: 0.25 };
    expect(at(schedule, 25, [4, 5, 19, 20, 21, 22, 24, 25])).toEqual([1, 1, 1, 1, 0.84, 0.68, 0.36, 0.2]);
  });

  it("linear: down to `final`", () => {
    expect(at({ kind: "linear", warmup: 0, minLrRatio: 0 }, 4, [0, 1, 2, 3, 4])).toEqual([
      1, 0.75, 0.5, 0.25, 0,
    ]);
    expect(at({ kind: "linear", warmup: 3, minLrRatio: 0.5 }, 3, [2, 3])).toEqual([1, 0.5]);
    expect(at({ kind: "linear", warmup: 0, minLrRatio: 0.5 }, 4, [0, 2, 4])).toEqual([1, 0.75, 0.5]);
  });
});

it("router biases rest for the last 500 of 14,800 billion tokens (DeepSeek-V3, section 4.2)", () => {
  expect([0, 14299, 14300, 14799].map((step) => biasFactor(step, 14800))).toEqual([1, 1, 0, 0]);
});
