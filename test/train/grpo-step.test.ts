/** One GRPO step whose every metric is worked out by hand: a policy that finds all tokens equally likely. */

import { describe, expect, it } from "vitest";
import type { HostValue } from "../../src/runtime/session.ts";
import type { Problem, Task, Verdict } from "../../src/tasks/problem.ts";
import { CompactTokenizer } from "../../src/tokenizer/compact.ts";
import { GrpoStage } from "../../src/train/grpo.ts";
import type { GrpoOptions } from "../../src/train/options.ts";
import { shown } from "../../src/train/rollout.ts";
import type { StageSnapshot, StepReport } from "../../src/train/stage.ts";
import { numbersOf } from "../support/parameters.ts";
import { adamW, copyValues, livelyParameters, tinyConfig, tinyContext, tinyGrpo } from "./tiny.ts";

const tokenizer = new CompactTokenizer();
const PROMPT = "3, 4 make 7\n";
/** BOS and the text. */
const PROMPT_TOKENS = 1 + tokenizer.encode(PROMPT).length;

/** Right or wrong by a list for each problem's samples; problems beyond the lists are all wrong. */
class Scripted implements Task {
  name = "scripted";
  readonly drawn: number[] = [];
  private readonly asked = new Map<string, number>();
  private readonly script: Record<number, (number | null)[]>;
  constructor(script: Record<number, (number | null)[]>) {
    this.script = script;
  }
  generate({ index }: { index: number }): Problem {
    this.drawn.push(index);
    return { id: `${index}`, prompt: PROMPT };
  }
  verify({ id }: Problem): Verdict {
    const sample = this.asked.get(id) ?? 0;
    this.asked.set(id, sample + 1);
    const values = this.script[Number(id)] ?? [];
    const value = sample in values ? values[sample] : 0;
    return {
      value,
      kind: value === null ? "unscored" : value === 1 ? "right" : "wrong",
      extracted: null,
      canonical: null,
      format: sample === 0,
      reason: "",
    };
  }
}

/** Logits are all 0, so each token has probability 1/29 at every temperature. */
const uniform = copyValues(livelyParameters(tinyConfig, 9, 0.2));
uniform.get("lm_head.weight")?.data.fill(0 as never);
const ENTROPY = Math.log(tinyConfig.vocabSize);

async function step(
  task: Task,
  over: Partial<GrpoOptions> = {},
  use: (stage: GrpoStage) => Promise<StepReport> = (stage) => stage.advance(),
  parameters: ReadonlyMap<string, HostValue> = uniform,
  resume?: StageSnapshot,
): Promise<StepReport> {
  const model = { config: tinyConfig, tokenizer, parameters: copyValues(parameters) };
  const options = { ...tinyGrpo, problemsPerStep: 2, clip: { low: 1e-4, high: 1e-4 } };
  const stage = await GrpoStage.create(model, task, { ...options, ...over }, tinyContext, resume);
  try {
    return await use(stage);
  } finally {
    await stage.release();
  }
}

/** Of rewards 1, 0, 0, 0: (r - 1/4) / 1/2, the sample deviation being sqrt((9/16 + 3/16) / 3). */
const ADVANTAGES = [1.5, -0.5, -0.5, -0.5];
const ONE_OF_FOUR = [1, 0, 0, 0];

const lengthsOf = (report: StepReport): number[][] =>
  report.groups.map((group) => group.samples.map(({ tokens }) => tokens));

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

