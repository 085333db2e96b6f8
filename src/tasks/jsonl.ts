/**
 * Word problems with a numeric answer from a JSONL file, in the format of GSM8K (arXiv 2110.14168).
 * How an answer is found in a completion: number-answer.ts.
 */
import { z } from "zod";
import { Random } from "../runtime/random.ts";
import { readWordProblems, type WordProblem } from "./jsonl-file.ts";
import { answerForm, judgeNumber } from "./number-answer.ts";
import type { ListPart, Problem, StreamKey, Task } from "./problem.ts";
import { chatPromptTemplate, wordPrompt } from "./prompt.ts";
import { DataSetError } from "./rows.ts";
import { problemId, type Split, splitOf } from "./stream.ts";

export const jsonlOptions = z.strictObject({
  kind: z.literal("jsonl"),
  /** Path of the file, relative to the directory of the command. */
  file: z.string().min(1),
  /** Only the first so many rows. */
  limit: z.int().min(1).optional(),
  template: chatPromptTemplate.default("plain"),
  /** Which forms of an answer count: see number-answer.ts. */
  answer: answerForm.default("marked"),
});

export type JsonlOptions = z.infer<typeof jsonlOptions>;

export interface JsonlProblem extends Problem {
  question: string;
  /** The right value, "42" or "-7/2". */
  answer: string;
}

/** Loads the whole file. @throws DataSetError, also from `generate` for a split without rows */
export function jsonl(options: JsonlOptions): Task<JsonlProblem> {
  const rows = readWordProblems(options.file, options.limit);
  const splits: Record<Split, WordProblem[]> = { train: [], validation: [], test: [] };
  for (const row of rows) splits[splitOf("jsonl", canonical(row.question))].push(row);
  const rowAt = rowOrder(splits, options.file);
  const problem = (id: string, { question, gold }: WordProblem): JsonlProblem => ({
    ...{ id, ...wordPrompt(question, options.template), question, answer: gold },
  });
  return {
    name: "jsonl",
    generate: (key) => problem(problemId("jsonl", key), rowAt(key)),
    list(part: ListPart) {
      const chosen = part === "all" ? rows : splits[part];
      if (chosen.length === 0) throw emptySplit(options.file, part);
      return chosen.map((row) => problem(`jsonl/${row.place}`, row));
    },
    content: ({ question, answer }) => `${canonical(question)} = ${answer}`,
    verify: jsonlVerifier(options),
  };
}

/** `verify` without the file. */
export function jsonlVerifier({ template, answer }: JsonlOptions): Task<JsonlProblem>["verify"] {
  return (problem, completion) => judgeNumber(completion, problem.answer, template, answer);
}

/** The same question in other blanks or capitals belongs to the same split. */
function canonical(question: string): string {
  return question.toLowerCase().split(/\s+/).join(" ");
}

function emptySplit(file: string, split: string): DataSetError {
  const found = `no row falls into the ${split} split (a tenth of all rows go to validation, and to test)`;
  return new DataSetError(file, null, found, "more rows");
}

/** Each pass over a split visits every row once, in an order of its own. */
function rowOrder(splits: Record<Split, WordProblem[]>, file: string): (key: StreamKey) => WordProblem {
  let held: { name: string; order: WordProblem[] } | null = null;
  return ({ seed, split, index }) => {
    const rows = splits[split];
    if (rows.length === 0) throw emptySplit(file, split);
    const pass = Math.floor(index / rows.length);
    const name = `${seed} ${split} ${pass}`;
    if (held?.name !== name) {
      held = { name, order: new Random(seed, "jsonl", split, "order", pass).shuffle([...rows]) };
    }
    return held.order[index % rows.length]!;
  };
}
