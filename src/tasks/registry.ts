/** All kinds of tasks: the schema of their options, and the function that makes a task of them. */
import { z } from "zod";
import { arithmetic, arithmeticOptions } from "./arithmetic.ts";
import { countdown, countdownOptions } from "./countdown.ts";
import { equationsOptions, equationsTask } from "./equations.ts";
import { type JsonlProblem, jsonl, jsonlOptions, jsonlVerifier } from "./jsonl.ts";
import type { Task } from "./problem.ts";
import { wordProblems, wordProblemsOptions } from "./word-problems.ts";

export const taskOptions = z.discriminatedUnion("kind", [
  countdownOptions,
  arithmeticOptions,
  equationsOptions,
  jsonlOptions,
  wordProblemsOptions,
]);

/** With all defaults. */
export type TaskOptions = z.infer<typeof taskOptions>;

/** As a person writes them: options with a default may be left out. */
export type TaskInput = z.input<typeof taskOptions>;

/** @throws ZodError for options outside the schema; UserError for a broken data set. */
export function taskFrom(input: TaskInput): Task {
  const options = taskOptions.parse(input);
  switch (options.kind) {
    case "countdown":
      return countdown(options);
    case "arithmetic":
      return arithmetic(options);
    case "equations":
      return equationsTask(options);
    case "jsonl":
      return jsonl(options);
    case "word-problems":
      return wordProblems(options);
  }
}

/** The verifier alone, which verifies stored completions again without the data set. */
export function verifierFrom(input: TaskInput): Pick<Task, "verify" | "verifyAll"> {
  const options = taskOptions.parse(input);
  if (options.kind !== "jsonl") return taskFrom(options);
  const verify = jsonlVerifier(options);
  return { verify: (problem, completion) => verify(problem as JsonlProblem, completion) };
}
