import fs from "node:fs";
import os from "node:os";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { pullFolder, rememberPulled } from "../../src/checkpoint/download.ts";
import { UserError } from "../../src/lib/errors.ts";
import { parseRecipe } from "../../src/recipe/load.ts";
import { initialModel, recipeShape } from "../../src/recipe/model.ts";
import { findModel, listRuns } from "../../src/run/find-model.ts";
import { tinyConfig } from "../train/tiny.ts";
import { tinyModelFolder } from "./tiny-run.ts";

function folderWith(...files: string[]): string {
  const root = fs.mkdtempSync(join(os.tmpdir(), "sputnik-find-"));
  for (const file of files) {
    fs.mkdirSync(join(root, file, ".."), { recursive: true });
    fs.writeFileSync(join(root, file), "{}");
  }
  return root;
}

test("a model folder, with or without the files of its run", () => {
  const bare = folderWith("config.json");
  expect(findModel(bare)).toEqual({ folder: bare, run: null, step: null });
  const described = folderWith("config.json", "run.json");
  expect(findModel(described)).toEqual({ folder: described, run: described, step: null });
});

test("a checkpoint's folder", () => {
  const root = folderWith(
    "checkpoints/step-000020/manifest.json",
    "checkpoints/step-000020/model/config.json",
  );
  const folder = join(root, "checkpoints", "step-000020");
  expect(findModel(folder)).toMatchObject({ folder: join(folder, "model"), step: 20 });
});

test("a run without a whole checkpoint says why", () => {
  const root = folderWith("x/run.json");
  expect(() => findModel("x", root)).toThrow("no checkpoint has been saved yet");
  fs.mkdirSync(join(root, "x", "checkpoints", "step-000010"), { recursive: true });
  expect(() => findModel("x", root)).toThrow("no readable manifest.json");
});

test("what there is not: the runs that there are", () => {
  const root = folderWith("one/run.json", "two/run.json", "three/notes.txt");
  expect(listRuns(root)).toEqual(["one", "two"]);
  try {
    findModel("four", root);
    expect.unreachable();
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    expect((error as UserError).remedy).toContain("one, two");
  }
});

test("a pulled model by its name, where nothing nearer has that name", () => {
  vi.stubEnv("SPUTNIK_CACHE", folderWith());
  const model = { name: "org/tiny", commit: "a".repeat(40), files: [] };
  const root = folderWith("org/tiny/run.json");
  expect(() => findModel("org/tiny", folderWith())).toThrow("no model called");
  fs.mkdirSync(pullFolder(model), { recursive: true });
  fs.cpSync(tinyModelFolder(), pullFolder(model), { recursive: true });
  rememberPulled(model, ["config.json"]);
  const found = { folder: pullFolder(model), run: null, step: null, name: "org/tiny" };
  expect(findModel("org/tiny", folderWith())).toEqual(found);
  expect(() => findModel("org/tiny", root)).toThrow("no checkpoint has been saved yet");
  // A recipe may begin from it.
  const recipe = parseRecipe(fs.readFileSync("recipes/smollm2-zero.yaml", "utf8"), "smollm2-zero.yaml");
  const { config } = initialModel({ ...recipe, model: { from: "org/tiny" } });
  expect(config).toEqual(tinyConfig);
  vi.unstubAllEnvs();
});

test("a name on the Hub that was not pulled: the command that does it", () => {
  vi.stubEnv("SPUTNIK_CACHE", folderWith());
  try {
    findModel("org/tiny", folderWith());
    expect.unreachable();
  } catch (error) {
    expect((error as UserError).remedy).toContain("sputnik pull org/tiny\n");
  }
  const recipe = parseRecipe(fs.readFileSync("recipes/smollm2-zero.yaml", "utf8"), "smollm2-zero.yaml");
  expect(() => recipeShape(recipe)).toThrow("npx sputnik pull HuggingFaceTB/SmolLM2-135M-Instruct. Else");
  vi.unstubAllEnvs();
});

test("what there is and holds no model: so it is said", () => {
  const root = folderWith("notes.txt");
  expect(() => findModel(join(root, "notes.txt"))).toThrow("holds no model");
  expect(() => findModel(root)).toThrow("holds no model");
});

test("a recipe whose model is not there says how to get it", () => {
  const recipe = parseRecipe(fs.readFileSync("recipes/smollm2-zero.yaml", "utf8"), "smollm2-zero.yaml");
  const elsewhere = { ...recipe, model: { from: join(folderWith(), "smollm2") } };
  expect(() => recipeShape(elsewhere)).toThrow(/nothing there.*sputnik pull OWNER\/NAME --to .*smollm2/);
  expect(() => initialModel(elsewhere)).toThrow(/sputnik pull/);
});
