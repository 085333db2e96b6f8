/** GRPO on conversations: an environment's tokens are read and not trained, and one turn is a plain task. */
import { describe, expect, it } from "vitest";
import { Random } from "../../src/lib/random.ts";
import { modelOf } from "../../src/models/architectures.ts";
import { scalar } from "../../src/runtime/value.ts";
import { taskOf } from "../../src/tasks/define.ts";
import { environmentOf } from "../../src/tasks/environment.ts";
import type { Problem, Task } from "../../src/tasks/problem.ts";
import { CompactTokenizer, compactIds } from "../../src/tokenizer/compact.ts";
import { completionDatum } from "../../src/train/datum.ts";
import { GrpoStage } from "../../src/train/grpo.ts";
import { grpoLoss } from "../../src/train/grpo-loss.ts";
import { trainingBatches } from "../../src/train/grpo-rows.ts";
import { Meter } from "../../src/train/meter.ts";
import { microBatches, microBatchFeeds, type TrainingRow } from "../../src/train/microbatch.ts";
import type { GrpoOptions } from "../../src/train/options.ts";
import { Policy } from "../../src/train/policy.ts";
import type { Sample } from "../../src/train/rollout.ts";
import type { StepReport } from "../../src/train/stage.ts";
import { Trainer } from "../../src/train/trainer.ts";
import { adamW, copyValues, differing, livelyParameters, tinyConfig, tinyContext, tinyGrpo } from "./tiny.ts";

const plain = new CompactTokenizer();
/** A third of the tokens end a turn, so that conversations of a model that knows nothing go on. */
const stopIds = new Set([compactIds.eos, ...Array.from({ length: 9 }, (_, i) => 7 + i)]);
const tokenizer: CompactTokenizer = Object.assign(Object.create(plain) as CompactTokenizer, { stopIds });
const start = livelyParameters(tinyConfig, 9, 0.2);

async function steps(
  task: Task,
  over: Partial<GrpoOptions> = {},
  { count = 2, parameters = start } = {},
): Promise<{
  reports: StepReport[];
  tensors: ReadonlyMap<string, import("../../src/runtime/value.ts").Value>;
}> {
  const model = { config: tinyConfig, tokenizer, parameters: copyValues(parameters) };
  const stage = await GrpoStage.create(model, task, { ...tinyGrpo, maxBatch: 5, ...over }, tinyContext);
  try {
    const reports: StepReport[] = [];
    for (let i = 0; i < count; i++) reports.push(await stage.advance());
    return { reports, tensors: copyValues(stage.snapshot().tensors) };
  } finally {
    await stage.release();
  }
}

type State = { prompt: string; turn: number };
const asked = (seed: number): State => {
  const random = new Random(seed);
  return { prompt: `${random.integer(0, 99)}, ${random.integer(0, 9)} make 7\n`, turn: 0 };
};
const isRight = (text: string): boolean => /\+/.test(text);

const EVERYTHING: Partial<GrpoOptions> = {
  ...{ kl: 0.1, epochs: 2, miniBatches: 2, importance: { level: "sequence", cap: 1.0000001 } },
  ...{
    rewards: { accuracy: 1, format: 0, length: 0.3 },
    overlong: { mode: "soft", buffer: 5, penalty: 0.5 },
  },
};

describe("an environment of one turn", () => {
  it("trains to the very bits of the same task", async () => {
    const generate = asked;
    const task = taskOf({ name: "one", generate, verify: (_, text) => isRight(text) });
    const environment = environmentOf({
      ...{ name: "one", start: asked },
      step: (_, text) => ({ done: isRight(text) }),
    });
    for (const over of [{}, EVERYTHING]) {
      const [a, b] = [await steps(task, over), await steps(environment, over)];
      expect(a.reports.some(({ metrics }) => metrics["groups/signal"]! > 0)).toBe(true);
      expect(differing(a.tensors, b.tensors)).toEqual([]);
      a.reports.forEach(({ metrics, groups }, i) => {
        const own = b.reports[i]!;
        for (const [name, value] of Object.entries(metrics))
          if (!/second/.test(name)) expect(own.metrics[name], name).toBe(value);
        expect(own.groups).toEqual(groups);
        expect(own.metrics).toMatchObject({ "turns/mean": 1, "turns/limit": 0 });
        expect(metrics).not.toHaveProperty(["turns/mean"]);
      });
    }
  });
});

