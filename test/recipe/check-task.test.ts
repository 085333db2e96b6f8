/** A stage's problems before the run: every split, and room for every prompt and its answer (D7, U4). */
import fs from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { ModelConfig } from "../../src/models/architectures.ts";
import { checkSources } from "../../src/recipe/check.ts";
import { parseRecipe } from "../../src/recipe/load.ts";
import { largestCompletion } from "../../src/recipe/resolve.ts";
import { temporaryFolder } from "../checkpoint/temporary.ts";
import { tinyModelFolder } from "../run/tiny-run.ts";
import { tinyConfig } from "../train/tiny.ts";

// 64 positions, compact vocabulary.
const model = tinyModelFolder();
const folder = temporaryFolder();

function rows(name: string, questions: readonly string[]): string {
  const path = join(folder, name);
  fs.writeFileSync(path, questions.map((question) => JSON.stringify({ question, answer: "7" })).join("\n"));
  return JSON.stringify(path);
}

const grpo = (limit: number): string =>
  `{ name: z, kind: grpo, steps: 3, problemsPerStep: 2, groupSize: 2, maxNewTokens: ${limit}, temperature: 1, rewards: { accuracy: 1, format: 0 }, preset: dr-grpo, optimizer: { kind: adamw, lr: 1.0e-5 }, schedule: { kind: constant } }`;
const exam = (fields: string): string =>
  `{ name: e, kind: evaluate, label: e, problems: 2, samples: 1, temperature: 0, ${fields} }`;

const check = (task: string, ...stages: string[]) => checkOf(`from: ${JSON.stringify(model)}`, task, stages);

function checkOf(source: string, task: string, stages: string[]) {
  const text = `name: r
seed: 1
model: { ${source} }
task: ${task}
checkpoint: { everySteps: 1, keep: 1 }
stages:
${stages.map((stage) => `  - ${stage}\n`).join("")}`;
  return checkSources(parseRecipe(text, "r.yaml"), { text, file: "r.yaml" });
}

const COUNTDOWN = "{ kind: countdown, numbers: [2] }";
const short = ["1 + 2", "2 + 2", "3 + 2", "4 + 2", "5 + 2", "6 + 2"];
const TRAIN_ONLY = "split: { validation: 0, test: 0 }";
// 15 digits and 14 plus signs, with BOS, "\n" and "<think>\n" 32 tokens: 32 of the 64 are left.
const LONG = Array.from({ length: 15 }, () => "1").join(" + ");

