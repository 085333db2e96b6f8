/** What a GRPO step reports, and when it says that nothing is learned, on completions and tokens written by hand. */
import { describe, expect, it } from "vitest";
import { input } from "../../src/graph/ops/source.ts";
import { Graph } from "../../src/graph/tensor.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { f32, host } from "../../src/runtime/session.ts";
import { policyLoss } from "../../src/train/grpo-loss.ts";
import { measureCut, measureLoss, UPDATE_METRICS } from "../../src/train/grpo-metrics.ts";
import {
  countSignals,
  fewSignals,
  noSignals,
  signalRemedy,
  signalShare,
  whyNothingWasLearned,
} from "../../src/train/learning.ts";
import { Meter } from "../../src/train/meter.ts";
import type { TrainingRow } from "../../src/train/microbatch.ts";
import { type Group, rolloutMetrics, type Sample } from "../../src/train/rollout.ts";
import type { Measured } from "../../src/train/step.ts";

function sample(over: Partial<Sample> & { length?: number; value?: number | null }): Sample {
  const { length = 4, value = 0, ...rest } = over;
  const components = { accuracy: value ?? 0, format: 0, validity: 0, overlong: 0, ...rest.components };
  const reward = value === null ? null : Object.values(components).reduce((a, b) => a + b, 0);
  return {
    ...{ prompt: [0], ids: Array.from({ length }, () => 1), logProbs: [], finish: "stop", text: "" },
    ...{ mask: Array.from({ length }, () => 1), tokens: length, ends: [], spoken: null },
    ...{
      verdict: {
        value,
        kind: value === null ? "unscored" : value === 1 ? "right" : "wrong",
        extracted: null,
        canonical: null,
        format: false,
        reason: "",
      },
      reward,
      steps: [],
    },
    ...rest,
    components,
  };
}

const group = (...samples: Sample[]): Group => ({ problem: { id: "p", prompt: "" }, samples });

describe("what was sampled", () => {
  it("lengths: mean, shortest, longest, and both of the finished ones alone (B8)", () => {
    const finished = [3, 5, 10].map((length) => sample({ length }));
    const cut = Array.from({ length: 9 }, () => sample({ length: 12, finish: "length" as const }));
    expect(rolloutMetrics([group(...finished, ...cut)])).toMatchObject({
      // (3 + 5 + 10 + 9 x 12) / 12.
      "length/mean": 10.5,
      "length/min": 3,
      "length/max": 12,
      "length/mean-finished": 6,
      "length/min-finished": 3,
      truncated: 0.75,
    });
    expect(rolloutMetrics([group(sample({ length: 2, finish: "length" }))])).toMatchObject({
      ...{ "length/min": 2, "length/mean-finished": null, "length/min-finished": null, truncated: 1 },
    });
  });

  it("rewards: the parts' means add up to the mean over what was scored; unscored ones are counted apart", () => {
    const parts = (format: number, validity: number, overlong: number) => ({
      components: { accuracy: 0, format, validity, overlong },
    });
    const right = sample({ value: 1, components: { accuracy: 1, format: 0.5, validity: 0.25, overlong: 0 } });
    const samples = [
      right,
      sample(parts(0.5, 0, -0.25)),
      sample(parts(0, 0.125, 0)),
      sample({ value: null, ...parts(9, 9, 9) }),
    ];
    const metrics = rolloutMetrics([group(...samples)]);
    expect(metrics).toMatchObject({
      "reward/accuracy": expect.closeTo(1 / 3, 12),
      "reward/format": expect.closeTo(1 / 3, 12),
      "reward/validity": 0.125,
      "reward/overlong": expect.closeTo(-0.25 / 3, 12),
      // (1.75 + 0.25 + 0.125) / 3.
      "reward/mean": expect.closeTo(2.125 / 3, 12),
      "pass@1": expect.closeTo(1 / 3, 12),
      unscored: 1,
    });
  });

  it("a group carries a signal where two scored rewards differ", () => {
    const of = (...values: (number | null)[]) => group(...values.map((value) => sample({ value })));
    const groups = [of(1, 0), of(1, 1), of(0, 0), of(1, null), of(null, null)];
    expect(rolloutMetrics(groups)["groups/signal"]).toBe(1 / 5);
  });

  it("validity is the share of true equations, in all and by position", () => {
    const steps = [
      { position: 0, holds: true },
      { position: 63, holds: false },
      { position: 64, holds: true },
      { position: 200, holds: true },
    ];
    const metrics = rolloutMetrics([group(sample({ steps }), sample({}))]);
    expect(metrics).toMatchObject({
      validity: 0.75,
      "validity/0-63": 0.5,
      "validity/64-127": 1,
      "validity/192-255": 1,
    });
    expect("validity/128-191" in metrics).toBe(false);
  });
});

