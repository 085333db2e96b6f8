/** Paths in a recipe are relative to the recipe; else, as they used to be, to the directory of the command. */
import fs from "node:fs";
import { join, relative } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseRecipe } from "../../src/recipe/load.ts";
import { resolvePaths } from "../../src/recipe/paths.ts";
import type { Recipe, TaskOptions } from "../../src/recipe/schema.ts";
import { resumeOrCreate } from "../../src/run/folder.ts";
import { readRun } from "../../src/run/reader.ts";
import { temporaryFolder } from "../checkpoint/temporary.ts";
import { tinyModelFolder } from "../run/tiny-run.ts";

const stages = `
  - { name: a, kind: sft, data: { kind: jsonl, file: sft.jsonl }, sequence: 16, batch: 1, steps: 1, optimizer: { kind: adamw, lr: 1.0e-3 }, schedule: { kind: constant } }
  - { name: b, kind: pretrain, data: { kind: repository, folder: src, extensions: [ts] }, sequence: 16, batch: 1, steps: 1, optimizer: { kind: adamw, lr: 1.0e-3 }, schedule: { kind: constant } }
  - { name: e, kind: evaluate, label: e, problems: 1, samples: 1, temperature: 0, task: { kind: jsonl, file: rows.jsonl } }
  - { name: f, kind: evaluate, label: f, problems: 1, samples: 1, temperature: 0 }
`;
const recipe = (model: string, tokenizer = ""): Recipe =>
  parseRecipe(
    `
name: r
seed: 1
model: ${model}
${tokenizer}
task: { kind: jsonl, file: rows.jsonl, test: test.jsonl }
checkpoint: { everySteps: 1, keep: 1 }
stages:${stages}`,
    "r.yaml",
  );
const shape = "{ layers: 1, hiddenSize: 16, heads: 2, intermediateSize: 16, maxPositions: 64 }";

let here: string;
let before: string;
beforeEach(() => {
  before = process.cwd();
  here = temporaryFolder();
  process.chdir(here);
  fs.mkdirSync("recipes/src", { recursive: true });
});
afterEach(() => process.chdir(before));

const put = (...paths: string[]): void => {
  for (const path of paths) fs.writeFileSync(path, "x");
};
const taskFile = (task: TaskOptions): string => (task as { file: string }).file;

describe("a path is looked for", () => {
  it("beside the recipe, wherever the command runs", () => {
    put(...["sft.jsonl", "rows.jsonl", "test.jsonl", "words.txt"].map((name) => join("recipes", name)));
    // The same names here are others'.
    put("sft.jsonl", "rows.jsonl");
    fs.cpSync(tinyModelFolder(), "recipes/model", { recursive: true });
    const own = recipe(shape, "tokenizer: { kind: bpe, vocabSize: 300, file: words.txt }");
    const { recipe: found, notes } = resolvePaths(own, "recipes/r.yaml");
    expect(notes).toEqual([]);
    expect(found.task).toMatchObject({ file: "recipes/rows.jsonl", test: "recipes/test.jsonl" });
    expect(found.tokenizer).toMatchObject({ file: "recipes/words.txt" });
    expect(found.stages).toMatchObject([
      { data: { file: "recipes/sft.jsonl" } },
      { data: { folder: "recipes/src" } },
      { task: { file: "recipes/rows.jsonl" } },
      {},
    ]);
    expect(resolvePaths(recipe("{ from: model, adapter: src }"), "recipes/r.yaml").recipe.model).toEqual({
      from: "recipes/model",
      adapter: "recipes/src",
    });
    // What the recipe says is not changed: it is what a run is known by.
    expect(taskFile(own.task)).toBe("rows.jsonl");
  });

  it("else here, and that is said; the name of a pulled model is no path", () => {
    put("sft.jsonl", "rows.jsonl", join("recipes", "test.jsonl"));
    const { recipe: found, notes } = resolvePaths(recipe("{ from: org/name }"), "recipes/r.yaml");
    expect(taskFile(found.task)).toBe("rows.jsonl");
    expect(found.model).toEqual({ from: "org/name" });
    expect(notes.map(({ message }) => message)).toEqual([
      "rows.jsonl is not in the recipe's folder (recipes); the one in this directory is used.",
      "sft.jsonl is not in the recipe's folder (recipes); the one in this directory is used.",
    ]);
    // A recipe in this directory has nothing to say.
    put("test.jsonl");
    fs.mkdirSync("src");
    expect(resolvePaths(recipe(shape, "tokenizer: { kind: compact }"), "r.yaml").notes).toEqual([]);
  });

  it("and in neither place it is named before the run", () => {
    put("rows.jsonl", "test.jsonl");
    expect(() => resolvePaths(recipe("{ from: org/name }"), "recipes/r.yaml")).toThrow(
      /^recipes\/sft\.jsonl: there is no such file\. Expected: a path relative to the recipe's folder/,
    );
  });
});

it("a run knows where its recipe was, so that its task is found from elsewhere", () => {
  put(...["rows.jsonl", "test.jsonl", "sft.jsonl"].map((name) => join("recipes", name)));
  const own = recipe("{ from: org/name }");
  const run = resumeOrCreate(own, { root: "runs", recipeFile: "recipes/r.yaml" });
  run.close();
  const runFolder = join(fs.realpathSync(here), "runs", "r");
  process.chdir(before);
  const { task } = readRun(runFolder).recipe;
  expect(relative(fs.realpathSync(here), taskFile(task))).toBe("recipes/rows.jsonl");
});
