import { expect, it } from "vitest";
import { NAMED_KINDS, type TaskInput, taskFrom, taskOptions } from "../../src/tasks/registry.ts";

it.each<TaskInput>([
  ...NAMED_KINDS.map((kind) => ({ kind })),
  { kind: "jsonl", file: "recipes/data/word-problems.jsonl" },
])("makes a task from %o, with defaults for the rest", (input) => {
  const task = taskFrom(input);
  expect(task.name).toBe(input.kind);
  const problem = task.generate({ seed: 1, split: "validation", index: 3 });
  expect(problem.prompt.endsWith("\n<think>\n")).toBe(true);
  expect(task.verify(problem, "").value).toBe(0);
  // A problem is plain data.
  expect(structuredClone(problem)).toEqual(problem);
  expect(taskFrom(taskOptions.parse(input)).generate({ seed: 1, split: "validation", index: 3 })).toEqual(
    problem,
  );
});

it("refuses unknown kinds and keys", () => {
  expect(taskOptions.safeParse({ kind: "chess" }).success).toBe(false);
  expect(taskOptions.safeParse({ kind: "jsonl" }).success).toBe(false);
  expect(taskOptions.safeParse({ kind: "countdown", digits: [2] }).success).toBe(false);
});

it("names the kinds that need no data set", () => {
  expect(NAMED_KINDS.slice(0, 6)).toEqual([
    "countdown",
    "arithmetic",
    "equations",
    "word-problems",
    "instructions",
    "base-conversion",
  ]);
  expect(NAMED_KINDS).not.toContain("jsonl");
});
