/** Stages that take their model from an earlier stage, from the recipe, or make one of their own. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { openModelFiles } from "../../src/checkpoint/model.ts";
import { isUserError } from "../../src/lib/errors.ts";
import { parseRecipe } from "../../src/recipe/load.ts";
import { initialModel, stageShapes } from "../../src/recipe/model.ts";
import { findModel } from "../../src/run/find-model.ts";
import type { RunFolder } from "../../src/run/folder.ts";
import { host } from "../../src/runtime/value.ts";
import { runAll, TINY_DATA } from "./tiny-run.ts";

const training = (name: string, more = "") => `
  - name: ${name}
    kind: pretrain
    ${more}
    ${TINY_DATA}
    batch: 1
    steps: 2
    optimizer: { kind: adamw, lr: 1.0e-3 }
    schedule: { kind: constant }`;

const STUDENT = "model: { layers: 1, hiddenSize: 8, heads: 2, intermediateSize: 8, maxPositions: 64 }";

const text = (stages: string): string => `
name: graph
seed: 1
model: { layers: 1, hiddenSize: 16, heads: 2, intermediateSize: 16, maxPositions: 64 }
tokenizer: { kind: compact }
task: { kind: countdown, numbers: [2] }
checkpoint: { everySteps: 1, keep: 1 }
stages:${stages}
`;

const STAGES = [
  training("one"),
  training("two", "from: one"),
  training("again", "from: start"),
  training("student", STUDENT),
  training("last"),
].join("");

const weights = (path: string): Map<string, Float32Array> =>
  new Map([...openModelFiles(path).parameters].map(([name, { data }]) => [name, data as Float32Array]));

let whole: RunFolder["paths"];
beforeAll(async () => {
  whole = await runAll(text(STAGES));
}, 60_000);

test("each training stage leaves a model that can be opened, of its own shape", () => {
  const sizes = ["one", "two", "again", "student", "last"].map((name) => {
    const { folder } = findModel(join(whole.models, name));
    return openModelFiles(folder).config.hiddenSize;
  });
  expect(sizes).toEqual([16, 16, 16, 8, 8]);
  expect(stageShapes(parseRecipe(text(STAGES), "r.yaml")).map(({ config }) => config.hiddenSize)).toEqual(
    sizes,
  );
});

test("a stage that takes the recipe's model begins with its weights, and one that takes a stage's with those", async () => {
  // One step of a vanishing learning rate shows where the weights came from.
  const still = (name: string, more: string) =>
    training(name, more).replace("lr: 1.0e-3", "lr: 1.0e-30").replace("steps: 2", "steps: 1");
  const paths = await runAll(
    text([training("one"), still("fresh", "from: start"), still("two", "from: one")].join("")),
  );
  const at = (name: string) => weights(join(paths.models, name));
  const recipe = parseRecipe(text(STAGES), "r.yaml");
  const start = new Map(
    [...initialModel(recipe).parameters].map(([name, value]) => [name, host(value).data]),
  );
  expect(at("fresh")).toEqual(start);
  expect(at("two")).toEqual(at("one"));
  expect(at("one")).not.toEqual(start);
});

test("a run that is stopped within stages and between them makes the same models", async () => {
  const pieces = await runAll(text(STAGES), [1, 1, 3, 2]);
  for (const name of ["one", "two", "again", "student", "last"])
    expect(weights(join(pieces.models, name))).toEqual(weights(join(whole.models, name)));
}, 60_000);

test("a run with one training stage keeps no second copy of its model", async () => {
  const paths = await runAll(text(training("one")));
  expect(existsSync(paths.models)).toBe(false);
});

test.each([
  [
    training("one", "from: later"),
    'No training stage before this one is called "later". Choose one of "start".',
  ],
  [training("start"), '"start" means the recipe\'s own model'],
  [
    training("one") + training("two", `from: one\n    ${STUDENT}`),
    "A stage with a model of its own takes none from another stage",
  ],
  [training("one", STUDENT.replace("heads: 2", "heads: 3")), '"heads" is 3'],
  [
    training("one", STUDENT.replace("maxPositions: 64", "maxPositions: 32")),
    "Rows of 48 tokens do not fit the model's 32 positions",
  ],
])("a recipe whose stages do not fit together is refused: %#", (stages, message) => {
  try {
    parseRecipe(text(stages), "r.yaml");
  } catch (error) {
    expect(isUserError(error, "recipe")).toBe(true);
    expect(String(error)).toContain(message);
    return;
  }
  throw new Error("accepted");
});
