/** GRPO through its real sampler and trainer on a tiny model: the pitfalls that only the whole loop can show. */

import { describe, expect, it } from "vitest";
import type { Metrics } from "../../src/events.ts";
import { allParameters } from "../../src/models/architectures.ts";
import type { HostValue } from "../../src/runtime/session.ts";
import type { Curriculum } from "../../src/tasks/curriculum.ts";
import type { Problem, StreamKey, Task, Verdict } from "../../src/tasks/problem.ts";
import { CompactTokenizer } from "../../src/tokenizer/compact.ts";
import { completionText } from "../../src/tokenizer/stream.ts";
import { GrpoStage } from "../../src/train/grpo.ts";
import type { GrpoOptions } from "../../src/train/options.ts";
import { overlongReward, rewardsOf } from "../../src/train/rewards.ts";
import { rewardedSample } from "../../src/train/rollout.ts";
import type { Model, StepReport } from "../../src/train/stage.ts";
import {
  adamW,
  copyValues,
  differing,
  furthest,
  livelyParameters,
  muon,
  tinyConfig,
  tinyContext,
  tinyGrpo,
} from "./tiny.ts";

const tokenizer = new CompactTokenizer();
const start = livelyParameters(tinyConfig, 9, 0.2);
const model = (
  parameters: ReadonlyMap<string, HostValue> = copyValues(start),
  over: Partial<Model> = {},
): Model => ({
  config: tinyConfig,
  tokenizer,
  parameters,
  ...over,
});

const verdict = (value: number | null): Verdict => ({
  value,
  kind: value === null ? "unscored" : value === 1 ? "right" : "wrong",
  extracted: null,
  canonical: null,
  format: false,
  reason: value === 1 ? "right" : "wrong",
});

/** Rewards completions with many even digits, which chance finds and training can find more often. */
class Evens implements Task {
  name = "evens";
  /** Indices asked for, in order. */
  readonly drawn: number[] = [];
  readonly curriculum?: Curriculum;
  constructor(curriculum?: Curriculum) {
    this.curriculum = curriculum;
  }
  generate({ split, index, level = 2 }: StreamKey): Problem & { level: number } {
    this.drawn.push(index);
    return {
      id: `evens/${split}/${index}`,
      prompt: `${(index * 37) % 100}, ${index % 10} make ${index % 7}\n`,
      level,
    };
  }
  verify(problem: Problem, completion: string): Verdict {
    const { level } = problem as ReturnType<Evens["generate"]>;
    return verdict((completion.match(/[02468]/g) ?? []).length >= level ? 1 : 0);
  }
}

const options: GrpoOptions = { ...tinyGrpo, maxBatch: 5 };

async function withStage<T>(
  use: (stage: GrpoStage, task: Evens) => Promise<T>,
  over: Partial<GrpoOptions> = {},
  from: Model = model(),
  task = new Evens(),
): Promise<T> {
  const stage = await GrpoStage.create(from, task, { ...options, ...over }, tinyContext);
  try {
    return await use(stage, task);
  } finally {
    await stage.release();
  }
}

/** f32 noise between batched one-token decoding and the whole forward pass, at logits of order 1. */
const MISMATCH = 5e-6;

describe("A2: sampler and trainer share the temperature", () => {
  it.each([0.7, 1, 1.4])(
    "at T = %s the first mini-batch's ratio is 1 within the measured mismatch",
    async (temperature) => {
      const { metrics } = await withStage((stage) => stage.advance(), {
        temperature,
        clip: { low: 1e-5, high: 1e-5 },
      });
      expect(metrics["groups/signal"]).toBeGreaterThan(0);
      expect(metrics["mismatch/max"]).toBeLessThan(MISMATCH);
      expect(metrics["clip/low"]).toBe(0);
      expect(metrics["clip/high"]).toBe(0);
      // Advantages of a group add up to 0, and at ratio 1 each row's surrogate is its advantage times its length.
      expect(Number.isFinite(metrics.loss)).toBe(true);
    },
  );
});

