/** recipes/schema.json and recipes/README.md are what the code says; the schema accepts and refuses what the code does. */
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { recipeReference } from "../../scripts/recipe-reference.ts";
import { recipeJsonSchema } from "../../src/recipe/json-schema.ts";

const file = JSON.parse(readFileSync("recipes/schema.json", "utf8"));
// zod reads the schema back: another way than the one that wrote it.
const validator = z.fromJSONSchema(file);
const accepts = (value: unknown): boolean => validator.safeParse(value).success;
const recipes = [
  ...readdirSync("recipes")
    .filter((name) => name.endsWith(".yaml"))
    .map((name) => `recipes/${name}`),
  "test/fixtures/recipe.yaml",
];

it("the page of every key is current, as npm run docs:recipes writes it", () => {
  expect(readFileSync("recipes/README.md", "utf8")).toBe(recipeReference());
});

it("the file is current, as npm run docs:recipes writes it", () => {
  expect(file).toEqual(recipeJsonSchema());
});

describe.each(recipes)("%s", (path) => {
  const text = readFileSync(path, "utf8");
  const recipe = parse(text, { merge: true });

  it("is accepted, and refused with a key misspelt, missing or of another type", () => {
    expect(accepts(recipe)).toBe(true);
    expect(accepts({ ...recipe, "x-part": { any: 1 } })).toBe(true);
    expect(accepts({ ...recipe, nmae: 1 })).toBe(false);
    expect(accepts({ ...recipe, seed: "one" })).toBe(false);
    expect(accepts({ ...recipe, stages: [] })).toBe(false);
    for (const key of ["name", "seed", "model", "task", "stages"]) {
      const { [key]: _, ...rest } = recipe;
      expect(accepts(rest), key).toBe(false);
    }
    recipe.stages.forEach((stage: object, index: number) => {
      const changed = { ...stage, sequense: 16 };
      expect(accepts({ ...recipe, stages: recipe.stages.with(index, changed) })).toBe(false);
    });
  });
});

it("a preset takes the place of the objective's keys, and one of the two is needed", () => {
  const recipe = parse(readFileSync("test/fixtures/recipe.yaml", "utf8"));
  const index = recipe.stages.findIndex(({ kind }: { kind: string }) => kind === "grpo");
  const { advantage, ratio, aggregation, clip, kl, ...bare } = recipe.stages[index];
  const withStage = (stage: object) => ({ ...recipe, stages: recipe.stages.with(index, stage) });
  expect([advantage, ratio, aggregation, clip, kl].every((value) => value !== undefined)).toBe(true);
  expect(accepts(withStage({ ...bare, preset: "dapo" }))).toBe(true);
  expect(accepts(withStage({ ...bare, preset: "dapo", clip: { high: 0.3 } }))).toBe(true);
  expect(accepts(withStage({ ...bare, preset: "dap" }))).toBe(false);
  expect(accepts(withStage(bare))).toBe(false);
});

it("every shipped recipe names it for editors", () => {
  for (const path of recipes.slice(0, -1))
    expect(readFileSync(path, "utf8"), path).toMatch(/^# yaml-language-server: \$schema=schema\.json\n/);
});
