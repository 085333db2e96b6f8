/**
 * Word problems with a numeric answer from a JSONL file, in the format of GSM8K (arXiv 2110.14168).
 *
 * The answer rule. What stands after the thought counts. If it has an answer tag, there must be exactly
 * one answer block, and in it a `\boxed{}` or else the whole is the answer. Without such tags the
 * `\boxed{}`s are the answer, and without these the lines of `####`, each up to the first blank, as long
 * as no digit follows on the line. A box or a `####` may be repeated, but only with the same value: to
 * list answers is to give none.
 */
import { z } from "zod";
import { Random } from "../runtime/random.ts";
import type { Extraction } from "./extract.ts";
import { DataSetError, goldValue, readWordProblems, type WordProblem } from "./jsonl-file.ts";
import { checkNumber, type Finding, judge } from "./judge.ts";
import { boxes, hashAnswers } from "./marked-answers.ts";
import { clip } from "./number.ts";
import type { Problem, StreamKey, Task } from "./problem.ts";
import { promptTemplate, thinkPrompt } from "./prompt.ts";
import { problemId, type Split, splitOf } from "./stream.ts";

export const jsonlOptions = z.strictObject({
  kind: z.literal("jsonl"),
  /** Path of the file, relative to the directory of the command. */
  file: z.string().min(1),
  /** Only the first so many rows. */
  limit: z.int().min(1).optional(),
  template: promptTemplate.default("plain"),
});

export type JsonlOptions = z.infer<typeof jsonlOptions>;

export interface JsonlProblem extends Problem {
  question: string;
  /** The right value, "42" or "-7/2". */
  answer: string;
}

/** Loads the whole file. @throws DataSetError, also from `generate` for a split without rows */
export function jsonl(options: JsonlOptions): Task<JsonlProblem> {
  const splits: Record<Split, WordProblem[]> = { train: [], validation: [], test: [] };
  for (const row of readWordProblems(options.file, options.limit)) {
    splits[splitOf("jsonl", canonical(row.question))].push(row);
  }
  const rowAt = rowOrder(splits, options.file);
  return {
    name: "jsonl",
    generate(key) {
      const { question, gold } = rowAt(key);
      const prompt = thinkPrompt(question, options.template);
      return { id: problemId("jsonl", key), prompt, question, answer: gold };
    },
    verify: (problem, completion) => judge(completion, (found) => check(found, problem.answer)),
  };
}

/** The same question in other blanks or capitals belongs to the same split. */
function canonical(question: string): string {
  return question.toLowerCase().split(/\s+/).join(" ");
}

/** Each pass over a split visits every row once, in an order of its own. */
function rowOrder(splits: Record<Split, WordProblem[]>, file: string): (key: StreamKey) => WordProblem {
  let held: { name: string; order: WordProblem[] } | null = null;
  return ({ seed, split, index }) => {
    const rows = splits[split];
    if (rows.length === 0) {
      const found = `no row falls into the ${split} split (a tenth of all rows go to validation, and to test)`;
      throw new DataSetError(file, null, found, "more rows");
    }
    const pass = Math.floor(index / rows.length);
    const name = `${seed} ${split} ${pass}`;
    if (held?.name !== name) {
      held = { name, order: new Random(seed, "jsonl", split, "order", pass).shuffle([...rows]) };
    }
    return held.order[index % rows.length]!;
  };
}

function check(found: Extraction, gold: string): Finding {
  const { answers, reason } = givenAnswers(found);
  const right = goldValue(gold);
  const findings = answers.map((answer) => checkNumber(answer, right));
  const [first] = findings;
  if (!first) return { right: false, extracted: null, reason };
  // One wrong answer among several spoils them all.
  return findings.find((finding) => !finding.right) ?? first;
}

function givenAnswers(found: Extraction): { answers: string[]; reason: string } {
  if (found.answer !== null) {
    const inside = boxes(found.answer);
    return { answers: inside.length > 0 ? inside : [found.answer], reason: "" };
  }
  if (found.reason !== "no answer block") return { answers: [], reason: found.reason };
  const inBoxes = boxes(found.rest);
  if (inBoxes.length > 0) return { answers: inBoxes, reason: "" };
  return {
    answers: hashAnswers(found.rest).map(withoutRemark),
    reason: "no answer block, \\boxed{} or ####",
  };
}

/** "42 is the answer" is 42; "42 or 43" stays whole, and is no number. */
function withoutRemark(line: string): string {
  const end = line.search(/[ \t]/);
  if (end === -1) return line;
  return /\p{N}/u.test(line.slice(end)) ? clip(line, 200) : line.slice(0, end);
}