describe("a step in which one of two groups carries a signal", () => {
  it.each([
    ["without a KL term only its rows are computed", 0, 1],
    ["with one all rows are, and what is reported per token is of the same rows", 0.1, 2],
  ])("%s", async (_, kl, groupsComputed) => {
    const report = await step(new Scripted({ 0: ONE_OF_FOUR }), {
      kl,
      schedule: { kind: "linear", warmup: 2, minLrRatio: 0 },
      rewards: { accuracy: 1, format: 0 },
    });
    const { metrics } = report;
    expect(report.groups.map((group) => group.samples.map(({ advantage }) => advantage))).toEqual([
      ADVANTAGES.map((value) => expect.closeTo(value, 6)),
      [0, 0, 0, 0],
    ]);
    const [signal, flat] = lengthsOf(report);
    const tokens = sum([...signal, ...flat]);
    // At ratio 1 the surrogate of a token is its advantage; all tokens of both groups are in the denominator.
    expect(metrics.loss).toBeCloseTo(-sum(signal.map((length, i) => length * ADVANTAGES[i])) / tokens, 5);
    expect(metrics.entropy).toBeCloseTo(ENTROPY, 5);
    expect(metrics.kl).toBe(kl === 0 ? null : 0);
    expect(metrics["kl/bounded"]).toBe(kl === 0 ? null : 0);
    expect(metrics).toMatchObject({
      ...{ "clip/low": 0, "clip/high": 0, "ratio/bounded": 0, unscored: 0 },
      ...{ "reward/mean": 1 / 8, "reward/accuracy": 1 / 8, "reward/format": 0, "pass@1": 1 / 8 },
      ...{ "groups/signal": 1 / 2, "groups/rounds": 1, "length/mean": tokens / 8 },
      // The first of two warm-up steps.
      lr: tinyGrpo.optimizer.lr / 2,
    });
    expect(metrics["mismatch/max"]).toBeLessThan(2e-6);
    expect(metrics["mismatch/mean"]).toBeLessThanOrEqual(metrics["mismatch/max"] as number);
    expect(metrics["grad/norm"]).toBeGreaterThan(1e-3);
    // Both groups have one prompt, which is read once but for its last token.
    expect(report.generated).toBe(tokens);
    expect(report.prefilled).toBe(PROMPT_TOKENS - 1);
    // A row is fed its prompt and all of its completion but the last token.
    const computed = groupsComputed === 1 ? signal : [...signal, ...flat];
    expect(report.trained).toBe(sum(computed) + computed.length * (PROMPT_TOKENS - 1));
    expect(report.scored).toBe(kl === 0 ? 0 : sum([...signal, ...flat]) + 8 * (PROMPT_TOKENS - 1));
  });

  it("the parts of the reward add up to it, each under its weight", async () => {
    const { metrics } = await step(new Scripted({ 0: ONE_OF_FOUR }), {
      rewards: { accuracy: 1, format: 0.4 },
      overlong: { mode: "soft", buffer: 9, penalty: 0.5 },
    });
    // The first sample of each group has the format.
    expect(metrics).toMatchObject({
      "reward/accuracy": 1 / 8,
      "reward/format": 0.4 / 4,
    });
    expect(metrics["reward/overlong"]).toBeLessThan(0);
    const parts = ["accuracy", "format", "overlong"].map((name) => metrics[`reward/${name}`]);
    expect(metrics["reward/mean"]).toBeCloseTo(sum(parts as number[]), 9);
  });

  it("ratios that moved are clipped: after the first update they are, and the metric is their share", async () => {
    // Learning rates of 0.1 move every log-probability by far more than 1e-4 before the second of two epochs.
    const { metrics } = await step(new Scripted({ 0: ONE_OF_FOUR, 1: ONE_OF_FOUR }), {
      epochs: 2,
      optimizer: { ...adamW, lr: 0.1, weightDecay: 0 },
    });
    const clipped = (metrics["clip/low"] as number) + (metrics["clip/high"] as number);
    expect(clipped).toBeGreaterThan(0.1);
    // In the first of both epochs none is.
    expect(clipped).toBeLessThanOrEqual(0.5);
    expect(metrics["mismatch/max"]).toBeLessThan(2e-6);
  });

  it("truncated completions that are masked leave numerator and denominator", async () => {
    const report = await step(new Scripted({ 0: ONE_OF_FOUR, 1: ONE_OF_FOUR }), {
      overlong: { mode: "mask" },
      maxNewTokens: 20,
    });
    const rows = lengthsOf(report).flatMap((group) =>
      group.map((length, i) => ({ length, advantage: ADVANTAGES[i] })),
    );
    // A completion of 20 tokens may have ended with its last one: none of these did.
    const kept = rows.filter(({ length }) => length < 20);
    expect(report.metrics.truncated).toBe(1 - kept.length / 8);
    expect(kept.length).toBeGreaterThan(0);
    const weighed = sum(kept.map(({ length, advantage }) => length * advantage));
    expect(report.metrics.loss).toBeCloseTo(-weighed / sum(kept.map(({ length }) => length)), 5);
  });
});