describe("what is reported of a loss", () => {
  /** Six tokens: two without weight or advantage, four that move by log-ratios of 0.5, -0.5, 0.05 and 25. */
  const tokens = {
    logProbs: [-1, -1, -1, -1, -1, -1],
    old: [-1.5, -0.5, -1.05, -26, -3, -3],
    advantage: [1, -1, 1, 1, 0, 2],
    weights: [0.2, 0.2, 0.2, 0.2, 0.2, 0],
    reference: [-1, -2, -1, -1, -31, -9],
    importance: [1, 1, 1, 1, 1, 1],
  };

  async function measured(
    advantage = tokens.advantage,
    ratio: "token" | "cispo" = "token",
  ): Promise<Record<string, number>> {
    const graph = new Graph();
    const fed = { ...tokens, advantage };
    const at = (name: keyof typeof tokens) => input(graph, name, "f32", [1, 6]);
    const { loss, measurements } = policyLoss(
      {
        ...{ logProbs: at("logProbs"), old: at("old"), reference: at("reference") },
        ...{ advantage: at("advantage"), weights: at("weights"), importance: at("importance") },
      },
      { ratio, clip: { low: 0.2, high: 0.2 }, kl: 0.5 },
    );
    for (const [name, tensor] of Object.entries({ loss, ...measurements })) graph.output(name, tensor);
    const session = await new Engine({ threads: 1 }).session(graph, "test");
    const feeds = Object.entries(fed).map(([name, values]) => [name, f32(values, [1, 6])]);
    const outputs = await session.run(Object.fromEntries(feeds));
    await session.release();
    return Object.fromEntries(
      Object.entries(outputs).map(([name, value]) => [name, Number(host(value).data[0])]),
    );
  }

  it("counts ratios above the range with a good advantage and below it with a bad one, and bounded log-ratios", async () => {
    const result = await measured();
    // Above: log-ratios 0.5 and 25 with advantage 1; below: -0.5 with advantage -1; bounded: 25 alone.
    expect(result).toMatchObject({ clippedHigh: 2, clippedLow: 1, boundedRatios: 1 });
    // k3 of differences 0, -1, 0, 0, -30 (bounded to -20): e^d - d - 1.
    expect(result.kl).toBeCloseTo(Math.exp(-1) + (Math.exp(-20) + 20 - 1), 4);
    expect(result.boundedKl).toBe(1);
    // Surrogates 1.2, -0.8, e^0.05, 1.2 and 0, each under 0.2; half of the KL under 0.2.
    const surrogate = 1.2 - 0.8 + Math.exp(0.05) + 1.2;
    expect(result.loss).toBeCloseTo(-0.2 * surrogate + 0.5 * 0.2 * result.kl, 4);
    // With the advantages' signs turned the other ends clip.
    expect(await measured([-1, 1, -1, -1, 0, 2])).toMatchObject({ clippedHigh: 0, clippedLow: 0 });
    // CISPO bounds a weight at its upper end, whichever sign its advantage has, and at no lower one.
    const cispo = await measured([-1, -1, 1, 1, 0, 2], "cispo");
    expect([cispo.clippedHigh, cispo.clippedLow]).toEqual([2, undefined]);
    // A row without advantage is not counted, though its KL is computed.
    expect(await measured([1, -1, 1, 0, 0, 2])).toMatchObject({ clippedHigh: 1, boundedRatios: 0 });
  });

  /** A row of so many tokens, of which the first `signal` have an advantage. */
  const row = (tokens: number, signal: number): TrainingRow => ({
    ...{ prompt: [], ids: new Array(tokens).fill(1), sampled: [], old: [], reference: null },
    ...{
      weights: new Array(tokens).fill(0.1),
      importance: [],
      advantages: Array.from({ length: tokens }, (_, i) => (i < signal ? 1 : 0)),
    },
  });
  const micro = (scalars: Record<string, number>): Measured => ({ scalars, vectors: new Map() });

  it("per-token means have one denominator: tokens with a signal; KL all that were computed; mismatch the first batch", () => {
    const meter = new Meter(UPDATE_METRICS);
    const first = [
      micro({ loss: 0.25, entropy: 2, kl: 1, boundedKl: 2, mismatchSum: 0.2, mismatchMax: 0.1 }),
      micro({ loss: 0.25, entropy: 1, kl: 1, clippedLow: 4, mismatchSum: 0.3, mismatchMax: 0.4 }),
    ];
    measureLoss(meter, first, [row(20, 4), row(10, 6)], { withKl: true, compare: true });
    const second = [
      micro({
        loss: -0.25,
        entropy: 3,
        kl: 1,
        clippedHigh: 5,
        boundedRatios: 1,
        mismatchMax: 9,
        mismatchSum: 9,
      }),
    ];
    measureLoss(meter, second, [row(30, 10)], { withKl: true, compare: false });
    expect(meter.metrics()).toEqual({
      ...{ loss: expect.closeTo(0.125, 12), "grad/norm": null, entropy: 0.3, kl: 0.05 },
      ...{
        "kl/bounded": expect.closeTo(1 / 30, 12),
        "ratio/bounded": 0.05,
        "clip/low": 0.2,
        "clip/high": 0.25,
      },
      ...{
        "mismatch/mean": 0.05,
        "mismatch/max": 0.4,
        "importance/cut": null,
        "importance/cut-sequences": null,
      },
    });
    const without = new Meter(UPDATE_METRICS);
    measureLoss(without, first, [row(20, 10)], { withKl: false, compare: true });
    expect(without.metrics()).toMatchObject({ kl: null, "kl/bounded": null, entropy: 0.3 });
    expect(new Set(Object.values(new Meter(UPDATE_METRICS).metrics()))).toEqual(new Set([null]));
  });

  it("the load of experts is of all tokens of the step, not a mean of micro-batches' maxima (B11)", () => {
    const meter = new Meter();
    const loads = (one: number[], three: number[]): Measured => ({
      scalars: { loss: 0 },
      vectors: new Map([
        ["experts/1", Float32Array.from(one)],
        ["experts/3", Float32Array.from(three)],
      ]),
    });
    const measured = [loads([6, 2, 0, 0], [1, 1, 1, 1]), loads([0, 2, 6, 0], [3, 0, 0, 1])];
    measureLoss(meter, measured, [], { withKl: false, compare: false });
    // Layer 1: 6, 4, 6, 0 of 16, whose mean is 4; each micro-batch alone has 6 over 2.
    expect(meter.metrics()).toMatchObject({ "experts/1/max-load": 1.5, "experts/3/max-load": 2 });
  });
});

