/** What `eval` asks, by the run's recipe, the model, and the person. */
import fs from "node:fs";
import os from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import type { LoadedShape } from "../../src/checkpoint/folder.ts";
import { parseRecipe } from "../../src/recipe/load.ts";
import {
  evaluationPart,
  evaluationProblems,
  type ResolvedEvaluate,
  resolve,
} from "../../src/recipe/resolve.ts";
import type { EvaluateStage, Recipe } from "../../src/recipe/schema.ts";
import { type EvaluationWishes, evaluationSettings } from "../../src/run/evaluation-settings.ts";
import type { FoundModel } from "../../src/run/find-model.ts";

const root = fs.mkdtempSync(join(os.tmpdir(), "sputnik-settings-"));
const rows = (name: string, count: number): string => {
  const file = join(root, name);
  const row = (i: number) => JSON.stringify({ question: `What is ${i} + ${i}?`, answer: `#### ${2 * i}` });
  fs.writeFileSync(file, Array.from({ length: count }, (_, i) => row(i)).join("\n"));
  return file;
};

const RECIPE = `name: two
seed: 5
model: { layers: 1, hiddenSize: 32, heads: 2, intermediateSize: 64, maxPositions: 100 }
tokenizer: { kind: compact }
task: { kind: countdown, numbers: [2] }
stages:
  - { name: first, kind: evaluate, label: base, problems: 9, samples: 1, temperature: 0 }
  - { name: other, kind: evaluate, label: sums, problems: 3, samples: 1, temperature: 0, task: { kind: arithmetic } }
  - { name: last, kind: evaluate, label: final, problems: 12, samples: 2, temperature: 0.7, topP: 0.9, maxNewTokens: 33 }
  - { name: sums, kind: evaluate, label: sums2, problems: 4, samples: 1, temperature: 0, task: { kind: arithmetic } }
checkpoint: { everySteps: 10, keep: 2 }
`;

let run: FoundModel;
beforeAll(() => {
  fs.writeFileSync(join(root, "recipe.yaml"), RECIPE);
  run = { folder: root, run: root, step: 3 };
});
const bare: FoundModel = { folder: root, run: null, step: null };

const CHAT = { chat_template: "{% for m in messages %}{{ m.content }}{% endfor %}" };
const shape = (more: Partial<LoadedShape> = {}) =>
  ({ config: { maxPositions: 100 }, generation: {}, ...more }) as unknown as LoadedShape;
const settings = (found: FoundModel, wishes: EvaluationWishes = {}, model = shape()) =>
  evaluationSettings(found, model, wishes);

describe("a run's own exam", () => {
  test("is repeated without a word: the last one on the run's task (U1)", () => {
    const { notes, ...rest } = settings(run);
    expect(rest).toMatchObject({
      ...{ part: "test", problems: 12, samples: 2, temperature: 0.7, topP: 0.9, maxNewTokens: 33, seed: 5 },
      ...{ limitGiven: true, prompt: "plain" },
    });
    expect(rest.task).toMatchObject({ kind: "countdown", numbers: [2] });
    expect(notes).toEqual(['settings of the recipe "two"']);
    // README's form: the kind alone keeps the recipe's numbers.
    expect(settings(run, { task: "countdown" })).toEqual({ notes, ...rest });
  });

  test("at the effort of the recipe, which belongs to its task, or at a person's (the kind of E2)", () => {
    const folder = fs.mkdtempSync(join(root, "effort-"));
    fs.writeFileSync(
      join(folder, "recipe.yaml"),
      RECIPE.replace("maxNewTokens: 33", "maxNewTokens: 33, effort: 9"),
    );
    const found = { folder, run: folder, step: 3 };
    expect(settings(found)).toMatchObject({ effort: 9, notes: ['settings of the recipe "two"'] });
    expect(settings(found, { effort: 1 })).toMatchObject({
      effort: 1,
      notes: ['settings of the recipe "two", but effort 1 instead of 9'],
    });
    expect(settings(found, { task: "arithmetic" }).effort).toBeUndefined();
    expect(settings(run, { effort: 0 }).effort).toBe(0);
    expect(settings(run).effort).toBeUndefined();
  });

  test("with what a person says instead, which is said", () => {
    const { notes, task, temperature } = settings(run, {
      numbers: [3],
      temperature: 1,
      seed: 6,
      problems: 20,
    });
    expect([task, temperature]).toMatchObject([{ numbers: [3] }, 1]);
    expect(notes).toEqual([
      'settings of the recipe "two", but numbers 3 instead of 2, problems 20 instead of 12, temperature 1 instead of 0.7, seed 6 instead of 5',
    ]);
  });

  test("temperature 0 asks once, and not four times by mistake", () => {
    expect(settings(run, { temperature: 0 }).samples).toBe(1);
    expect(() => settings(run, { temperature: 0, samples: 2 })).toThrow(
      "all completions to a problem are the same",
    );
  });

  test("another task brings its own numbers", () => {
    const { problems, task, notes } = settings(run, { task: "equations" });
    expect([problems, task.kind]).toEqual([200, "equations"]);
    expect(notes[0]).toContain("task equations instead of countdown");
  });
});