describe("a step cut into parts", () => {
  const both = () => new Scripted({ 0: ONE_OF_FOUR, 1: ONE_OF_FOUR });

  it("micro-batches add up: the same loss, entropy and worst mismatch as in one", async () => {
    const lively = livelyParameters(tinyConfig, 9, 0.3);
    const [one, many] = [
      await step(both(), { microBatchTokens: 4096 }, undefined, lively),
      await step(both(), { microBatchTokens: 32 }, undefined, lively),
    ].map(({ metrics }) => metrics as Record<string, number>);
    for (const name of ["loss", "entropy", "grad/norm"]) expect(many[name]).toBeCloseTo(one[name], 4);
    // At temperature 0.7 the trainer finds what the sampler found; the worst of eight rows is no sum over them.
    expect(one["mismatch/max"]).toBeLessThan(1e-4);
    expect(many["mismatch/max"]).toBeLessThan(2.5 * one["mismatch/max"]);
    expect(many["mismatch/max"]).toBeGreaterThan(0);
  });

  it.each([
    [1, 1],
    [3, 1],
    [1, 4],
    [2, 2],
    // Of eight rows: 1, 2, 1, 2 and 2.
    [1, 5],
  ])("%i epochs of %i mini-batches are so many updates", async (epochs, miniBatches) => {
    await step(both(), { epochs, miniBatches }, async (stage) => {
      const report = await stage.advance();
      expect((stage.snapshot().state as { updates: number }).updates).toBe(epochs * miniBatches);
      return report;
    });
  });

  it("weighs each row by its own length: sequence means of advantages that add up to 0", async () => {
    const { metrics, groups } = await step(both(), { aggregation: "sequence-mean" });
    const lengths = groups.flatMap(({ samples }) => samples.map(({ tokens }) => tokens));
    expect(new Set(lengths).size).toBeGreaterThan(1);
    expect(metrics.loss).toBeCloseTo(0, 5);
  });

  it("a sample without a score is in no denominator", async () => {
    const report = await step(new Scripted({ 0: [1, null, 0, null] }), { problemsPerStep: 1 });
    const [[first, , third]] = lengthsOf(report);
    // Of 1 and 0: deviations ±1/2 over sqrt(1/2).
    const advantage = Math.SQRT1_2;
    expect(report.metrics.loss).toBeCloseTo((-advantage * (first - third)) / (first + third), 5);
  });

  it("the first of two warm-up steps moves no weight by more than half of the rate", async () => {
    const over = {
      schedule: { kind: "linear", warmup: 2, minLrRatio: 0 },
      optimizer: { ...adamW, lr: 0.01, weightDecay: 0 },
    };
    await step(both(), over as Partial<GrpoOptions>, async (stage) => {
      const report = await stage.advance();
      const head = numbersOf(stage.parameters().get("lm_head.weight"));
      // AdamW's first step is the rate's size wherever there is a gradient; the head began at 0.
      expect(head.reduce((most, x) => Math.max(most, Math.abs(x)), 0)).toBeCloseTo(0.005, 5);
      return report;
    });
  });

  it("sampler and trainer are compared over the first mini-batch alone", async () => {
    const lively = livelyParameters(tinyConfig, 9, 0.3);
    const first = await step(new Scripted({ 0: ONE_OF_FOUR }), { miniBatches: 2 }, undefined, lively);
    // The second batch computes two of its four rows: rewards in the middle have no advantage.
    const task = new Scripted({ 0: ONE_OF_FOUR, 1: [1, 0, 0.5, 0.5] });
    const both = await step(task, { miniBatches: 2 }, undefined, lively);
    const mean = ({ metrics }: StepReport) => metrics["mismatch/mean"] as number;
    expect(mean(first)).toBeGreaterThan(0);
    expect(mean(both) / mean(first)).toBeCloseTo(1, 2);
  });

  it("importance weights weigh the loss: a cap of a half halves it", async () => {
    const plain = await step(both());
    const capped = await step(both(), { importance: { level: "token", cap: 0.5 } });
    expect(Math.abs(plain.metrics.loss as number)).toBeGreaterThan(1e-3);
    expect(capped.metrics.loss).toBeCloseTo((plain.metrics.loss as number) / 2, 6);
    expect(capped.metrics["importance/cut"]).toBe(1);
  });

  it("three steps without a signal are told of, also where the run stopped between them", async () => {
    const saved = await new Promise<StageSnapshot>((resolve) => {
      void step(new Scripted({}), {}, async (stage) => {
        await stage.advance();
        const report = await stage.advance();
        expect(report.notices).toEqual([]);
        const { tensors, state } = stage.snapshot();
        resolve({ tensors: copyValues(tensors), state: JSON.parse(JSON.stringify(state)) });
        return report;
      });
    });
    const { notices } = await step(new Scripted({}), {}, undefined, uniform, saved);
    expect(notices).toEqual([expect.stringMatching(/^Nothing was learned for 3 steps/)]);
  });
});

