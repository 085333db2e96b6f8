/** From a name and options to a plan. */
import { describe, expect, it, test } from "vitest";
import { choosePlan, type PlanOptions } from "../../../src/plan/scale/input.ts";
import { planTraining } from "../../../src/plan/scale/training.ts";

function planned(target: string | undefined, options: PlanOptions = {}) {
  const { input, origins } = choosePlan(target, options);
  if (input === null || origins === null) throw new Error("nothing to plan");
  return { input, origins, ...planTraining(input) };
}

describe("DeepSeek-V3", () => {
  const { stages, dollars, hours, wallHours, utilisations, missing, memory } = planned("deepseek-v3");

  it("takes the paper's hours and dollars, and computes those of its pretraining", () => {
    expect(stages.map(({ name, givenHours }) => [name, givenHours])).toEqual([
      ["pretraining", 2_664_000],
      ["context extension", 119_000],
      ["post-training", 5000],
    ]);
    expect(Math.abs((stages[0].computedHours ?? 0) / 2_664_000 - 1)).toBeLessThan(0.004);
    expect([hours, dollars.rented]).toEqual([2_788_000, 5_576_000]);
    expect((wallHours ?? 0) / 24).toBeCloseTo(56.7, 1);
    expect(dollars.experiments.map((one) => one.dollars)).toEqual(
      [6_412_400, 16_728_000, 55_760_000].map((n) => expect.closeTo(n, 0)),
    );
    expect(missing).toEqual({ flop: ["post-training"], hours: [] });
  });

  it("gives the MFU of these hours by each numerator, of both peaks", () => {
    const percents = Object.fromEntries(
      utilisations.map(({ numerator, bf16, fp8 }) => [
        numerator,
        [bf16, fp8 ?? 0].map((x) => Number((100 * x).toFixed(1))),
      ]),
    );
    expect(percents).toEqual({
      ...{ "6nd": [35.2, 17.6], causal: [39.1, 19.5], full: [43.9, 21.9] },
      ...{ "causal+mtp": [40.7, 20.3], "full+mtp": [45.5, 22.8] },
    });
  });

  it("holds its states, and activations of one sequence", () => {
    expect((memory?.weights ?? 0) / 1e9).toBeCloseTo((2 * 682.6) / 2048, 2);
    expect(memory?.cache).toBe(0);
  });

  it("does not take hours or utilisation of its cluster for another one", () => {
    const { stages, input, gpus, missing, origins } = planned("deepseek-v3", { gpu: "H100" });
    expect(stages.map(({ givenHours }) => givenHours)).toEqual([null, null, null]);
    expect(input.utilisation).toMatchObject({ value: 0.375, numerator: "causal" });
    expect(missing.hours).toEqual(["post-training"]);
    expect(gpus).toBe(160);
    expect(origins.gpus).toBe("the fewest that hold the model");
  });
});

describe("DeepSeek-R1", () => {
  it("costs its hours, and no FLOP is made up for completions of unknown length", () => {
    const { stages, dollars, flop, memory } = planned("deepseek-r1");
    expect([dollars.rented, flop, memory?.activations]).toEqual([294_000, null, null]);
    expect(stages.map(({ computedHours }) => computedHours)).toEqual([null, null, null]);
  });

  it("can be computed once somebody says the length", () => {
    const [zero, data, rl] = planned("deepseek-r1", { completionTokens: 8000 }).stages;
    expect(zero.tokens).toBe(10_400 * 512 * 8128);
    expect(zero.flop).toBeGreaterThan(10_400 * 512 * 8128 * 12 * 36e9);
    expect(zero.atLeast).toBe(false);
    expect([data.flop, rl.flop]).toEqual([null, null]);
  });
});