describe("A6: the reference is a frozen copy of the policy that the stage starts from", () => {
  it("KL at step 0 is exactly 0 from a trained policy, and no longer once the policy has moved", async () => {
    const trained = await withStage(async (stage) => {
      for (let i = 0; i < 2; i++) await stage.advance();
      return copyValues(stage.parameters());
    });
    expect(differing(trained, start).length).toBeGreaterThan(0);
    const over = { kl: 0.1, problemsPerStep: 6, optimizer: { ...adamW, lr: 1e-2, weightDecay: 0 } };
    await withStage(
      async (stage) => {
        expect((await stage.advance()).metrics.kl).toBe(0);
        const kl = (await stage.advance()).metrics.kl as number;
        expect(kl).toBeGreaterThan(1e-5);
      },
      over,
      model(trained),
    );
  });

  it("replaced every N steps, it starts from 0 again", async () => {
    const over = {
      kl: 0.1,
      problemsPerStep: 6,
      referenceEvery: 2,
      optimizer: { ...adamW, lr: 1e-2, weightDecay: 0 },
    };
    await withStage(async (stage) => {
      const kl = [];
      for (let i = 0; i < 3; i++) kl.push((await stage.advance()).metrics.kl as number);
      expect(kl[0]).toBe(0);
      expect(kl[1]).toBeGreaterThan(1e-5);
      expect(kl[2]).toBe(0);
    }, over);
  });
});

describe("A7: ids are the truth", () => {
  it("vocabulary a, b, ab: sampled a, b stay two tokens although their text encodes to one", () => {
    const texts = ["a", "b", "ab"];
    const merging = {
      vocabSize: 3,
      bosId: null,
      eosId: null,
      padId: 0,
      stopIds: new Set<number>(),
      around: { before: [], after: [] },
      controls: [],
      encode: (text: string) => (text === "ab" ? [2] : [...text].map((c) => texts.indexOf(c))),
      decode: (ids: Iterable<number>) => [...ids].map((id) => texts[id]).join(""),
      stream: () => ({ push: (id: number) => texts[id], end: () => "" }),
      toJSON: () => ({}),
    };
    const generation = { ids: [0, 1], logProbs: [-0.5, -1.5], finish: "stop" as const };
    const task = {
      ...new Evens(),
      generate: () => ({ id: "x", prompt: "a" }),
      verify: () => verdict(1),
    } as Task;
    const problem = { id: "x", prompt: "a" };
    const { text, ends } = completionText(merging, [0], generation.ids);
    const sampled = { ...generation, mask: [1, 1], tokens: 2, text, ends, spoken: null };
    const sample = rewardedSample(
      task,
      { problem, prompt: [0], sampled, verdict: verdict(1) },
      { rewards: rewardsOf(options, task), maxNewTokens: 10 },
    );
    expect(merging.encode(sample.text)).toEqual([2]);
    expect(sample).toMatchObject({ ids: [0, 1], logProbs: [-0.5, -1.5], text: "ab", reward: 1 });
  });
});

