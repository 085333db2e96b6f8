/** Specialists joined by distillation and by an average of weights: whole runs, interrupted ones, and what is refused. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openModelFiles } from "../../src/checkpoint/model.ts";
import type { Bill } from "../../src/ledger/bill.ts";
import { UserError } from "../../src/lib/errors.ts";
import { costOf, planRecipe } from "../../src/plan/plan.ts";
import { checkSources } from "../../src/recipe/check.ts";
import { parseRecipe } from "../../src/recipe/load.ts";
import { findModel } from "../../src/run/find-model.ts";
import type { MetricsLine, RunFolder } from "../../src/run/folder.ts";
import { runAll, TINY_DATA, tinyModelFolder } from "./tiny-run.ts";

const training = (name: string, more = "") => `
  - name: ${name}
    kind: pretrain
    ${more}
    ${TINY_DATA}
    batch: 1
    steps: 2
    optimizer: { kind: adamw, lr: 1.0e-2 }
    schedule: { kind: constant }`;

const distilled = (name: string, teachers: string, more = "") => `
  - name: ${name}
    kind: distill
    teachers: ${teachers}
    ${more}
    steps: 2
    problemsPerStep: 4
    maxNewTokens: 6
    temperature: 1
    optimizer: { kind: adamw, lr: 1.0e-3 }
    schedule: { kind: constant }`;

const merged = (name: string, models: string) => `
  - { name: ${name}, kind: merge, models: ${models} }`;

const text = (stages: string): string => `
name: joined
seed: 1
model: { layers: 1, hiddenSize: 16, heads: 2, intermediateSize: 16, maxPositions: 64 }
tokenizer: { kind: compact }
task: { kind: countdown, numbers: [2] }
checkpoint: { everySteps: 1, keep: 1 }
stages:${stages}
`;

const THREE = "{ kind: countdown, numbers: [3] }";
const SMALL = "{ layers: 1, hiddenSize: 8, heads: 2, intermediateSize: 8, maxPositions: 64 }";

const STAGES = [
  training("base"),
  training("two", "from: base"),
  training("three", "from: base"),
  distilled("student", `[{ stage: two }, { stage: three, task: ${THREE}, weight: 2 }]`, "from: base"),
  distilled("smaller", "[{ stage: two }]", `estimate: sample\n    model: ${SMALL}`),
  merged("average", "[{ stage: base }, { stage: two, weight: 2 }, { stage: three }]"),
  `
  - { name: end, kind: evaluate, label: end, from: average, problems: 4, samples: 1, temperature: 1, maxNewTokens: 8 }`,
].join("");

const weights = (paths: RunFolder["paths"], stage: string): Map<string, Float32Array> => {
  const { folder } = findModel(join(paths.models, stage));
  return new Map(
    [...openModelFiles(folder).parameters].map(([name, { data }]) => [name, data as Float32Array]),
  );
};

test("students and averages are models of their own, the same ones after interruptions, and all of it is billed", async () => {
  const whole = await runAll(text(STAGES));
  const [base, two, three, average] = ["base", "two", "three", "average"].map((name) => weights(whole, name));
  for (const [name, values] of average)
    values.forEach((value, i) => {
      const mean = (base.get(name)![i] + 2 * two.get(name)![i] + three.get(name)![i]) / 4;
      expect(value).toBeCloseTo(mean, 6);
    });
  expect(weights(whole, "student")).not.toEqual(base);
  expect(weights(whole, "smaller").get("model.norm.weight")).toHaveLength(8);

  const lines = readFileSync(whole.metrics, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as MetricsLine);
  const of = (stage: string) => lines.filter((line) => line.stage === stage);
  expect(Object.keys(of("student")[0].metrics)).toEqual(
    expect.arrayContaining(["kl/two", "kl/three", "pass@1/three", "pass@1/countdown"]),
  );
  expect(of("average").map(({ metrics, totalSteps }) => [metrics.models, totalSteps])).toEqual([
    [2, 2],
    [3, 2],
  ]);
  const bill = JSON.parse(readFileSync(whole.bill, "utf8")) as Bill;
  for (const name of ["student", "smaller", "average"])
    expect(bill.lines.find(({ stage }) => stage === name)!.flops).toBeGreaterThan(0);

  // Within the distillations, and within the average.
  const pieces = await runAll(text(STAGES), [7, 2, 2]);
  for (const name of ["student", "smaller", "average"])
    expect(weights(pieces, name)).toEqual(weights(whole, name));
}, 120_000);

test("a dry run counts what each judge and each task takes", () => {
  const { stages } = planRecipe(parseRecipe(text(STAGES), "r.yaml"), { answerTokens: 4 });
  const named = (name: string) => stages.find((stage) => stage.name === name)!.programs;
  expect(named("student").map(({ name }) => name)).toEqual([
    // three's own problems, judged by both, then the recipe's, judged by two alone.
    ...["prefill", "decode", "teacher", "teacher", "gradients"],
    ...["prefill", "decode", "teacher", "gradients", "optimizer"],
  ]);
  const average = named("average");
  const speeds = { flops: 1, bytes: 1, nodes: 1 };
  const { persistentBytes, flopsPerRun } = costOf(average[0], speeds);
  expect(persistentBytes).toBeGreaterThan(0);
  expect(flopsPerRun).toBeGreaterThan(0);
});

test.each([
  [
    training("one") + distilled("d", "[{ stage: later }]"),
    'No training stage before this one is called "later"',
  ],
  [training("one") + distilled("d", "[{ weight: 1 }]"), "give one of stage and model"],
  [
    training("one") + distilled("d", `[{ stage: one }, { stage: one, task: ${THREE} }]`),
    'Two teachers are called "one"',
  ],
  [
    training("one") + distilled("d", `[{ stage: one, task: ${THREE} }]`, `task: ${THREE}`),
    "Every teacher has a task of its own",
  ],
  [training("one") + merged("m", "[{ stage: one }]"), "An average needs at least two models"],
  [
    training("one") + merged("m", "[{ stage: one }, { stage: two }]"),
    'No training stage before this one is called "two"',
  ],
])("a recipe whose models cannot be joined is refused: %#", (stages, message) => {
  expect(refusal(() => parseRecipe(text(stages), "r.yaml"))).toContain(message);
});

function refusal(make: () => void): string {
  try {
    make();
  } catch (error) {
    if (error instanceof UserError) return String(error);
    throw error;
  }
  throw new Error("accepted");
}

test.each([
  [
    training("one") + training("two", `model: ${SMALL}`) + merged("m", "[{ stage: one }, { stage: two }]"),
    'The model of stage "two" cannot be averaged with the first one: its tensor model.embed_tokens.weight is [29,8], and the first model\'s is [29,16]',
  ],
  [
    training("one") +
      training("two", `model: ${SMALL.replaceAll("8", "16").replace("heads: 2", "heads: 4")}`) +
      merged("m", "[{ stage: one }, { stage: two }]"),
    "its heads is 4, and the first model's is 2",
  ],
])("models of different shapes are not averaged, and the error names what differs: %#", (stages, message) => {
  expect(refusal(() => checkSources(parseRecipe(text(stages), "r.yaml")))).toContain(message);
});

test("a teacher from a folder is read, and one of another vocabulary is refused before the run", () => {
  const from = tinyModelFolder();
  const recipe = text(training("one") + distilled("d", `[{ model: { from: ${from} } }]`));
  expect(checkSources(parseRecipe(recipe, "r.yaml"))).toBeDefined();
  const bytes = recipe.replace("kind: compact", "kind: bytes");
  expect(refusal(() => checkSources(parseRecipe(bytes, "r.yaml")))).toMatch(
    /The teacher model has another vocabulary than the student: its vocabSize is 29, and the student's is \d+/,
  );
});