describe("answers and their prompts", () => {
  it("that do not fit the positions of a model from a folder are refused at the recipe's line (D7)", () => {
    // BOS, two numbers of two digits at most, their commas, " make ", two digits, "\n", "<think>\n".
    expect(() => check(COUNTDOWN, grpo(63))).toThrow(
      /^r\.yaml is not a valid recipe: 1 problem\.\nr\.yaml:7:\d+: Stage "z", maxNewTokens: Completions of 63 tokens and the longest prompt \(11 tokens\) do not fit the model's 64 positions\. Lower it: maxNewTokens can be at most 53\./,
    );
    expect(check(COUNTDOWN, grpo(53))).toEqual([]);
    expect(() => check(COUNTDOWN, exam("maxNewTokens: 63"))).toThrow(
      /r\.yaml:7:\d+: Stage "e", maxNewTokens/,
    );
    expect(check(COUNTDOWN, exam("maxNewTokens: 53"))).toEqual([]);
  });

  it("are measured by the positions that are used, of a model that claims a million", () => {
    const million = (stage: string) => {
      const text = `name: r\nseed: 1\nmodel: { layers: 1, hiddenSize: 8, heads: 2, intermediateSize: 8, maxPositions: 1010000 }\ntokenizer: { kind: compact }\ntask: ${COUNTDOWN}\ncheckpoint: { everySteps: 1, keep: 1 }\nstages: [${stage}]\n`;
      return checkSources(parseRecipe(text, "r.yaml"));
    };
    // 2^18 are used; three quarters of them are the limit of an exam that states none.
    expect(largestCompletion({ config: { ...tinyConfig, maxPositions: 1_010_000 } })).toBe(196_608);
    expect(million(exam("topK: 1"))).toEqual([]);
    expect(() => million(exam("maxNewTokens: 262143"))).toThrow(
      /the longest prompt \(11 tokens\) do not fit the model's 262144 positions\. Lower it/,
    );
  });

  it("that a single row spoils are refused with its file and line (D7)", () => {
    const file = rows("long.jsonl", [...short, LONG]);
    const task = `{ kind: jsonl, file: ${file}, ${TRAIN_ONLY} }`;
    expect(() => check(task, grpo(33))).toThrow(
      /long\.jsonl, line 7: its prompt takes 32 tokens, and stage "z" wants 33 more .* has 64 positions\. .*maxNewTokens can be at most 32/,
    );
    expect(check(task, grpo(32))).toEqual([]);
  });

  it("of an evaluation are checked in the file that it takes", () => {
    const test = rows("test.jsonl", ["1 + 1", LONG]);
    const task = `{ kind: jsonl, file: ${rows("train.jsonl", short)}, test: ${test} }`;
    expect(() => check(task, exam("maxNewTokens: 50"))).toThrow(/test\.jsonl, line 2: its prompt takes/);
    expect(check(task, exam("maxNewTokens: 20"))).toEqual([]);
  });

  it("in characters that the vocabulary lacks, or for a template that the model lacks, are refused", () => {
    const words = `{ kind: jsonl, file: ${rows("words.jsonl", [...short, "what is 2 + 5?"])}, ${TRAIN_ONLY} }`;
    expect(() => check(words, grpo(20))).toThrow(/words\.jsonl, line 7: the vocabulary has no token for "w"/);
    const chat = `{ kind: jsonl, file: ${rows("chat.jsonl", short)}, ${TRAIN_ONLY}, template: chat }`;
    expect(() => check(chat, grpo(20))).toThrow(/Stage "z", task: .*the model has no chat template/);
    expect(() => check("{ kind: word-problems }", grpo(20))).toThrow(
      /Stage "z", task: the vocabulary has no token/,
    );
  });
});

describe("a model", () => {
  /** A copy of it with other fields in its config. */
  function copied(name: string, fields: object): string {
    const copy = join(folder, name);
    fs.cpSync(model, copy, { recursive: true });
    const file = join(copy, "config.json");
    const config = JSON.parse(fs.readFileSync(file, "utf8")) as object;
    fs.writeFileSync(file, JSON.stringify({ ...config, ...fields }));
    return copy;
  }
  const from = (path: string, more = ""): string => `from: ${JSON.stringify(path)}${more}`;

  it("that claims more positions than are computed is asked for answers that fit (D7, X4)", () => {
    const source = from(copied("claims", { max_position_embeddings: 1_010_000 }));
    expect(checkOf(source, COUNTDOWN, [grpo(262_000)])).toEqual([]);
    expect(() => checkOf(source, COUNTDOWN, [grpo(262_140)])).toThrow(
      /do not fit the model's 262144 positions/,
    );
    // Three quarters of 2^18, where a recipe says nothing.
    expect(checkOf(source, COUNTDOWN, [exam("split: test")])).toEqual([]);
    expect(largestCompletion({ config: { maxPositions: 1_010_000 } as ModelConfig })).toBe(196_608);
  });

  it("whose weights are not those of its config is refused before the run", () => {
    expect(() => checkOf(from(copied("deeper", { num_hidden_layers: 9 })), COUNTDOWN, [grpo(20)])).toThrow(
      /model\.layers\.\d.*expected it to be stored/,
    );
  });

  it("with further weights beside it says which are read (C9)", () => {
    const copy = copied("strays", {});
    fs.writeFileSync(join(copy, "model-00001-of-00002.safetensors"), "");
    expect(checkOf(from(copy), COUNTDOWN, [grpo(20)])).toEqual([
      {
        level: "warning",
        message: `${copy}: read: model.safetensors; not read, though it is there: model-00001-of-00002.safetensors.`,
      },
    ]);
  });

  it("with an adapter that cannot be merged is refused before the run (C5)", () => {
    const adapter = join(folder, "adapter");
    fs.mkdirSync(adapter);
    fs.writeFileSync(join(adapter, "adapter_model.safetensors"), "");
    const config = { peft_type: "LORA", init_lora_weights: "pissa_niter_16" };
    fs.writeFileSync(join(adapter, "adapter_config.json"), JSON.stringify(config));
    const source = from(model, `, adapter: ${JSON.stringify(adapter)}`);
    expect(() => checkOf(source, COUNTDOWN, [grpo(20)])).toThrow(/key init_lora_weights/);
  });
});

