/** Code as training data: from a recipe's words to the documents of its stage. */
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { documentSource } from "../../src/data/sources.ts";
import { checkData } from "../../src/recipe/check-data.ts";
import { parseRecipe } from "../../src/recipe/load.ts";
import { recipeShape } from "../../src/recipe/model.ts";
import type { PretrainStage, TrainingData } from "../../src/recipe/schema.ts";
import { CompactTokenizer } from "../../src/tokenizer/compact.ts";
import { FIM_TOKENS } from "../../src/tokenizer/infill.ts";
import { temporaryFolder } from "../checkpoint/temporary.ts";

const folder = temporaryFolder();
const files = {
  "app.ts": 'import { x } from "./lib/x.ts";\n',
  "lib/x.ts": "export const x = 1;\n",
  "alone.ts": "export {};\n",
  "node_modules/a/b.ts": "installed",
  ".hidden/c.ts": "hidden",
  "notes.txt": "no code",
};
for (const [path, text] of Object.entries(files)) {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), text);
}
const whole = [
  "// alone.ts\nexport {};\n",
  '// lib/x.ts\nexport const x = 1;\n// app.ts\nimport { x } from "./lib/x.ts";\n',
];

const recipe = (fim: string) =>
  parseRecipe(
    `
name: coder
seed: 1
model: { layers: 1, hiddenSize: 16, heads: 2, intermediateSize: 16, maxPositions: 64 }
tokenizer: { kind: bpe, vocabSize: 300, file: ${JSON.stringify(join(folder, "app.ts"))} }
task: { kind: countdown, numbers: [3] }
checkpoint: { everySteps: 1, keep: 1 }
stages:
  - name: base
    kind: pretrain
    data: { kind: repository, folder: ${JSON.stringify(folder)}, extensions: [ts]${fim} }
    steps: 1
    batch: 1
    sequence: 32
    optimizer: { kind: adamw, lr: 1.0e-3 }
    schedule: { kind: constant }
`,
    "coder.yaml",
  );

function documentsOf(fim: string) {
  const parsed = recipe(fim);
  const { tokenizer } = recipeShape(parsed);
  const { data } = parsed.stages[0] as { data: TrainingData };
  const source = documentSource(data, { tokenizer }, { seed: parsed.seed, stage: "pretrain" });
  return { tokenizer, texts: [0, 1, 2, 3].map((index) => tokenizer.decode(source(index).ids.slice(1, -1))) };
}

describe("a repository", () => {
  it("is its connected parts, each once an epoch", () => {
    const { texts } = documentsOf("");
    expect(texts.slice(0, 2).sort()).toEqual(whole);
    expect(texts.slice(2).sort()).toEqual(whole);
  });

  it("with fim, every epoch cuts its documents at other places, with tokens of the recipe's own vocabulary", () => {
    const { tokenizer, texts } = documentsOf(", fim: { rate: 1 }");
    expect(tokenizer.encode(FIM_TOKENS.hole, { specials: true })).toHaveLength(1);
    const restored = texts.map((text) => {
      const [, prefix, suffix, middle] = text.split(new RegExp(Object.values(FIM_TOKENS).join("|")));
      return prefix + middle + suffix;
    });
    expect(restored.slice(0, 2).sort()).toEqual(whole);
    expect(new Set(texts).size).toBe(4);
  });

  it("follows no link, out of the folder or round in it, and passes over what is no text (X8)", () => {
    const [root, secret] = [temporaryFolder(), temporaryFolder()];
    writeFileSync(join(secret, "key.ts"), "secret");
    writeFileSync(join(root, "a.ts"), "const a = 1;\n");
    writeFileSync(join(root, "video.ts"), Buffer.from([0x47, 0x40, 0, 0x10, 0, 0, 0xb0]));
    writeFileSync(join(root, "wide.ts"), Buffer.from("\uFEFFconst w = 2;\n", "utf16le"));
    for (const hidden of ["node_modules", ".git", "in/node_modules"]) {
      mkdirSync(join(root, hidden), { recursive: true });
      writeFileSync(join(root, hidden, "x.ts"), "not mine");
    }
    symlinkSync(secret, join(root, "out"));
    symlinkSync(join(secret, "key.ts"), join(root, "key.ts"));
    symlinkSync(root, join(root, "in", "round"));
    const data: TrainingData = { kind: "repository", folder: root, extensions: ["ts"] };
    const { tokenizer } = recipeShape(recipe(""));
    const source = documentSource(data, { tokenizer }, { seed: 1, stage: "pretrain" });
    const texts = [0, 1, 2, 3].map((index) => tokenizer.decode(source(index).ids.slice(1, -1)));
    const both = ["// a.ts\nconst a = 1;\n", "// wide.ts\nconst w = 2;\n"];
    expect(texts.slice(0, 2).sort()).toEqual(both);
    expect(texts.slice(2).sort()).toEqual(both);
    // And says so before the run.
    const whole = recipe("");
    const shape = recipeShape(whole);
    const stage = { ...whole.stages[0], data } as PretrainStage;
    expect(checkData(stage, whole, shape)).toEqual([
      {
        level: "warning",
        message: `Stage "base": files of ${root} that are no text and are left out: 1 of 3 (video.ts).`,
      },
      {
        level: "warning",
        message: expect.stringMatching(
          /^Stage "base": links in .* that are not followed: 3 \(.*key\.ts.*\)\.$/,
        ),
      },
    ]);
    expect(checkData({ ...stage, data: { ...data, folder } }, whole, shape)).toEqual([]);
  });

  it("says what is missing: the folder, its files, the tokens", () => {
    const data: TrainingData = { kind: "repository", folder, extensions: ["ts"], fim: { rate: 1, spm: 0 } };
    const tokenizer = new CompactTokenizer();
    expect(() =>
      documentSource(
        { ...data, folder: join(folder, "none"), fim: undefined },
        { tokenizer },
        { seed: 1, stage: "pretrain" },
      ),
    ).toThrow(/none: ENOENT.* Expected: a folder of files that end in .ts/);
    expect(() =>
      documentSource(
        { ...data, extensions: ["rs"], fim: undefined },
        { tokenizer },
        { seed: 1, stage: "pretrain" },
      ),
    ).toThrow(/there are none in it. Expected: files that end in .rs/);
    expect(() => documentSource(data, { tokenizer }, { seed: 1, stage: "pretrain" })).toThrow(
      /expected control tokens for fill-in-the-middle, .* found none. .* leave the hole out \(in a recipe: fim\)/,
    );
  });
});