describe("a model without a recipe", () => {
  test("needs a task", () => {
    expect(() => settings(bare)).toThrow("without a recipe, so its task is not known");
    expect(() => settings(bare, { task: "chess" })).toThrow('There is no task "chess".');
    expect(() => settings(bare, { task: "arithmetic", numbers: [3] })).toThrow(
      "--numbers is about countdown",
    );
  });

  test("is sampled as it wants to be, and no longer than it or 1,024 tokens (U2)", () => {
    const large = (generation: Record<string, unknown>) =>
      shape({ generation, config: { maxPositions: 8192 } as LoadedShape["config"] });
    const limit = (generation: Record<string, unknown>) =>
      settings(bare, { task: "countdown" }, large(generation)).maxNewTokens;
    expect([limit({}), limit({ max_new_tokens: 2048 }), limit({ max_new_tokens: -1 })]).toEqual([
      1024, 2048, 1024,
    ]);
    expect(settings(bare, { task: "countdown" }).maxNewTokens).toBe(75);
    const own = settings(bare, { task: "countdown" }, large({ temperature: 0.2, top_p: 0.8, top_k: 7 }));
    expect(own).toMatchObject({ temperature: 0.2, topP: 0.8, topK: 7, samples: 4, problems: 200, seed: 1 });
    expect(settings(bare, { task: "countdown" }, large({ do_sample: false }))).toMatchObject({
      ...{ temperature: 0, samples: 1 },
    });
  });
});

describe("the prompt (E2)", () => {
  const chats = shape({ tokenizerConfig: CHAT });
  test("is the model's chat template where it has one, whatever the task", () => {
    for (const task of [
      "countdown",
      "arithmetic",
      "equations",
      "word-problems",
      "base-conversion",
      `jsonl:${rows("a.jsonl", 3)}`,
    ]) {
      expect(settings(bare, { task }, chats)).toMatchObject({ prompt: "chat", task: { template: "chat" } });
      expect(settings(bare, { task })).toMatchObject({ prompt: "plain" });
      expect(settings(bare, { task, template: "none" }, chats)).toMatchObject({ prompt: "plain" });
    }
    expect(settings(bare, { task: "arithmetic", template: "r1" }, chats).prompt).toBe("r1");
  });

  test("is the recipe's for its own task", () => {
    expect(settings(run, {}, chats)).toMatchObject({ prompt: "plain", promptSource: "as the recipe has it" });
    expect(settings(run, { task: "equations" }, chats).prompt).toBe("chat");
  });

  test("that the model or the task does not have is refused", () => {
    expect(() => settings(run, { template: "chat" })).toThrow("no chat template");
    expect(() => settings(run, { template: "r1" })).toThrow("Countdown has no prompt of R1's form");
  });
});

