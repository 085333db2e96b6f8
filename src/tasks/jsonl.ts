/**
 * Word problems with a numeric answer from a JSONL file, in the format of GSM8K (arXiv 2110.14168).
 * How an answer is found in a completion: number-answer.ts.
 */
import { z } from "zod";
import { Random } from "../lib/random.ts";
import { canonicalQuestion, type SplitRows, splitRows, splitShares, type WordProblem } from "./jsonl-rows.ts";
import { answerForm, verifyNumber } from "./number-answer.ts";
import type { ListPart, Problem, StreamKey, Task } from "./problem.ts";
import { chatPromptTemplate, wordPrompt } from "./prompt.ts";
import { problemId } from "./stream.ts";
import { equationSteps } from "./thought-equations.ts";

export const jsonlOptions = z.strictObject({
  kind: z.literal("jsonl"),
  file: z.string().min(1).describe("Path of the file; rows have `question` and `answer`."),
  test: z
    .string()
    .min(1)
    .optional()
    .describe("A file with the rows of the test split; then no row of `file` is a test row."),
  split: splitShares
    .optional()
    .describe("Fractions of the rows for validation and test; default: a tenth each."),
  limit: z.int().min(1).optional().describe("Only this many rows from the start."),
  template: chatPromptTemplate,
  answer: answerForm,
});

export type JsonlOptions = z.infer<typeof jsonlOptions>;

export interface JsonlProblem extends Problem {
  question: string;
  /** The right value, "42" or "-7/2". */
  answer: string;
}

/** Loads the files. @throws UserError, also from `generate` and `list` for a split without rows */
export function jsonl(options: JsonlOptions): Task<JsonlProblem> {
  const rows = splitRows(options);
  const rowAt = rowOrder(rows);
  const problem = (id: string, { question, gold }: WordProblem): JsonlProblem => ({
    ...{ id, ...wordPrompt(question, options.template), question, answer: gold },
  });
  return {
    ...equationSteps,
    name: "jsonl",
    generate: (key) => problem(problemId("jsonl", key), rowAt(key)),
    list: (part: ListPart) =>
      (part === "all" ? rows.all : rows.of(part)).map((row) => problem(`jsonl/${row.place}`, row)),
    content: ({ question, answer }) => `${canonicalQuestion(question)} = ${answer}`,
    verify: jsonlVerifier(options),
  };
}

/** `verify` without the file. */
export function jsonlVerifier({ template, answer }: JsonlOptions): Task<JsonlProblem>["verify"] {
  return (problem, completion) => verifyNumber(completion, problem.answer, template, answer);
}

/** Each pass over a split visits every row once, in a new order. */
function rowOrder(rows: SplitRows): (key: StreamKey) => WordProblem {
  let held: { name: string; order: WordProblem[] } | null = null;
  return ({ seed, split, index }) => {
    const own = rows.of(split);
    const pass = Math.floor(index / own.length);
    const name = `${seed} ${split} ${pass}`;
    if (held?.name !== name) {
      held = { name, order: new Random(seed, "jsonl", split, "order", pass).shuffle([...own]) };
    }
    return held.order[index % own.length]!;
  };
}
