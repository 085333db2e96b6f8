/** What a GRPO step says about itself, on completions and tokens written by hand. */
import { describe, expect, it } from "vitest";
import { input } from "../../src/graph/ops/source.ts";
import { Graph } from "../../src/graph/tensor.ts";
import { f32, host, Session } from "../../src/runtime/session.ts";
import { ExpertLoads } from "../../src/train/expert-load.ts";
import { policyLoss } from "../../src/train/grpo-loss.ts";
import {
  addMeasurements,
  importanceMetrics,
  lossMetrics,
  rolloutMetrics,
  validityByPosition,
  whyNothingWasLearned,
} from "../../src/train/grpo-metrics.ts";
import type { Group, Sample } from "../../src/train/rollout.ts";
import { countSignals, fewSignals, noSignals, signalRemedy, signalShare } from "../../src/train/signals.ts";

function sample(over: Partial<Sample> & { length?: number; value?: number | null }): Sample {
  const { length = 4, value = 0, ...rest } = over;
  const components = { accuracy: value ?? 0, format: 0, validity: 0, overlong: 0, ...rest.components };
  const reward = value === null ? null : Object.values(components).reduce((a, b) => a + b, 0);
  return {
    ...{ prompt: [0], ids: Array.from({ length }, () => 1), logProbs: [], finish: "stop", text: "" },
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
      equations: [],
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
      pass1: expect.closeTo(1 / 3, 12),
      unscored: 1,
    });
  });

  it("a group carries a signal where two scored rewards differ", () => {
    const of = (...values: (number | null)[]) => group(...values.map((value) => sample({ value })));
    const groups = [of(1, 0), of(1, 1), of(0, 0), of(1, null), of(null, null)];
    expect(rolloutMetrics(groups)["groups/informative"]).toBe(1 / 5);
  });

  it("validity is the share of true equations, in all and by position", () => {
    const equations = [
      { position: 0, holds: true },
      { position: 63, holds: false },
      { position: 64, holds: true },
      { position: 200, holds: true },
    ];
    const metrics = rolloutMetrics([group(sample({ equations }), sample({}))]);
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
    const session = await Session.create(graph, { threads: 1 });
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

  it("per-token means have one denominator: tokens with a signal; KL all that were computed; mismatch the first batch", () => {
    const loads = new ExpertLoads();
    const totals = {
      sums: new Map(
        Object.entries({
          entropy: 6,
          kl: 3,
          boundedKl: 2,
          boundedRatios: 1,
          clippedLow: 4,
          clippedHigh: 5,
          mismatchSum: 0.5,
          mismatchMax: 0.4,
        }),
      ),
      ...{
        norms: [1, 3],
        losses: [0.5, -0.25, 1],
        trained: 60,
        signal: 20,
        compared: 10,
        loads,
        corrected: [],
      },
    };
    expect(lossMetrics(totals, true)).toEqual({
      ...{ loss: expect.closeTo(1.25 / 3, 12), "grad/norm": 2, entropy: 0.3, kl: 0.05 },
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
    expect(lossMetrics(totals, false)).toMatchObject({ kl: null, "kl/bounded": null, entropy: 0.3 });
    const nothing = { ...totals, sums: new Map(), norms: [], losses: [], trained: 0, signal: 0, compared: 0 };
    const empty = lossMetrics(nothing, true);
    expect(new Set(Object.values(empty))).toEqual(new Set([null]));
  });

  it("the load of experts is of the whole step's tokens, not a mean of micro-batches' maxima (B11)", () => {
    const loads = new ExpertLoads();
    loads.add(
      new Map([
        ["experts/1", [6, 2, 0, 0]],
        ["experts/3", [1, 1, 1, 1]],
      ]),
    );
    loads.add(
      new Map([
        ["experts/1", [0, 2, 6, 0]],
        ["experts/3", [3, 0, 0, 1]],
      ]),
    );
    // Layer 1: 6, 4, 6, 0 of 16, whose mean is 4; each micro-batch alone has 6 over 2.
    expect(loads.metrics()).toEqual({ "experts/1/max-load": 1.5, "experts/3/max-load": 2 });
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
    const mostly = { truncated: 0, "groups/informative": 0, pass1: 0.75 };
    expect(whyNothingWasLearned(mostly, 3, 10)[0]).toMatch(/Most problems are solved by all samples/);
    expect(whyNothingWasLearned({ ...mostly, pass1: 1 }, 3, 10)[0]).toMatch(/Every problem is solved/);
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
      whyNothingWasLearned({ truncated, "groups/informative": 0, pass1: 0 }, 3, 10)[0];
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
    expect(importanceMetrics(corrected)).toEqual({
      "importance/cut": 131 / 528,
      "importance/cut-sequences": 0.5,
      "importance/cut/1-64": 16 / 135,
      "importance/cut/65-128": 65 / 193,
      "importance/cut/193-256": 0.25,
    });
    // From the shortest on, as the page lists them.
    expect(Object.keys(importanceMetrics([...corrected].reverse())).slice(2)).toEqual([
      ...["importance/cut/1-64", "importance/cut/65-128", "importance/cut/193-256"],
    ]);
    expect(importanceMetrics([])).toEqual({ "importance/cut": null, "importance/cut-sequences": null });
  });
});

describe("why nothing was learned", () => {
  const metrics = { truncated: 0.25, "groups/informative": 0, pass1: 0 };

  it("is said in words after 3 steps without a signal, and after every 3 further ones", () => {
    const said = [0, 1, 2, 3, 4, 5, 6].map((idle) => whyNothingWasLearned(metrics, idle, 10).length);
    expect(said).toEqual([0, 0, 0, 1, 0, 0, 1]);
    expect(whyNothingWasLearned(metrics, 3, 10)).toEqual([
      "Nothing was learned for 3 steps: in each group all rewards are equal (truncated 25 %, informative groups 0 %, pass@1 0 %). No sample earns a reward: train the base longer, make the task easier, or sample larger groups.",
    ]);
    expect(whyNothingWasLearned({}, 3, 10)[0]).toContain(
      "(truncated 0 %, informative groups 0 %, pass@1 0 %)",
    );
  });

  it("is said at once where groups could teach and all their samples were masked", () => {
    const masked = { truncated: 1, "groups/informative": 0.5, pass1: 0.5 };
    expect([0, 1, 2, 3].map((idle) => whyNothingWasLearned(masked, idle, 10).length)).toEqual([0, 1, 0, 1]);
    expect(whyNothingWasLearned(masked, 1, 10)).toEqual([
      "Nothing was learned in this step: all samples were cut off, and maskTruncated leaves those out (truncated 100 %, informative groups 50 %, pass@1 50 %). Completions are cut off at 10 tokens, before their answer: raise maxNewTokens.",
    ]);
  });

  it("blames easy problems above half", () => {
    const remedy = (pass1: number) => whyNothingWasLearned({ ...metrics, pass1 }, 3, 10)[0];
    expect(remedy(0.5)).toContain("No sample earns");
    expect(remedy(0.51)).toMatch(/Most problems are solved by all samples: make the task harder\.$/);
    expect(remedy(1)).toMatch(/Every problem is solved by all samples: make the task harder\.$/);
  });
});

describe("limits of notices", () => {
  const counted = (over: Partial<ReturnType<typeof noSignals>>) => ({
    ...noSignals(),
    ...{ steps: 5, groups: 24, informative: 6, samples: 48, scored: 48, right: 12 },
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
      fewSignals(counted({ informative: 12, steps }), { groupSize: 2, last: false }).signals.steps;
    expect([counting(49), counting(50), counting(51)]).toEqual([49, 0, 0]);
  });

  it("at exactly half right, larger groups are advised still", () => {
    expect(signalRemedy(0.5, 2, 0)).toMatch(/groups of 4 would carry one in about 88 %/);
    // 4 of 8 groups: 1 - 0.75^8 - 0.25^8 = 0.9; the smallest that reaches three quarters is named.
    expect(signalRemedy(0.25, 2, 0)).toMatch(/groups of 8 would/);
  });
});

it("buckets of positions come in their order, whatever was seen first", () => {
  const at = (...positions: number[]) => ({
    equations: positions.map((position) => ({ position, holds: true })),
  });
  expect(validityByPosition([at(200, 70, 3)]).map(({ from, to }) => [from, to])).toEqual([
    ...[
      [0, 64],
      [64, 128],
      [192, 256],
    ],
  ]);
});

it("micro-batches add up, but for the largest mismatch, which is of those before the first update alone", () => {
  const sums = new Map<string, number>();
  addMeasurements(sums, { kl: 1, mismatchSum: 2, mismatchMax: 0.5 }, false);
  addMeasurements(sums, { kl: 2, mismatchSum: 3, mismatchMax: 0.25 }, false);
  addMeasurements(sums, { kl: 4, mismatchSum: 9, mismatchMax: 9 }, true);
  expect(Object.fromEntries(sums)).toEqual({ kl: 7, mismatchSum: 5, mismatchMax: 0.5 });
});
