/** The factors of DeepSeek-V3's training, from a recipe's words to a stage's options, and where they mean nothing. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { checkSources } from "../../src/recipe/check.ts";
import { parseRecipe } from "../../src/recipe/load.ts";
import type { PretrainStage, SftStage } from "../../src/recipe/schema.ts";
import { TINY_DATA, tinyModelFolder } from "../run/tiny-run.ts";

const shipped = readFileSync("recipes/tiny-v3-zero.yaml", "utf8");
const ALL = "v3: { biasRate: 0.002, balanceFactor: 0.001, mtpFactor: 0.1 }";

/** The shipped V3 recipe with an MTP module, and lines in its pretraining. */
const v3Recipe = (lines: string, mtpLayers = 1): string =>
  shipped
    .replace("  activeExperts: 2\n", `  activeExperts: 2\n  mtpLayers: ${mtpLayers}\n`)
    .replace("    kind: pretrain\n", `    kind: pretrain\n    ${lines}\n`);

const recipeOf = (text: string) => parseRecipe(text, "r.yaml");
const trained = (text: string) => {
  const [stage] = recipeOf(text).stages as (PretrainStage | SftStage)[];
  return stage.v3;
};

test("reach the stage as they are written, and what is not written is left to the paper", () => {
  expect(trained(v3Recipe(ALL))).toEqual({ biasRate: 0.002, balanceFactor: 0.001, mtpFactor: 0.1 });
  expect(trained(v3Recipe("v3: { biasRate: 0 }"))).toEqual({ biasRate: 0 });
  expect(trained(shipped)).toBeUndefined();
});

describe("refused", () => {
  const cases: [string, string, RegExp][] = [
    [
      "misspelt",
      v3Recipe("v3: { balanceFator: 0 }"),
      /r\.yaml:\d+:\d+: Unknown key "balanceFator".*balanceFactor/,
    ],
    ["below 0", v3Recipe("v3: { biasRate: -1 }"), /"biasRate" is -1/],
    [
      "without a module to weigh",
      v3Recipe("v3: { mtpFactor: 0.1 }", 0),
      /the model has none\. Leave mtpFactor out/,
    ],
    [
      "beside an adapter",
      v3Recipe("v3: { biasRate: 0.1 }\n    lora: { rank: 2, alpha: 4 }").replace(
        "kind: pretrain",
        "kind: sft",
      ),
      /biases are frozen.*Leave biasRate out/,
    ],
    ["in RL", shipped.replace("kind: grpo\n", `kind: grpo\n    ${ALL}\n`), /Unknown key "v3" in stage/],
  ];
  test.each(cases)("%s", (_, text, pattern) => {
    expect(() => recipeOf(text)).toThrow(pattern);
  });

  test("with a dense shape", () => {
    const dense = readFileSync("recipes/tiny-r1-zero.yaml", "utf8");
    const text = dense.replace("    kind: pretrain\n", `    kind: pretrain\n    ${ALL}\n`);
    expect(() => recipeOf(text)).toThrow(/r\.yaml:\d+:\d+: .*the model is of another design\. Leave v3 out/);
  });

  test("with a dense model from a folder, before the first step", () => {
    const recipe = recipeOf(`
name: tuned
seed: 1
model: { from: ${JSON.stringify(tinyModelFolder())} }
task: { kind: countdown, numbers: [2] }
checkpoint: { everySteps: 1, keep: 1 }
stages:
  - name: tune
    kind: sft
    ${TINY_DATA}
    batch: 1
    steps: 1
    ${ALL}
    optimizer: { kind: adamw, lr: 1.0e-3 }
    schedule: { kind: constant }
`);
    expect(() => checkSources(recipe)).toThrow(/Stage "tune", v3: .*another design/);
  });
});