describe("splits", () => {
  it("without rows are refused before the run, with what would help (U4)", () => {
    const file = rows("few.jsonl", ["1 + 2"]);
    expect(() =>
      check(`{ kind: jsonl, file: ${file}, ${TRAIN_ONLY} }`, grpo(20), exam("maxNewTokens: 20")),
    ).toThrow(/few\.jsonl: none of its 1 rows falls into the test split/);
    expect(() =>
      check(`{ kind: jsonl, file: ${file}, split: { test: 1, validation: 0 } }`, grpo(20)),
    ).toThrow(/none of its 1 rows falls into the train split/);
  });

  it("with fewer rows than problems are refused", () => {
    const task = `{ kind: jsonl, file: ${rows("train.jsonl", short)}, test: ${rows("one.jsonl", ["9 + 9"])} }`;
    expect(() => check(task, exam("maxNewTokens: 20"))).toThrow(/2 problems were asked for, .* has 1\./);
  });

  it("that share questions say so, and a test file allows no share of the other", () => {
    const test = rows("shared.jsonl", ["1 + 2", "9 + 9"]);
    const task = `{ kind: jsonl, file: ${rows("train.jsonl", short)}, test: ${test} }`;
    expect(check(task, grpo(20))).toEqual([
      {
        level: "warning",
        message: expect.stringMatching(/^1 rows of .*train\.jsonl have a question of .*shared/),
      },
    ]);
    expect(() => check(task.replace("test:", "split: { test: 0.2 }, test:"), grpo(20))).toThrow(
      /leave split\.test or test out/,
    );
  });
});

describe("what else a later stage would stumble over", () => {
  const sft = (fields: string): string =>
    `{ name: s, kind: sft, data: { kind: jsonl, file: ${JSON.stringify(join(folder, "sft.jsonl"))} }, batch: 1, steps: 1, ${fields}, optimizer: { kind: adamw, lr: 1.0e-4 }, schedule: { kind: constant } }`;
  fs.writeFileSync(join(folder, "sft.jsonl"), '{"prompt": "1", "completion": "2"}\n');

  it("rows beyond the positions of a model from a folder, at the recipe's line", () => {
    expect(() => check(COUNTDOWN, sft("sequence: 65"))).toThrow(
      /r\.yaml:7:\d+: Stage "s", sequence: Rows of 65 tokens/,
    );
    expect(check(COUNTDOWN, sft("sequence: 64"))).toHaveLength(1);
  });

  it("targets that the model has not, in any stage", () => {
    expect(() =>
      check(
        COUNTDOWN,
        sft("sequence: 16"),
        grpo(20).replace("steps: 3", "lora: { rank: 1, alpha: 1, targets: [nothing] }, steps: 3"),
      ),
    ).toThrow(/lora\.targets: expected linear layers of this model, found "nothing"/);
  });

  it("an adapter that is not there", () => {
    const text = `name: r\nseed: 1\nmodel: { from: ${JSON.stringify(model)}, adapter: nowhere }\ntask: ${COUNTDOWN}\ncheckpoint: { everySteps: 1, keep: 1 }\nstages: [${sft("sequence: 16")}]\n`;
    expect(() => checkSources(parseRecipe(text, "r.yaml"))).toThrow(
      /nowhere has no adapter_config\.json and no/,
    );
  });
});
