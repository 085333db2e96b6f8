/** Rejection sampling: what is kept, where it is written, and that an interruption changes nothing. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { parseRecipe } from "../../src/recipe/load.ts";
import type { MetricsLine, RunFolder } from "../../src/run/folder.ts";
import { taskFrom } from "../../src/tasks/registry.ts";
import type { Sample } from "../../src/train/rollout.ts";
import { keptOf, rowOf, type SampledRow } from "../../src/train/sample-stage.ts";
import { runAll } from "./tiny-run.ts";

const RECIPE = (keep: string) => `
name: rejection
seed: 1
model: { from: models/tiny-r1-zero }
task: { kind: countdown, numbers: [3] }
checkpoint: { everySteps: 1, keep: 1 }
stages:
  - { name: sampled, kind: sample, problems: 20, problemsPerStep: 8, samples: 3, temperature: 1, maxNewTokens: 160, keep: ${keep} }
  - name: tuned
    kind: sft
    from: start
    data: { kind: mix, parts: [{ share: 1, data: { kind: samples, stage: sampled } }, { share: 1, data: { kind: task } }] }
    sequence: 256
    batch: 4
    steps: 2
    optimizer: { kind: adamw, lr: 1.0e-3 }
    schedule: { kind: constant }
`;

const lines = <T>(path: string): T[] =>
  readFileSync(path, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as T);

test("kept rows are right and readable, at most one a problem, and the same ones after interruptions", async () => {
  const text = RECIPE("{ language: prompt }");
  const paths = await runAll(text);
  const file = `${paths.rows}/sampled.jsonl`;
  const rows = lines<SampledRow>(file);
  expect(rows.length).toBeGreaterThan(3);
  expect(new Set(rows.map(({ problem }) => problem)).size).toBe(rows.length);
  const task = taskFrom({ kind: "countdown", numbers: [3] });
  const seen = new Map<string, ReturnType<typeof task.generate>>();
  const seed = Number(rows[0].problem.split("/")[1]);
  for (let index = 0; index < 20; index++) {
    const problem = task.generate({ seed, split: "train", index });
    seen.set(problem.id, problem);
  }
  for (const { problem, completion, prompt } of rows) {
    const asked = seen.get(problem)!;
    expect(prompt).toBe(asked.prompt);
    const verdict = task.verify(asked, completion as string);
    expect(verdict).toMatchObject({ kind: "right", format: true });
    expect(task.checkSteps?.(completion as string).every(({ holds }) => holds)).toBe(true);
  }
  const metrics = lines<MetricsLine>(paths.metrics).filter(({ stage }) => stage === "sampled");
  expect(metrics.map(({ step, totalSteps }) => `${step}/${totalSteps}`)).toEqual(["1/3", "2/3", "3/3"]);
  expect(metrics[2].metrics.rows).toBe(rows.length);

  const pieces = await runAll(text, [1, 1]);
  expect(readFileSync(`${pieces.rows}/sampled.jsonl`, "utf8")).toBe(readFileSync(file, "utf8"));
  const last = (of: RunFolder["paths"]) => lines<MetricsLine>(of.metrics).at(-1)!.metrics.loss;
  expect(last(pieces)).toBe(last(paths));
}, 120_000);

const sample = (text: string, tokens: number, value: number | null): Sample =>
  ({
    ...{
      text,
      tokens,
      ids: new Array(tokens).fill(1),
      logProbs: [],
      finish: "stop",
      prompt: [],
      components: {},
    },
    ...{ reward: value, steps: null },
    verdict: {
      value,
      kind: value === 1 ? "right" : "wrong",
      format: true,
      extracted: null,
      canonical: null,
      reason: "",
    },
  }) as unknown as Sample;

test("of a problem's completions the shortest different ones are kept", () => {
  const problem = { id: "p", prompt: "two" };
  const samples = [sample("long", 9, 1), sample("short", 3, 1), sample("short", 3, 1), sample("wrong", 1, 0)];
  const rules = { right: true, readable: true, perProblem: 2 };
  expect(keptOf({ problem, samples }, rules).map(({ text }) => text)).toEqual(["short", "long"]);
  expect(keptOf({ problem, samples }, { ...rules, perProblem: 1 }).map(({ text }) => text)).toEqual([
    "short",
  ]);
  expect(keptOf({ problem, samples }, { ...rules, right: false, perProblem: 9 })).toHaveLength(3);
  expect(keptOf({ problem, samples: [sample("?", 1, null)] }, { ...rules, right: false })).toEqual([]);
});

test("a chat problem's completion is kept as messages, so that its template is applied in training", () => {
  const messages = [{ role: "user" as const, content: "2 + 2?" }];
  expect(rowOf({ id: "p", prompt: "2 + 2?", messages }, { text: "4" })).toEqual({
    ...{ prompt: messages, problem: "p" },
    completion: [{ role: "assistant", content: "4" }],
  });
});

test("a recipe that trains on samples of a stage that does not sample is refused", () => {
  const wrong = RECIPE("{}").replace("stage: sampled }", "stage: tuned }");
  expect(() => parseRecipe(wrong, "r.yaml")).toThrow(
    'No stage of kind: sample before this one is called "tuned": choose one of sampled.',
  );
});

test("a stage that keeps nothing ends the run, and says what to do", async () => {
  const impossible = RECIPE("{ language: zh }").replace("maxNewTokens: 160", "maxNewTokens: 2");
  await expect(runAll(impossible)).rejects.toThrow(
    "none of 60 completions of 20 problems was kept (rejected: wrong 60).",
  );
}, 60_000);