describe("dynamic sampling", () => {
  it("off: one round, whatever it brings", async () => {
    const task = new Scripted({ 2: ONE_OF_FOUR });
    const { metrics, trained } = await step(task);
    expect(task.drawn).toEqual([0, 1]);
    expect(metrics).toMatchObject({ "groups/rounds": 1, "groups/signal": 0, loss: null });
    expect(trained).toBe(0);
  });

  it("on: rounds until the step is full of groups with a signal, and those alone are trained", async () => {
    const task = new Scripted({ 2: ONE_OF_FOUR, 5: ONE_OF_FOUR });
    const report = await step(task, { dynamicSampling: { maxRounds: 5 } });
    expect(task.drawn).toEqual([0, 1, 2, 3, 4, 5]);
    expect(report.metrics).toMatchObject({ "groups/rounds": 3, "groups/signal": 2 / 6 });
    expect(report.groups.map(({ problem }) => problem)).toEqual(["2", "5"]);
    const lengths = lengthsOf(report).flat();
    expect(report.trained).toBe(sum(lengths) + 8 * (PROMPT_TOKENS - 1));
    const loss = sum(lengths.map((length, i) => length * ADVANTAGES[i % 4]));
    expect(report.metrics.loss).toBeCloseTo(-loss / sum(lengths), 5);
  });

  it("on and full at once: one round, and no more groups than asked for are trained", async () => {
    const task = new Scripted({ 0: ONE_OF_FOUR, 1: ONE_OF_FOUR });
    const { metrics } = await step(task, { dynamicSampling: { maxRounds: 5 } });
    expect(task.drawn).toEqual([0, 1]);
    expect(metrics).toMatchObject({ "groups/rounds": 1, "groups/signal": 1 });
    // Of the second round's two, one is over.
    const two = new Scripted({ 0: ONE_OF_FOUR, 2: ONE_OF_FOUR, 3: ONE_OF_FOUR });
    const report = await step(two, { dynamicSampling: { maxRounds: 5 } });
    expect(report.metrics).toMatchObject({ "groups/rounds": 2, "groups/signal": 3 / 4 });
    expect(report.trained).toBe(sum(lengthsOf(report).flat()) + 8 * (PROMPT_TOKENS - 1));
  });

  it("on: the limit of further rounds ends it, and what there is is trained", async () => {
    const task = new Scripted({ 3: ONE_OF_FOUR });
    const { metrics } = await step(task, { dynamicSampling: { maxRounds: 2 } });
    expect(task.drawn).toEqual([0, 1, 2, 3, 4, 5]);
    expect(metrics).toMatchObject({ "groups/rounds": 3, "groups/signal": 1 / 6 });
    expect(Number.isFinite(metrics.loss)).toBe(true);
  });

  it("the next step goes on behind the last problem that was drawn", async () => {
    const task = new Scripted({ 1: ONE_OF_FOUR });
    await step(task, { dynamicSampling: { maxRounds: 1 } }, async (stage) => {
      await stage.advance();
      return stage.advance();
    });
    expect(task.drawn).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });
});

describe("the groups of a step that are shown (B6)", () => {
  const flat = (name: string) => ({ name, advantages: [0, 0] });
  const teaching = (name: string) => ({ name, advantages: [1, -1] });
  const names = (list: { name: string }[]): string[] => list.map(({ name }) => name);

  it("are each shown once: those with a signal first, then others in order", () => {
    expect(names(shown([flat("a"), teaching("b"), flat("c")]))).toEqual(["b", "a"]);
    expect(names(shown([teaching("a"), flat("b")]))).toEqual(["a", "b"]);
    expect(names(shown([flat("a"), flat("b"), flat("c")]))).toEqual(["a", "b"]);
    expect(names(shown([flat("a"), teaching("b"), teaching("c"), teaching("d")]))).toEqual(["b", "c"]);
    expect(names(shown([teaching("a")]))).toEqual(["a"]);
  });
});
