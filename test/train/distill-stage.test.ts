/** Distillation on the student's own rollouts: it nears its teachers, whoever judges what, and resumes to the bit. */
import { expect, it } from "vitest";
import { Random } from "../../src/lib/random.ts";
import { taskFrom } from "../../src/tasks/registry.ts";
import { bytesJson } from "../../src/tokenizer/bytes.ts";
import { CompactTokenizer } from "../../src/tokenizer/compact.ts";
import { tokenizerFrom } from "../../src/tokenizer/load.ts";
import { DistillStage } from "../../src/train/distill-stage.ts";
import type { DistillOptions } from "../../src/train/options.ts";
import type { StageSnapshot, StepReport } from "../../src/train/stage.ts";
import { domainsOf, type Teacher } from "../../src/train/teachers.ts";
import { adamW, copyValues, differing, livelyParameters, tinyConfig, tinyContext } from "./tiny.ts";

const tokenizer = new CompactTokenizer();
const countdown = taskFrom({ kind: "countdown", numbers: [2] });
const larger = taskFrom({ kind: "countdown", numbers: [3] });

const options: DistillOptions = {
  ...{ kind: "distill", steps: 150, problemsPerStep: 16, samples: 1, maxNewTokens: 8, temperature: 1 },
  ...{ estimate: "full", maxBatch: 64, recompute: false, microBatchTokens: 512 },
  optimizer: { ...adamW, lr: 1e-2, weightDecay: 0 },
  schedule: { kind: "constant", warmup: 0 },
};

const model = (seed: number) => ({
  config: tinyConfig,
  tokenizer,
  parameters: copyValues(livelyParameters(tinyConfig, seed)),
});

const teacher = (name: string, seed: number, own: Partial<Teacher> = {}): Teacher => ({
  ...{ name, model: model(seed), weight: 1, task: null },
  ...own,
});

/** Teacher 1 with noise on each weight, a third of what the weights are. */
function student() {
  const start = model(1);
  for (const [name, { data }] of start.parameters) {
    const random = new Random(2, "noise", name);
    for (let i = 0; i < data.length; i++) (data as Float32Array)[i] += 0.1 * random.normal();
  }
  return start;
}

async function train(
  teachers: readonly Teacher[],
  over: Partial<DistillOptions>,
  { steps = over.steps ?? options.steps, resume }: { steps?: number; resume?: StageSnapshot } = {},
) {
  const all = { ...options, ...over };
  const start = student();
  // A run gives the model of its checkpoint.
  const parameters = resume === undefined ? start.parameters : copyValues(resume.tensors);
  const stage = await DistillStage.create(
    { ...start, parameters },
    { teachers, task: countdown },
    all,
    tinyContext,
    resume,
  );
  try {
    const reports: StepReport[] = [];
    while (reports.length < steps) reports.push(await stage.advance());
    const { tensors, state } = stage.snapshot();
    return { reports, snapshot: { tensors: copyValues(tensors), state } };
  } finally {
    await stage.release();
  }
}

it.each(["full", "sample"] as const)(
  "the student nears its teacher: %s",
  async (estimate) => {
    const { reports } = await train([teacher("one", 1)], { estimate });
    const kl = reports.map(({ metrics }) => metrics["kl/one"]!);
    const [first, last] = [kl[0], kl.slice(-5).reduce((sum, value) => sum + value, 0) / 5];
    expect(first).toBeGreaterThan(0.5);
    expect(last).toBeLessThan(first * (estimate === "full" ? 0.15 : 0.6));
    expect(reports[0].metrics.loss).toBeCloseTo(first, 4);
    // Sampled, judged, trained: all is in the bill.
    const { generated, scored, trained, flops } = reports[0];
    expect(generated).toBeGreaterThan(0);
    expect(scored).toBe(trained);
    expect(flops).toBeGreaterThan(0);
  },
  60_000,
);

it("a teacher with a task judges its problems alone, and one without judges all, by their weights", async () => {
  const own = teacher("own", 1, { task: larger, weight: 2 });
  const general = teacher("general", 3, { weight: 0.5 });
  expect(
    domainsOf([own], { name: "countdown", task: countdown }).map(({ name, judges }) => [name, judges]),
  ).toEqual([["own", [own]]]);
  expect(domainsOf([own, general], { name: "countdown", task: countdown })).toEqual([
    { name: "own", task: larger, judges: [own, general] },
    { name: "countdown", task: countdown, judges: [general] },
  ]);
  const { reports } = await train([own, general], { steps: 1, problemsPerStep: 6 });
  const { metrics, groups } = reports[0];
  expect(metrics["pass@1/own"]).toBe(0);
  expect(metrics["pass@1/countdown"]).toBe(0);
  // Six problems of each task, of which the first two are shown.
  expect(groups.map(({ prompt }) => prompt.split(",").length)).toEqual([3, 3]);
  const [first, second] = [metrics["kl/own"]!, metrics["kl/general"]!];
  expect(metrics.loss).toBeGreaterThan(0.5 * second);
  expect(metrics.loss).toBeLessThan(2 * first + 0.5 * second);
});

it("the loss of several judges is the sum of their divergences by weight", async () => {
  const judges = [teacher("a", 1, { weight: 2 }), teacher("b", 3, { weight: 0.5 })];
  for (const estimate of ["full", "sample"] as const) {
    const { metrics } = (await train(judges, { steps: 1, estimate })).reports[0];
    expect(metrics.loss).toBeCloseTo(2 * metrics["kl/a"]! + 0.5 * metrics["kl/b"]!, 4);
    for (const judge of judges) {
      const name = `kl/${judge.name}`;
      const alone = (await train([judge], { steps: 1, estimate })).reports[0];
      expect(metrics[name]).toBeCloseTo(alone.metrics[name]!, 5);
    }
  }
});

it("a stage that is taken up again ends with the same weights", async () => {
  const teachers = [teacher("one", 1)];
  const whole = await train(teachers, { steps: 4 });
  const half = await train(teachers, { steps: 4 }, { steps: 2 });
  const rest = await train(teachers, { steps: 4 }, { steps: 2, resume: half.snapshot });
  expect(differing(rest.snapshot.tensors, whole.snapshot.tensors)).toEqual([]);
  const asked = whole.reports.map(({ groups }) => groups[0].problem);
  expect(new Set(asked).size).toBe(4);
  expect(rest.reports[1].metrics["kl/one"]).toBe(whole.reports[3].metrics["kl/one"]);
});

it("a teacher of another vocabulary is refused, and the field is named", async () => {
  const wide = { ...tinyConfig, vocabSize: 32 };
  const wider = teacher("wide", 1, {
    model: { ...model(1), config: wide, parameters: livelyParameters(wide, 1) },
  });
  await expect(train([wider], {})).rejects.toThrow(
    "the teacher wide has another vocabulary than the student: its vocabSize is 32, and the student's is 29",
  );
  const bytes = tokenizerFrom(bytesJson([]));
  await expect(
    train([teacher("bytes", 1, { model: { ...model(1), tokenizer: bytes } })], {}),
  ).rejects.toThrow(/token 0 of its tokenizer is .*, and the student's is ""/);
});