describe("which part of a file", () => {
  const recipe = (stages: string, file: string): Recipe =>
    parseRecipe(
      RECIPE.replace(/^task: .*$/m, `task: { kind: jsonl, file: ${file} }`).replace(
        /^stages:\n(?: .*\n)+/m,
        `stages:\n${stages}`,
      ),
      "r.yaml",
    );
  const exam = (more = "") =>
    `  - { name: e, kind: evaluate, label: e, samples: 1, temperature: 0, maxNewTokens: 40${more} }\n`;
  const grpo = `  - { name: g, kind: grpo, preset: grpo, steps: 1, problemsPerStep: 1, groupSize: 2, maxNewTokens: 40, temperature: 1, rewards: { accuracy: 1, format: 0 }, optimizer: { kind: adamw, lr: 0.001 }, schedule: { kind: constant } }\n`;
  const last = ({ stages }: Recipe) => stages.at(-1) as EvaluateStage;
  const problemsOf = (given: Recipe) => evaluationProblems(resolve(given).stages.at(-1) as ResolvedEvaluate);
  const [own, other] = [rows("own.jsonl", 40), rows("other.jsonl", 30)];

  test("all of one that nothing trained on, the held-out split of one that was", () => {
    const alone = recipe(exam(), own);
    expect(evaluationPart(alone, last(alone))).toBe("all");
    expect(problemsOf(alone)).toHaveLength(40);
    const trained = recipe(grpo + exam(), own);
    expect(evaluationPart(trained, last(trained))).toBe("test");
    expect(problemsOf(trained).length).toBeLessThan(20);
    const elsewhere = recipe(grpo + exam(`, task: { kind: jsonl, file: ${other} }`), own);
    expect(problemsOf(elsewhere)).toHaveLength(30);
    const held = recipe(exam(", split: validation"), own);
    expect(evaluationPart(held, last(held))).toBe("validation");
    const whole = recipe(grpo + exam(", split: all"), own);
    expect(problemsOf(whole)).toHaveLength(40);
  });

  test("more than there is, is refused", () => {
    const asked = recipe(exam(", problems: 200"), own);
    expect(() => problemsOf(asked)).toThrow("200 problems were asked for, and the file has 40.");
  });

  test("a file that is named is asked whole, with a word where it was trained on", () => {
    fs.mkdirSync(join(root, "trained"));
    const text = RECIPE.replace(/^task: .*$/m, `task: { kind: jsonl, file: ${own} }`);
    fs.writeFileSync(
      join(root, "trained", "recipe.yaml"),
      text.replace(/^stages:\n(?: .*\n)+/m, `stages:\n${grpo}${exam()}`),
    );
    const found: FoundModel = { folder: root, run: join(root, "trained"), step: 1 };
    expect(settings(found)).toMatchObject({ part: "test" });
    const named = settings(found, { task: `jsonl:${own}` });
    expect(named.part).toBe("all");
    expect(named.notes[1]).toMatch(/were trained on: .*--split test/);
    expect(settings(found, { task: `jsonl:${other}` })).toMatchObject({ part: "all", problems: undefined });
    expect(settings(found, { task: `jsonl:${own}`, split: "test" }).part).toBe("test");
    // A limit and a test file of the recipe's own file are not another file's.
    const kept = text.replace(`file: ${own}`, `file: ${own}, limit: 20, test: ${other}`);
    fs.writeFileSync(
      join(root, "trained", "recipe.yaml"),
      kept.replace(/^stages:\n(?: .*\n)+/m, `stages:\n${grpo}${exam()}`),
    );
    expect(settings(found).task).toMatchObject({ limit: 20, test: other });
    const foreign = settings(found, { task: `jsonl:${other}` });
    expect(foreign.task).toMatchObject({ file: other });
    expect([foreign.task.kind === "jsonl" && foreign.task.limit, foreign.part]).toEqual([undefined, "all"]);
  });
});