const REPLY = " = 7, 7, 7";
const REPLY_TOKENS = plain.encode(REPLY).length;
/** Replies once, and judges the second completion. */
const talk = environmentOf({
  ...{ name: "talk", maxTurns: 2, start: asked },
  step: (state: State, text) =>
    state.turn === 1 ? { done: isRight(text) } : { reply: REPLY, state: { turn: 1 } },
});

describe("a step on conversations of two turns, of a policy that finds all tokens equally likely", () => {
  const uniform = copyValues(start);
  uniform.get("lm_head.weight")?.data.fill(0 as never);

  it("measures the model's tokens alone", async () => {
    const over: Partial<GrpoOptions> = {
      ...{ ...EVERYTHING, epochs: 1, miniBatches: 1, problemsPerStep: 2, clip: { low: 1e-4, high: 1e-4 } },
      importance: { level: "sequence", cap: 1.001 },
    };
    const { reports } = await steps(talk, over, { count: 1, parameters: uniform });
    const [{ metrics, groups, trained, generated }] = reports as [StepReport];
    expect(metrics["groups/signal"]).toBeGreaterThan(0);
    expect(metrics["turns/mean"]).toBeGreaterThan(1.5);
    expect(metrics["turns/limit"]).toBe(0);
    // A reply's tokens have the sampler's log-probability 0 and the policy's -3.4: any of them would show.
    expect(metrics["mismatch/max"]).toBeLessThan(5e-6);
    expect(metrics.entropy).toBeCloseTo(Math.log(tinyConfig.vocabSize), 5);
    expect(metrics).toMatchObject({ kl: 0, "clip/low": 0, "clip/high": 0, "ratio/bounded": 0 });
    // At ratio and importance 1 the surrogate of a token is its advantage.
    const samples = groups.flatMap((group) => group.samples);
    const tokens = samples.reduce((total, one) => total + one.tokens, 0);
    const surrogate = samples.reduce((total, one) => total + one.tokens * one.advantage, 0);
    expect(metrics.loss).toBeCloseTo(-surrogate / tokens, 5);
    expect(metrics["importance/cut"]).toBe(0);
    expect(metrics["length/max"]).toBeLessThanOrEqual(tinyGrpo.maxNewTokens);
    expect(generated).toBe(tokens);
    expect(metrics["length/mean"]).toBe(tokens / 8);
    // What is computed has the replies too, once for each conversation that went on.
    const turns = Math.round(metrics["turns/mean"]! * 8) - 8;
    const prompts = [0, 1].map((index) => {
      const { prompt } = talk.generate({ seed: tinyContext.seed, split: "train", index });
      return 1 + plain.encode(prompt).length;
    });
    const prompted = 4 * prompts.reduce((total, length) => total + length - 1, 0);
    expect(trained).toBe(generated! + turns * REPLY_TOKENS + prompted);
    const [sample] = groups.flatMap(({ samples }) =>
      samples.filter(({ completion }) => /user/.test(completion)),
    );
    expect(sample!.completion).toContain(`\n[user] ${REPLY}\n`);
  });

  it("counts conversations that the limit of turns ends", async () => {
    const endless = environmentOf({
      ...{ name: "endless", maxTurns: 2, start: asked },
      step: () => ({ reply: REPLY }),
    });
    const { reports } = await steps(endless, {}, { count: 1, parameters: uniform });
    const { metrics } = reports[0]!;
    expect(metrics["turns/limit"]).toBeGreaterThan(0.5);
    expect(metrics["turns/limit"]! + metrics.truncated!).toBeCloseTo(1, 9);
    expect(metrics).toMatchObject({ "reward/mean": 0, unscored: 0, unparsed: 12, "groups/signal": 0 });
  });
});

