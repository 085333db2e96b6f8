/** The recipes on a person's own rows run on what comes with the package, from any directory (U11). */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { checkSources } from "../../src/recipe/check.ts";
import { loadRecipe } from "../../src/recipe/load.ts";
import { resolvePaths } from "../../src/recipe/paths.ts";

const rows = (name: string) =>
  readFileSync(`recipes/data/${name}.jsonl`, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { question: string; answer: string });

describe.each([
  [
    "sft-lora",
    'Stage "teach" sees this first (the row holds 4 more); it trains what is between » and «:\n<bos>61, 7 make 54\n<think>\n»61 - 7 = 54, yes!\n</think>\n<answer>61 - 7</answer><eos>«',
  ],
  [
    "grpo-jsonl",
    'Stage "examples" sees this first (the row holds 3 more); it trains what is between » and «:\n<bos>30 + 32 - 6\n<think>\n»30 + 32 = 62, 62 - 6 = 56\n</think>\n<answer>56</answer><eos>«',
  ],
])("recipes/%s.yaml", (name, shown) => {
  it("finds its model and its files beside itself, and passes every check", () => {
    const file = `recipes/${name}.yaml`;
    const { recipe, notes } = resolvePaths(loadRecipe(file), file);
    expect(notes).toEqual([]);
    expect(checkSources(recipe).map(({ message }) => message)).toEqual([shown]);
  });
});

it("no test question is among those that are trained", () => {
  const tests = new Set(rows("chains-test").map(({ question }) => question));
  expect(tests.size).toBe(100);
  expect(rows("chains").filter(({ question }) => tests.has(question))).toEqual([]);
  expect(rows("chains").every(({ question, answer }) => evaluate(question) === Number(answer))).toBe(true);
});

/** "23 + 5 - 6", from left to right. */
function evaluate(chain: string): number {
  const [first, ...rest] = chain.split(/ (?=[+-])/);
  return rest.reduce((sum, part) => sum + Number(part.replace(" ", "")), Number(first));
}