describe("A8: a stage that cannot learn says so", () => {
  /** Right needs 20 tokens, and no token ends a completion: all are cut. */
  const endless = Object.assign(Object.create(tokenizer), { stopIds: new Set<number>() });
  const long = Object.assign(new Evens(), {
    verify: (_problem: Problem, text: string) => verdict(text.length >= 200 ? 1 : 0),
  });

  it("completion limit 8, 20 needed: cause and remedy within the first steps, and the parameters stay", async () => {
    await withStage(
      async (stage) => {
        const notices: string[] = [];
        for (let i = 0; i < 3; i++) {
          const report = await stage.advance();
          notices.push(...report.notices);
          expect(report.metrics).toMatchObject({
            truncated: 1,
            "groups/signal": 0,
            loss: null,
            "grad/norm": null,
            "length/mean": 8,
          });
          expect(Object.values(report.metrics).every((v) => v === null || Number.isFinite(v))).toBe(true);
        }
        expect(notices).toEqual([
          "Nothing was learned for 3 steps: in each group all rewards are equal (truncated 100 %, groups with a signal 0 %, pass@1 0 %). " +
            "Completions are cut off at 8 tokens, before their answer: raise maxNewTokens.",
        ]);
        expect(differing(stage.parameters(), start)).toEqual([]);
      },
      { maxNewTokens: 8 },
      model(copyValues(start), { tokenizer: endless }),
      long,
    );
  });

  it("A1: an all-masked batch is a no-op whose reason is said at once; throughput counts all that was sampled", async () => {
    await withStage(
      async (stage) => {
        const { metrics, notices, generated } = await stage.advance();
        expect(metrics).toMatchObject({ truncated: 1, loss: null });
        expect(metrics["groups/signal"]).toBeGreaterThan(0);
        expect(notices.join()).toMatch(
          /^Nothing was learned in this step: all samples were cut off, and overlong: mask leaves those out \(truncated 100 %/,
        );
        expect(generated).toBe(3 * 4 * 10);
        expect(differing(stage.parameters(), start)).toEqual([]);
        expect((await stage.advance()).notices).toEqual([]);
      },
      { overlong: { mode: "mask" } },
      model(copyValues(start), { tokenizer: endless }),
    );
  });
});

describe("a curriculum by the pass rate", () => {
  it("is logged before each step, and moves by what the step's completions show, within the levels", async () => {
    const curriculum = { target: 0.25, rate: 2, start: 1.5, low: 1, high: 3 };
    await withStage(
      async (stage) => {
        let level = 1.5;
        for (let i = 0; i < 4; i++) {
          const { metrics } = await stage.advance();
          expect(metrics["difficulty/level"]).toBe(level);
          level = Math.min(3, Math.max(1, level + 2 * ((metrics["pass@1"] as number) - 0.25)));
        }
        expect(stage.snapshot().state).toMatchObject({ level });
      },
      {},
      model(),
      new Evens(curriculum),
    );
  });

  it("is absent without one", async () => {
    const { metrics } = await withStage((stage) => stage.advance());
    expect(metrics).not.toHaveProperty(["difficulty/level"]);
  });
});

describe("A9: a resumed stage is an undisturbed one", () => {
  /** All but what the clock says. */
  const timeless = (metrics: Metrics): Metrics =>
    Object.fromEntries(Object.entries(metrics).filter(([name]) => !/second/.test(name)));
  const specs = allParameters(tinyConfig);

  it.each<[string, Partial<GrpoOptions>, Curriculum?]>([
    ["AdamW", {}],
    ["KL to the policy at the stage's start", { kl: 0.05 }],
    [
      "Muon, KL to a replaced reference, importance sampling, epochs, mini-batches, dynamic sampling",
      {
        optimizer: { ...muon, lr: 3e-3, adamLr: 1e-3 },
        kl: 0.05,
        referenceEvery: 2,
        importance: { level: "token", cap: 2 },
        epochs: 2,
        miniBatches: 2,
        dynamicSampling: { maxRounds: 1 },
        advantage: "rloo",
        ratio: "sequence",
        aggregation: "sequence-mean",
      },
    ],
    [
      "CISPO, constant length, truncated masked",
      {
        ratio: "cispo",
        aggregation: "constant",
        advantage: "dr-grpo",
        overlong: { mode: "mask" },
      },
    ],
    ["overlong shaping", { overlong: { mode: "soft", buffer: 4, penalty: 0.5 } }],
    [
      "a curriculum, and two rounds of sampling",
      { dynamicSampling: { maxRounds: 1 } },
      { target: 0.5, rate: 1.3, start: 1.4, low: 1, high: 4 },
    ],
  ])(
    "%s: the same problems, metrics, notices and parameters, bit for bit",
    async (_name, over, curriculum) => {
      const undisturbed: StepReport[] = [];
      const whole = new Evens(curriculum);
      const end = await withStage(
        async (stage) => {
          for (let i = 0; i < 4; i++) undisturbed.push(await stage.advance());
          return { ...stage.snapshot(), tensors: copyValues(stage.snapshot().tensors) };
        },
        over,
        model(),
        whole,
      );

      const killed = new Evens(curriculum);
      const saved = await withStage(
        async (stage) => {
          for (let i = 0; i < 2; i++) await stage.advance();
          const { tensors, state } = stage.snapshot();
          return {
            tensors: copyValues(tensors),
            state: JSON.parse(JSON.stringify(state)),
            drawn: [...killed.drawn],
          };
        },
        over,
        model(),
        killed,
      );
      // Killed in its third step, after the rollout: what that step drew is drawn again.
      const parameters = new Map(specs.map(({ name }) => [name, saved.tensors.get(name) as HostValue]));
      const task = new Evens(curriculum);
      const stage = await GrpoStage.create(
        model(parameters),
        task,
        { ...options, ...over },
        tinyContext,
        saved,
      );
      expect(stage.done).toBe(2);
      for (let i = 2; i < 4; i++) {
        const report = await stage.advance();
        expect(timeless(report.metrics)).toEqual(timeless(undisturbed[i].metrics));
        expect([report.notices, report.generated, report.flops, report.groups]).toEqual([
          undisturbed[i].notices,
          undisturbed[i].generated,
          undisturbed[i].flops,
          undisturbed[i].groups,
        ]);
      }
      expect(differing(stage.snapshot().tensors, end.tensors)).toEqual([]);
      expect(stage.snapshot().state).toEqual(end.state);
      expect([...saved.drawn, ...task.drawn]).toEqual(whole.drawn);
      expect(new Set(whole.drawn).size).toBe(whole.drawn.length);
      await stage.release();
    },
  );
});

describe("A10: what importance weights cut is measured", () => {
  it("sits beside the mismatch, and counts a row once however many epochs train it", async () => {
    // A cap below every weight cuts every token.
    const { metrics } = await withStage((stage) => stage.advance(), {
      epochs: 2,
      importance: { level: "token", cap: 0.5 },
    });
    expect(metrics).toMatchObject({
      "importance/cut": 1,
      "importance/cut-sequences": 1,
      "importance/cut/1-64": 1,
    });
    // Measured before the first update: what the second epoch's policy has moved is no mismatch.
    expect(metrics["mismatch/max"]).toBeLessThan(MISMATCH);
  });
});

describe("the loop", () => {
  it("learns: pass@1 rises", async () => {
    await withStage(
      async (stage) => {
        const pass: number[] = [];
        for (let i = 0; i < 30; i++) pass.push((await stage.advance()).metrics["pass@1"] as number);
        const mean = (list: number[]): number => list.reduce((a, b) => a + b) / list.length;
        // A third by chance; 1.00 is reached after 12 steps.
        expect(pass[0]).toBeLessThan(0.5);
        expect(mean(pass.slice(-5))).toBeGreaterThan(0.9);
      },
      {
        steps: 30,
        problemsPerStep: 6,
        groupSize: 8,
        temperature: 1,
        maxBatch: 48,
        optimizer: { ...adamW, lr: 3e-3, weightDecay: 0 },
      },
    );
  });

  it("trains rows that fill the model's positions to the last", async () => {
    // 64 positions are a multiple of the rows' step; 55 are not, and padding to 64 would leave the rotary table.
    const config = { ...tinyConfig, maxPositions: 55 };
    const promptTokens =
      1 +
      tokenizer.encode(new Evens().generate({ seed: 1, split: "train", index: 0 }).prompt, { specials: true })
        .length;
    const endless = Object.assign(Object.create(tokenizer), { stopIds: new Set<number>() });
    const { metrics } = await withStage(
      (stage) => stage.advance(),
      { problemsPerStep: 1, maxNewTokens: 55 - promptTokens, kl: 0.1 },
      model(copyValues(start), { config, tokenizer: endless }),
      Object.assign(new Evens(), { verify: (_: Problem, text: string) => verdict(text.length % 2) }),
    );
    expect(metrics["mismatch/max"]).toBeLessThan(MISMATCH);
    expect(metrics["length/max"]).toBe(55 - promptTokens);
  });

  it("DAPO's overlong penalty: 0, then linear down to the whole penalty", () => {
    const soft = overlongReward({ buffer: 4, penalty: 0.5 });
    const at = (tokens: number) =>
      soft({ id: "x", prompt: "" }, { text: "", verdict: verdict(1), steps: [], tokens, maxNewTokens: 10 });
    expect([5, 6, 7, 8, 10].map(at)).toEqual([0, 0, -0.125, -0.25, -0.5]);
  });

  it("an unscored sample leaves its group and is not trained", async () => {
    let calls = 0;
    const flaky = Object.assign(new Evens(), { verify: () => verdict([1, 0, null, 0][calls++ % 4]) });
    const { metrics, groups } = await withStage((stage) => stage.advance(), {}, model(), flaky);
    expect(metrics).toMatchObject({ unscored: 3, "pass@1": 1 / 3 });
    // (r - 1/3) / 0.57735 over the three that were scored.
    expect(groups[0].samples.map((s) => Number(s.advantage.toFixed(4)))).toEqual([
      1.1547, -0.5774, 0, -0.5774,
    ]);
  });
});

describe("prompts that are shared", () => {
  it.each([0, 0.05])("change neither the loss nor the update (KL %s)", async (kl) => {
    const run = (sharedPrefix: boolean) =>
      withStage(
        async (stage) => {
          const reports = [await stage.advance(), await stage.advance()];
          return { metrics: reports.map((report) => report.metrics), after: copyValues(stage.parameters()) };
        },
        { sharedPrefix, kl, importance: { level: "token", cap: 2 } },
      );
    const [apart, shared] = [await run(false), await run(true)];
    for (const [i, metrics] of apart.metrics.entries())
      for (const name of ["loss", "grad/norm", "entropy", "kl", "mismatch/mean", "importance/cut"]) {
        const [a, b] = [metrics[name], shared.metrics[i][name]];
        if (a === null) expect(b, name).toBeNull();
        else expect(Math.abs((a as number) - (b as number)), name).toBeLessThan(1e-5);
      }
    for (const [name, { data }] of apart.after)
      expect(furthest(data as Float32Array, shared.after.get(name)?.data as Float32Array), name).toBeLessThan(
        1e-4,
      );
  });
});