describe("few groups that carry a signal (B7)", () => {
  const options = { groupSize: 2, last: false };
  const halves = (carrying: number, groups: number): Group[] =>
    Array.from({ length: groups }, (_, i) =>
      group(sample({ value: i < carrying ? 1 : 0 }), sample({ value: 0 })),
    );

  it("forecast: 1 - p^G - (1 - p)^G", () => {
    expect(signalShare(0.17, 2)).toBeCloseTo(1 - 0.0289 - 0.6889, 12);
    expect(signalShare(0.5, 8)).toBeCloseTo(1 - 2 / 256, 12);
    expect([signalShare(0, 8), signalShare(1, 8)]).toEqual([0, 0]);
  });

  it("17 % right in groups of two: the number, and the remedy with its forecast", () => {
    let signals = noSignals();
    const told: string[] = [];
    for (let step = 0; step < 4; step++) {
      const due = fewSignals(countSignals(signals, halves(3, 9)), options);
      told.push(...due.notices);
      signals = due.signals;
    }
    // 27 groups after three steps are enough to tell; 9 of 54 samples are right.
    expect(told).toEqual([
      "Only 9 of 27 groups (33 %) of the last 3 steps carried a signal: in the others all rewards are equal, and they teach nothing; at a pass@1 of 17 %, groups of 8 would carry one in about 77 %: raise groupSize (now 2), make the task easier, or draw further problems with dynamicSampling.",
    ]);
    expect(signals).toMatchObject({ steps: 1, groups: 9, told: true });
  });

  it("is said again after 50 steps, at the end of a short stage, and not where half of the groups carry one", () => {
    expect(fewSignals(countSignals(noSignals(), halves(1, 8)), options).notices).toEqual([]);
    expect(
      fewSignals(countSignals(noSignals(), halves(1, 8)), { ...options, last: true }).notices,
    ).toHaveLength(1);
    const told = { ...countSignals(noSignals(true), halves(2, 8)), steps: 49, groups: 392 };
    expect(fewSignals(told, options).notices).toEqual([]);
    expect(fewSignals({ ...told, steps: 50 }, options).notices).toHaveLength(1);
    expect(fewSignals(countSignals(noSignals(), halves(15, 30)), options).notices).toEqual([]);
    expect(fewSignals(countSignals(noSignals(), halves(14, 30)), options).notices).toHaveLength(1);
    // Where none does, the other notice speaks.
    expect(fewSignals(countSignals(noSignals(), halves(0, 30)), options).notices).toEqual([]);
  });

  it("no remedy is named that does not help or is taken already", () => {
    // 1 - 0.999^32 is 3 %; at 5 % groups of 8, 16 and 32 carry one in 34, 56 and 81 %.
    expect(signalRemedy(0.001, 8, 0)).toBe(
      "at a pass@1 of 0 % even groups of 32 would carry one in only 3 %: make the task easier, or train the base longer",
    );
    expect(signalRemedy(0, 2, 0)).toMatch(/^at a pass@1 of 0 % even groups of 8 .* only 0 %: make the task/);
    expect(signalRemedy(0.05, 8, 0, true)).toBe(
      "at a pass@1 of 5 %, groups of 32 would carry one in about 81 %: raise groupSize (now 8), or make the task easier",
    );
    expect(signalRemedy(0.05, 8, 0)).toMatch(/raise groupSize .* dynamicSampling$/);
    const mostly = { truncated: 0, "groups/signal": 0, "pass@1": 0.75 };
    expect(whyNothingWasLearned(mostly, 3, 10)[0]).toMatch(/Most problems are solved by all samples/);
    expect(whyNothingWasLearned({ ...mostly, "pass@1": 1 }, 3, 10)[0]).toMatch(/Every problem is solved/);
  });

  it("too many right, or cut off: other remedies, with one threshold for maxNewTokens in both notices", () => {
    const right = Array.from({ length: 30 }, (_, i) =>
      group(sample({ value: i < 6 ? 0 : 1 }), sample({ value: 1 })),
    );
    expect(fewSignals(countSignals(noSignals(), right), options).notices[0]).toMatch(
      /pass@1 of 90 % make the task harder/,
    );
    const cut = (cutOff: number): Group[] =>
      halves(6, 30).map(({ samples }, i) =>
        group({ ...(samples[0] as Sample), finish: i < cutOff ? "length" : "stop" }, samples[1] as Sample),
      );
    const remedy = (cutOff: number) => fewSignals(countSignals(noSignals(), cut(cutOff)), options).notices[0];
    expect(remedy(30)).toMatch(/raise groupSize/);
    const all = cut(30).map(({ samples }, i) =>
      group(
        samples[0] as Sample,
        i < 1 ? { ...(samples[1] as Sample), finish: "length" } : (samples[1] as Sample),
      ),
    );
    expect(fewSignals(countSignals(noSignals(), all), options).notices[0]).toMatch(
      /52 % of the completions are cut off: raise maxNewTokens\.$/,
    );
    const none = (truncated: number) =>
      whyNothingWasLearned({ truncated, "groups/signal": 0, "pass@1": 0 }, 3, 10)[0];
    expect([none(0.5), none(0.51)].map((text) => /raise maxNewTokens/.test(text))).toEqual([false, true]);
  });
});

