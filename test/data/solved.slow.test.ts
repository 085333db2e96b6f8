/** Solved problems as training data: what is trained is what the verifier accepts, in the form that the prompt asks for. */
import fs from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { documentSource } from "../../src/data/sources.ts";
import { checkSources } from "../../src/recipe/check.ts";
import { parseRecipe } from "../../src/recipe/load.ts";
import { recipeShape } from "../../src/recipe/model.ts";
import { resolvePaths } from "../../src/recipe/paths.ts";
import { trainedFiles } from "../../src/recipe/resolve.ts";
import type { SftStage } from "../../src/recipe/schema.ts";
import { closeModules } from "../../src/tasks/module-task.ts";
import { type TaskInput, taskFrom } from "../../src/tasks/registry.ts";
import { temporaryFolder } from "../checkpoint/temporary.ts";

const folder = temporaryFolder();
afterAll(closeModules);

const TASK = `import { answerIn, defineTask, Random } from "sputnik-r1/tasks";
export default defineTask({
  generate(seed) {
    const [a, b] = [seed % 97, seed % 89];
    return { question: "How much is " + a + " and " + b + "?", a, b };
  },
  verify: ({ a, b }, completion) => answerIn(completion) === String(a + b),
  solve: ({ a, b }) => String(a + b),
  thought: ({ a, b }) => a + " + " + b + " = " + (a + b),
});
`;

const recipe = (data: string, { task = "{ module: ./sum.ts }", kind = "sft", tokenizer = "bytes" } = {}) =>
  parseRecipe(
    `name: warm
seed: 1
model: { layers: 1, hiddenSize: 16, heads: 2, intermediateSize: 16, maxPositions: 128 }
tokenizer: { kind: ${tokenizer} }
task: ${task}
stages:
  - { name: warm, kind: ${kind}, data: ${data}, sequence: 96, batch: 1, steps: 2, optimizer: { kind: adamw, lr: 1.0e-4 }, schedule: { kind: constant } }
`,
    join(folder, "warm.yaml"),
  );
fs.writeFileSync(join(folder, "sum.ts"), TASK);
const resolved = (...of: Parameters<typeof recipe>) =>
  resolvePaths(recipe(...of), join(folder, "warm.yaml")).recipe;

/** A stage's first documents: the prompt, and what is trained. */
function documents(of: ReturnType<typeof recipe>): [prompt: string, trained: string][] {
  const model = recipeShape(of);
  const { data } = of.stages[0] as SftStage;
  const source = documentSource(data, model, { seed: 5, stage: "sft", task: of.task });
  return [0, 1, 2].map((index) => {
    const { ids, trainFrom } = source(index);
    return [
      model.tokenizer.decode(ids.slice(1, trainFrom)),
      model.tokenizer.decode(ids.slice(trainFrom, -1)),
    ];
  });
}

describe("data: { kind: task }", () => {
  it("asks as training does and answers with the thought and the solver's answer", () => {
    const found = documents(resolved("{ kind: task }"));
    for (const [prompt, trained] of found) {
      const [, a, b] = /^How much is (\d+) and (\d+)\?\n<think>\n$/.exec(prompt)!.map(Number);
      const sum = a! + b!;
      expect(trained).toBe(`${a} + ${b} = ${sum}\n</think>\n<answer>${sum}</answer>`);
    }
    expect(new Set(found.map(([prompt]) => prompt)).size).toBe(3);
  });

  it("takes a task of the stage's own, a file too, and no problem of another split", () => {
    const own = resolved("{ kind: task, task: { module: ./sum.ts } }", {
      task: "{ kind: countdown, numbers: [2] }",
    });
    expect(documents(own)[0]![0]).toContain("How much is");
    const [prompt, trained] = documents(
      resolved("{ kind: task, task: { kind: base-conversion } }", { task: "{ module: ./absent.ts }" }),
    )[0]!;
    expect(prompt).toMatch(/<think>\n$/);
    expect(trained).toMatch(/^<\/think>\n<answer>[^<]+<\/answer>$/);
    const countdown: TaskInput = { kind: "countdown", numbers: [3] };
    const tested = Array.from({ length: 300 }, (_, index) =>
      taskFrom(countdown).generate({ seed: 5, split: "test", index }),
    );
    const compact = resolved("{ kind: task }", {
      task: "{ kind: countdown, numbers: [3] }",
      tokenizer: "compact",
    });
    const asked = new Set(tested.map((problem) => problem.prompt));
    for (const [text] of documents(compact)) expect(asked.has(text)).toBe(false);
  });

  it("is checked before the run: the first row is shown, and the files of its tasks are sought", () => {
    const [note] = checkSources(resolved("{ kind: task }"));
    expect(note!.message).toMatch(
      /sees this first.*:\n.*How much is \d+ and \d+\?\n<think>\n»\d+ \+ \d+ = \d+\n<\/think>/s,
    );
    expect(checkSources(resolved("{ kind: task }", { kind: "pretrain" }))).toEqual([]);
    expect(() => resolved("{ kind: task, task: { module: ./absent.ts } }")).toThrow(
      /absent\.ts: there is no such file/,
    );
    expect(() => resolved("{ kind: task }", { task: "{ module: ./absent.ts }" })).toThrow(
      /there is no such file/,
    );
    expect(() => recipe("{ kind: task, tusk: 1 }")).toThrow(/tusk/);
  });

  it("refuses what the vocabulary cannot write, and what cannot be solved, whatever the stage's kind", () => {
    for (const kind of ["sft", "pretrain"]) {
      expect(() => checkSources(resolved("{ kind: task }", { kind, tokenizer: "compact" }))).toThrow(
        /^sum\/1\/train\/0: the vocabulary has no token for "H".*tokenizer: \{ kind: bytes \}/,
      );
      fs.writeFileSync(join(folder, "unsolved.ts"), TASK.replace(/solve:.*\n/, ""));
      expect(() =>
        checkSources(resolved("{ kind: task }", { kind, task: "{ module: ./unsolved.ts }" })),
      ).toThrow(
        "The task unsolved has no solver, and its problems hold no answer, so they cannot be trained as solved ones. Give it solve(problem), which returns a right answer.",
      );
    }
    fs.writeFileSync(join(folder, "wrong.ts"), TASK.replace("String(a + b),\n  thought", '"1",\n  thought'));
    expect(() => checkSources(resolved("{ kind: task }", { task: "{ module: ./wrong.ts }" }))).toThrow(
      /^wrong\/1\/train\/0: verify refuses what solve says, ".*<answer>1<\/answer>": wrong\. Correct solve or verify/,
    );
  });

  it("names the file among those that are trained", () => {
    const rows = "{ kind: jsonl, file: rows.jsonl }";
    const recipes = [
      recipe("{ kind: task }", { task: rows }),
      recipe(`{ kind: task, task: ${rows} }`),
      recipe("{ kind: jsonl, file: rows.jsonl }"),
    ];
    for (const one of recipes)
      expect([...trainedFiles(one)]).toEqual([expect.stringMatching(/rows\.jsonl$/)]);
    expect(trainedFiles(recipe("{ kind: task }")).size).toBe(0);
  });
});
