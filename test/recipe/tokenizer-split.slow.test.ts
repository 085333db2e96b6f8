/** A run's own tokenizer with a split rule that llama.cpp knows: its model becomes a GGUF file with equal ids (C12). */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Tokenizer as Official } from "tokenizers";
import { describe, expect, it } from "vitest";
import { saveModel } from "../../src/checkpoint/folder.ts";
import { exportGguf } from "../../src/checkpoint/gguf/model.ts";
import { ruleName, SPLIT_RULES, TRAINED_RULES } from "../../src/checkpoint/gguf/splits.ts";
import { readShape } from "../../src/checkpoint/model.ts";
import { allParameters } from "../../src/models/architectures.ts";
import { initialise } from "../../src/models/layers.ts";
import { parseRecipe } from "../../src/recipe/load.ts";
import { recipeShape } from "../../src/recipe/model.ts";
import { beginIds } from "../../src/tokenizer/around.ts";
import { trainingRule } from "../../src/tokenizer/bpe.ts";
import { trainBpe } from "../../src/tokenizer/train.ts";
import { temporaryFolder } from "../checkpoint/temporary.ts";
import { asParameters } from "../support/parameters.ts";

const folder = temporaryFolder();
const words = join(folder, "words.txt");
const TEXT = "The quick brown fox isn't 12345 quick, the quick fox: café 你好 naïve 2024!\n\n  ½ x²\n".repeat(
  4,
);
writeFileSync(words, TEXT);
const shapeOf = (split: string) =>
  recipeShape(
    parseRecipe(
      `
name: own
seed: 1
model: { layers: 1, hiddenSize: 16, heads: 2, intermediateSize: 16, maxPositions: 64 }
tokenizer: { kind: bpe, vocabSize: 340, file: ${JSON.stringify(words)}${split} }
task: { kind: countdown, numbers: [3] }
checkpoint: { everySteps: 1, keep: 1 }
stages:
  - name: base
    kind: pretrain
    data: { kind: text, file: ${JSON.stringify(words)} }
    steps: 1
    batch: 1
    sequence: 32
    optimizer: { kind: adamw, lr: 1.0e-3 }
    schedule: { kind: constant }
`,
      "own.yaml",
    ),
  );
const save = (name: string, shape: ReturnType<typeof shapeOf>): string => {
  const parameters = asParameters(initialise(allParameters(shape.config), 1));
  saveModel(join(folder, name), { ...shape, parameters });
  return join(folder, name);
};

describe.each(TRAINED_RULES)("%s", (name) => {
  const shape = shapeOf(`, split: ${name}`);

  it("has merges, and is known by its name", async () => {
    const json = shape.tokenizer.toJSON() as Parameters<typeof ruleName>[0] & { model: { merges: string[] } };
    expect(json.model.merges.length).toBeGreaterThan(40);
    // Rules that differ in nothing but their name, and the normalizer, are told apart by both.
    expect(SPLIT_RULES[ruleName(json) as string]).toEqual(SPLIT_RULES[name]);
    const official = Official.fromString(JSON.stringify(json));
    for (const text of [TEXT, "quick² Quick's 12 345\r\n\r\n\tnaïve", "ﬁ e\u0301 😀"])
      expect(shape.tokenizer.encode(text)).toEqual((await official.encode(text)).getIds());
  });

  it("becomes a GGUF file that begins and cuts texts alike", () => {
    const from = save(name, shape);
    exportGguf(from, `${from}.gguf`);
    const { tokenizer } = readShape(`${from}.gguf`);
    expect(tokenizer.encode(TEXT)).toEqual(shape.tokenizer.encode(TEXT));
    expect(beginIds(tokenizer)).toEqual([1]);
    expect(beginIds(readShape(from).tokenizer)).toEqual([1]);
  });
});

it("no merge crosses a cut: gpt-2's rule joins digits, smollm's none", () => {
  const longest = (name: string): number => {
    const json = trainBpe(["1234 1234 1234"], { vocabSize: 300, rule: trainingRule(SPLIT_RULES[name]) });
    const { vocab } = json.model as { vocab: Record<string, number> };
    return Math.max(...Object.keys(vocab).map((word) => (/^\d+$/.test(word) ? word.length : 0)));
  };
  expect([longest("gpt-2"), longest("smollm"), longest("llama-bpe")]).toEqual([4, 1, 3]);
});

it("without a rule the refusal names the key, and another name than llama.cpp's is none", () => {
  const from = save("without", shapeOf(""));
  expect(() => exportGguf(from, `${from}.gguf`)).toThrow(
    expect.objectContaining({ remedy: expect.stringContaining("tokenizer.split") }),
  );
  expect(() => shapeOf(", split: mine")).toThrow(/split/);
});

it("a tokenizer that puts EOS behind a text says so in a GGUF file", () => {
  const shape = shapeOf(", split: smollm");
  const parameters = asParameters(initialise(allParameters(shape.config), 1));
  const tokenizerConfig = { add_bos_token: false, add_eos_token: true };
  saveModel(join(folder, "eos"), { ...shape, parameters, tokenizerConfig });
  exportGguf(join(folder, "eos"), join(folder, "eos.gguf"));
  expect(readShape(join(folder, "eos")).tokenizer.around).toEqual({ before: [], after: [2] });
  expect(readShape(join(folder, "eos.gguf")).tokenizer.around).toEqual({ before: [], after: [2] });
});