describe("A10: what importance weights cut is measured", () => {
  it("by tokens, by sequences and by length", () => {
    const corrected = [
      { length: 10, cut: 0 },
      { length: 64, cut: 16 },
      { length: 65, cut: 65 },
      { length: 61, cut: 0 },
      { length: 200, cut: 50 },
      { length: 128, cut: 0 },
    ];
    const metrics = (cuts: typeof corrected) => {
      const meter = new Meter(["importance/cut", "importance/cut-sequences"]);
      measureCut(meter, cuts);
      return meter.metrics();
    };
    expect(metrics(corrected)).toEqual({
      "importance/cut": 131 / 528,
      "importance/cut-sequences": 0.5,
      "importance/cut/1-64": 16 / 135,
      "importance/cut/65-128": 65 / 193,
      "importance/cut/193-256": 0.25,
    });
    // From the shortest on, as the page lists them.
    expect(Object.keys(metrics([...corrected].reverse())).slice(2)).toEqual([
      ...["importance/cut/1-64", "importance/cut/65-128", "importance/cut/193-256"],
    ]);
    expect(metrics([])).toEqual({ "importance/cut": null, "importance/cut-sequences": null });
  });
});

describe("why nothing was learned", () => {
  const metrics = { truncated: 0.25, "groups/signal": 0, "pass@1": 0 };

  it("is said in words after 3 steps without a signal, and after every 3 further ones", () => {
    const said = [0, 1, 2, 3, 4, 5, 6].map((idle) => whyNothingWasLearned(metrics, idle, 10).length);
    expect(said).toEqual([0, 0, 0, 1, 0, 0, 1]);
    expect(whyNothingWasLearned(metrics, 3, 10)).toEqual([
      "Nothing was learned for 3 steps: in each group all rewards are equal (truncated 25 %, groups with a signal 0 %, pass@1 0 %). No sample earns a reward: train the base longer, make the task easier, or sample larger groups.",
    ]);
    expect(whyNothingWasLearned({}, 3, 10)[0]).toContain(
      "(truncated 0 %, groups with a signal 0 %, pass@1 0 %)",
    );
  });

  it("is said at once where groups could teach and all their samples were masked", () => {
    const masked = { truncated: 1, "groups/signal": 0.5, "pass@1": 0.5 };
    expect([0, 1, 2, 3].map((idle) => whyNothingWasLearned(masked, idle, 10).length)).toEqual([0, 1, 0, 1]);
    expect(whyNothingWasLearned(masked, 1, 10)).toEqual([
      "Nothing was learned in this step: all samples were cut off, and overlong: mask leaves those out (truncated 100 %, groups with a signal 50 %, pass@1 50 %). Completions are cut off at 10 tokens, before their answer: raise maxNewTokens.",
    ]);
  });

  it("blames easy problems above half", () => {
    const remedy = (share: number) => whyNothingWasLearned({ ...metrics, "pass@1": share }, 3, 10)[0];
    expect(remedy(0.5)).toContain("No sample earns");
    expect(remedy(0.51)).toMatch(/Most problems are solved by all samples: make the task harder\.$/);
    expect(remedy(1)).toMatch(/Every problem is solved by all samples: make the task harder\.$/);
  });
});