describe("a model of one's own", () => {
  it("by its size: 6ND on the fewest H100 that hold it", () => {
    const { flop, hours, gpus, dollars, kilowattHours } = planned(undefined, {
      parameters: 7e9,
      tokens: 2e12,
    });
    expect(flop).toBe(6 * 7e9 * 2e12);
    expect(hours).toBeCloseTo(8.4e22 / (989.4e12 * 0.375 * 3600), 3);
    expect(gpus).toBe(2);
    expect(dollars.rented).toBeCloseTo(2.99 * (hours ?? 0), 3);
    expect(dollars.bought).toBeCloseTo((2 * 31_250 * 1.64) / 0.81, 3);
    expect(kilowattHours).toBeCloseTo((hours ?? 0) * 0.7 * 1.82 * 0.75 * 1.25, 3);
  });

  it("of experts: all of them are held, the active ones compute", () => {
    const { flop, memory } = planned(undefined, {
      parameters: 671e9,
      active: 37e9,
      tokens: 1e12,
      gpus: 1024,
    });
    expect(flop).toBe(6 * 37e9 * 1e12);
    expect(memory?.weights).toBe((2 * 671e9) / 1024);
  });

  it("by its config.json or the folder of it", () => {
    const folder = planned("models/tiny-r1-zero", { tokens: 1e9, context: 512 });
    expect(planned("models/tiny-r1-zero/config.json", { tokens: 1e9, context: 512 }).flop).toBe(folder.flop);
    expect(folder.input.model.parameters).toBe(799_104);
    expect(folder.origins.model).toBe("counted");
  });

  it("by a recipe: its stages", () => {
    const { stages, input } = planned("recipes/tiny-r1-zero.yaml");
    expect(stages.map(({ name }) => name)).toEqual(["base", "r1-zero"]);
    expect(stages[0].tokens).toBe(Math.floor(5_800_000 / (8 * 384)) * 8 * 384);
    expect(input.stages[1].rl).toMatchObject({ steps: 160, problems: 16, group: 8, completion: 90 });
    expect(stages[1].atLeast).toBe(true);
  });

  it("with RL at a rate, which also bounds it", () => {
    const rl = { rlSteps: 10, completionTokens: 1000, problems: 4, group: 8, scores: 0, gpus: 8 };
    const { stages } = planned("models/tiny-r1-zero", { ...rl, rolloutRate: 100 });
    // 320 completions of 1,000 tokens at 100 a second; training adds next to nothing.
    expect(stages[0].computedHours).toBeCloseTo(3200 / 3600, 4);
    expect(stages[0].atLeast).toBe(false);
    expect(planned("models/tiny-r1-zero", rl).stages[0]).toMatchObject({ atLeast: true });
  });
});

test("an unknown price is no price of zero", () => {
  const { dollars } = planned(undefined, { parameters: 7e9, tokens: 1e12, gpu: "Ascend-910C" });
  expect(dollars).toMatchObject({ rented: null, amortised: null, bought: null });
  expect(dollars.experiments.every((one) => one.dollars === null)).toBe(true);
  expect(
    planned(undefined, { parameters: 7e9, tokens: 1e12, gpu: "Ascend-910C", price: 1 }).dollars.rented,
  ).toBeGreaterThan(0);
});

test("a preset of which too little is known is not planned", () => {
  for (const name of ["claude-3.5-sonnet", "gemini-ultra", "grok-3"])
    expect(choosePlan(name, {}).input).toBeNull();
  const { hours, flop, gpus } = planned("deepseek-v4-pro");
  expect([hours, flop, gpus]).toEqual([null, 6 * 49e9 * 33e12, null]);
  // At $2 and an MFU of 37.5 % V4-Pro's pretraining is worth 14 to 15 million.
  expect(planned("deepseek-v4-pro", { gpu: "H800" }).dollars.rented).toBeCloseTo(14.53e6, -4);
});

test.each<[string, string | undefined, PlanOptions, RegExp]>([
  ["nothing to plan", undefined, { tokens: 1e9 }, /no model to plan for.*--parameters/s],
  ["no length", undefined, { parameters: 7e9 }, /Add --tokens/],
  ["RL without a length", undefined, { parameters: 7e9, rlSteps: 10 }, /--completion-tokens/],
  ["a numerator without MFU", "deepseek-llm", { numerator: "full" }, /Give --mfu with --numerator/],
  ["a peak without MFU", "deepseek-llm", { peak: "fp8" }, /Give --mfu/],
  [
    "more active than there are",
    undefined,
    { parameters: 7e9, active: 8e9, tokens: 1e9 },
    /--active is the part/,
  ],
  ["two models", "deepseek-v3", { parameters: 7e9 }, /has its own parameters/],
  ["an unknown GPU", "deepseek-v3", { gpu: "H801" }, /Did you mean H800/],
  ["a peak that is not known", "deepseek-llm", { gpu: "A100-80", mfu: 0.4, peak: "fp8" }, /No FP8 peak/],
  ["a misspelt preset", "deepseek-v33", {}, /Did you mean deepseek-v3/],
  [
    "too little memory",
    "deepseek-llm",
    { gpus: 8 },
    /needs 145 GB on each of 8 x NVIDIA H800 SXM5, which has 80 GB/,
  ],
])("refuses %s", (_, target, options, message) => {
  expect(() => planned(target, options)).toThrow(message);
});