describe("the rows of conversations", () => {
  /** The model says 7 8, then the environment 9 9 9, then the model again. */
  const sample = (last: number[], reward: number, reply = [20, 21, 22]): Sample => {
    const ids = [7, 8, ...reply, ...last];
    const mask = [1, 1, ...reply.map(() => 0), ...last.map(() => 1)];
    return {
      ...{ ids, mask, prompt: [1, 10, 11], tokens: 2 + last.length, reward, text: "", ends: [], steps: null },
      ...{ logProbs: mask.map((own, i) => own * (-3 - i / 100)), finish: "stop", components: {} },
      ...{ verdict: {} as Sample["verdict"], spoken: null },
    };
  };
  const problem: Problem = { id: "p", prompt: "" };
  const rowsOf = async (samples: Sample[], advantages: number[], over: Partial<GrpoOptions> = {}) => {
    const groups = [{ group: { problem, samples }, advantages }];
    const [rows] = await trainingBatches(groups, { ...tinyGrpo, ...over }, null, new Meter());
    return rows!;
  };

  it("have one advantage on all of the model's tokens and none on a reply's, and weights by the model's tokens", async () => {
    const samples = [sample([9], 1), sample([9, 10, 11], 0)];
    const rows = await rowsOf(samples, [1, -1], { aggregation: "sequence-mean" });
    expect(rows.map(({ advantages }) => advantages)).toEqual([
      [1, 1, 0, 0, 0, 1],
      [-1, -1, 0, 0, 0, -1, -1, -1],
    ]);
    expect(rows.map(({ weights }) => weights)).toEqual([
      [1 / 6, 1 / 6, 0, 0, 0, 1 / 6],
      [0.1, 0.1, 0, 0, 0, 0.1, 0.1, 0.1],
    ]);
    const [tokens] = await rowsOf(samples, [1, -1], { aggregation: "token-mean" });
    expect(tokens!.weights).toEqual([1 / 8, 1 / 8, 0, 0, 0, 1 / 8]);
  });

  /** Loss and gradient norm of GRPO's program on these rows. */
  async function measured(rows: readonly TrainingRow[], over: Partial<GrpoOptions> = {}) {
    const options = { ...tinyGrpo, temperature: 1, ...over };
    const policy = await Policy.create(
      {
        specs: modelOf(tinyConfig).parameters,
        loss: grpoLoss(tinyConfig, { ...options, mask: options.sharedPrefix ? "each" : "shared" }),
      },
      copyValues(start),
      { ...tinyContext, optimizer: adamW, accumulate: true },
    );
    const feeds = microBatches(rows, options, tinyConfig.maxPositions).map((micro) => ({
      ...microBatchFeeds(micro),
      inverseTemperature: scalar(1),
    }));
    const { norm, measured: all } = await policy.step.update(feeds, { lr: 0, muonLr: 0 });
    await policy.release();
    const scalars = all.map(({ scalars: own }) => own);
    return { norm, loss: scalars.reduce((total, { loss }) => total + loss!, 0), scalars };
  }

  it("have the loss and the gradient of the library's own importance_sampling on the model's tokens", async () => {
    const rows = await rowsOf([sample([9], 1), sample([9, 10, 11], 0)], [0.7, -1.3]);
    const trainer = await Trainer.create({ config: tinyConfig, tokenizer, parameters: start }, tinyContext);
    const data = rows.map(({ prompt, ids, sampled, advantages, weights }) =>
      completionDatum(prompt, ids, { sampled, advantages: advantages.map((a, i) => a * weights[i]!) }),
    );
    const { loss } = await trainer.forwardBackward(data, "importance_sampling");
    const { norm } = await trainer.optimStep({ lr: 1e-9 });
    for (const sharedPrefix of [false, true]) {
      const own = await measured(rows, { clip: { low: 1, high: 1000 }, sharedPrefix });
      expect(own.loss).toBeCloseTo(loss, 5);
      expect(own.norm / norm).toBeCloseTo(1, 4);
    }
  });

  it("are the same to the bit whatever is said of a reply's tokens, in each ratio and with KL", async () => {
    const rows = await rowsOf([sample([9], 1), sample([9, 10, 11], 0)], [0.7, -1.3]);
    const scored = rows.map((row) => ({ ...row, reference: row.ids.map((_, i) => -3.2 + i / 50) }));
    const nonsense = (values: readonly number[], { weights }: TrainingRow) =>
      values.map((value, i) => (weights[i] === 0 ? -1e4 : value));
    const other = scored.map((row) => ({
      ...row,
      sampled: nonsense(row.sampled, row),
      old: nonsense(row.old, row),
      importance: nonsense(row.importance, row),
      reference: nonsense(row.reference, row),
      advantages: row.advantages.map((a, i) => (row.weights[i] === 0 ? 50 : a)),
    }));
    for (const ratio of ["token", "sequence", "cispo"] as const)
      expect(await measured(other, { ratio, kl: 0.1 })).toEqual(await measured(scored, { ratio, kl: 0.1 }));
    // The words of a reply are read all the same.
    const reworded = await rowsOf([sample([9], 1, [23, 24, 25]), sample([9, 10, 11], 0)], [0.7, -1.3]);
    expect((await measured(reworded)).loss).not.toBe((await measured(rows)).loss);
  });
});
