/** examples/task.ts and its recipe, on a model of a few thousand parameters. */
import fs from "node:fs";
import { join } from "node:path";
import { afterAll, expect, it, vi } from "vitest";
import { saveModel } from "../../src/checkpoint/folder.ts";
import { allParameters } from "../../src/models/architectures.ts";
import { initialise } from "../../src/models/layers.ts";
import { closeModules } from "../../src/tasks/module-task.ts";
import { completionWith, probeTask } from "../../src/tasks/probe.ts";
import { taskFrom } from "../../src/tasks/registry.ts";
import { BpeTokenizer } from "../../src/tokenizer/bpe.ts";
import { trainBpe } from "../../src/tokenizer/train.ts";
import { sputnik, temporaryFolder } from "../cli/command.ts";
import { asParameters } from "../support/parameters.ts";
import { tinyConfig } from "../train/tiny.ts";

vi.setConfig({ testTimeout: 240_000 });
afterAll(closeModules);

it("counts letters right", () => {
  const task = taskFrom({ kind: "module", module: "examples/task.ts", difficulty: 2, template: "chat" });
  const problems = Array.from({ length: 50 }, (_, index) =>
    task.generate({ seed: 1, split: "train", index }),
  );
  expect(probeTask(task, problems)).toEqual([]);
  for (const problem of problems) {
    const [, letter, word] = /the letter (.) in the word (\w{6})\?$/.exec(problem.prompt)!;
    const count = [...word!].filter((one) => one === letter).length;
    expect(task.verify(problem, completionWith(String(count))).value).toBe(1);
    expect(task.verify(problem, completionWith(String(count + 1))).value).toBe(0);
  }
});

it("fits 30 lines and trains with its recipe", async () => {
  const source = fs.readFileSync("examples/task.ts", "utf8");
  expect(source.split("\n").filter((line) => line.trim() !== "").length).toBeLessThanOrEqual(30);
  const cwd = temporaryFolder();
  const model = join(cwd, "model");
  const config = { ...tinyConfig, vocabSize: 259, maxPositions: 128 };
  const parameters = asParameters(initialise(allParameters(config), 1));
  saveModel(model, { config, tokenizer: new BpeTokenizer(trainBpe([], { vocabSize: 259 })), parameters });
  fs.copyFileSync("examples/task.ts", join(cwd, "task.ts"));
  const recipe = fs
    .readFileSync("examples/task.yaml", "utf8")
    .replace("HuggingFaceTB/SmolLM2-135M-Instruct\n\n", "./model\n\n")
    .replace("template: chat", "template: plain")
    .replace("steps: 30", "steps: 2")
    .replace("warmup: 3", "warmup: 1")
    .replace("problemsPerStep: 16", "problemsPerStep: 2")
    .replaceAll("problems: 300", "problems: 4")
    .replaceAll("maxNewTokens: 48", "maxNewTokens: 16");
  fs.writeFileSync(join(cwd, "task.yaml"), recipe);
  await trains(cwd, "task.yaml");
});

it("teaches a new model: solved problems first, in bytes, then RL", async () => {
  const cwd = temporaryFolder();
  fs.copyFileSync("examples/task.ts", join(cwd, "task.ts"));
  const recipe = fs
    .readFileSync("examples/task-new-model.yaml", "utf8")
    .replace("steps: 130", "steps: 3")
    .replace("steps: 150", "steps: 2")
    .replace(/warmup: \d+/g, "warmup: 1")
    .replaceAll("problems: 500", "problems: 4");
  fs.writeFileSync(join(cwd, "task-new-model.yaml"), recipe);
  expect(await trains(cwd, "task-new-model.yaml")).toContain("»");
});

/** Runs the recipe, whose evaluations come before and after; returns what it told. */
async function trains(cwd: string, file: string): Promise<string> {
  const { code, stdout, stderr } = await sputnik(["train", file, "--quiet", "--json"], { cwd });
  expect(code, stderr).toBe(0);
  const { evaluations } = JSON.parse(stdout) as { evaluations: { task: string; label: string }[] };
  expect(evaluations.map(({ task, label }) => [task, label])).toEqual([
    ["letters", "before"],
    ["letters", "after"],
  ]);
  return stderr;
}