describe("limits of notices", () => {
  const counted = (over: Partial<ReturnType<typeof noSignals>>) => ({
    ...noSignals(),
    ...{ steps: 5, groups: 24, withSignal: 6, samples: 48, scored: 48, right: 12 },
    ...over,
  });

  it("24 groups are enough, 50 steps a pause", () => {
    const due = (over: Parameters<typeof counted>[0]) =>
      fewSignals(counted(over), { groupSize: 2, last: false }).notices.length;
    expect([due({ groups: 23 }), due({ groups: 24 })]).toEqual([0, 1]);
    expect([due({ told: true, steps: 49 }), due({ told: true, steps: 50 })]).toEqual([0, 1]);
    // Without a scored sample nothing was right.
    expect(fewSignals(counted({ scored: 0, right: 0 }), { groupSize: 2, last: false }).notices[0]).toContain(
      "at a pass@1 of 0 %",
    );
  });

  it("where half carry a signal, counting begins anew after 50 steps", () => {
    const counting = (steps: number) =>
      fewSignals(counted({ withSignal: 12, steps }), { groupSize: 2, last: false }).signals.steps;
    expect([counting(49), counting(50), counting(51)]).toEqual([49, 0, 0]);
  });

  it("at exactly half right, larger groups are advised still", () => {
    expect(signalRemedy(0.5, 2, 0)).toMatch(/groups of 4 would carry one in about 88 %/);
    // 4 of 8 groups: 1 - 0.75^8 - 0.25^8 = 0.9; the smallest that reaches three quarters is named.
    expect(signalRemedy(0.25, 2, 0)).toMatch(/groups of 8 would/);
  });
});

describe("a meter", () => {
  it("reduces as it is told: means over all that was counted, sums, extremes, imbalance; null where nothing was", () => {
    const meter = new Meter(["none"]);
    meter.mean("mean", 3, 2);
    meter.mean("mean", 1, 6);
    meter.mean("empty", 0, 0);
    for (const value of [2, -5, 4]) {
      meter.sum("sum", value);
      meter.max("max", value);
      meter.min("min", value);
    }
    meter.imbalance("load", [3, 0]);
    meter.imbalance("load", [0, 1]);
    expect(meter.metrics()).toEqual({
      none: null,
      mean: 0.5,
      empty: null,
      sum: 1,
      max: 4,
      min: -5,
      load: 1.5,
    });
  });
});
