/**
 * A file of word problems: one JSON object a line, `{"question": "...", "answer": "... #### 42"}`, and which of its rows
 * train, validate and test: fractions by a hash of the question, or a test file.
 */
import { z } from "zod";
import { visible } from "../lib/text-file.ts";
import { boxed, hashAnswer } from "./marked-answers.ts";
import { parseNumber } from "./number.ts";
import { dataSetError, kindOf, type Row, readRows } from "./rows.ts";
import { SPLIT_SHARES, type Split, splitOf } from "./stream.ts";

export interface WordProblem {
  question: string;
  /** The right value, exactly: "42", "-7/2". */
  gold: string;
  /** Where in the file, e.g. "line 3". */
  place: string;
}

const ROW = 'a JSON object such as {"question": "What is 6 * 7?", "answer": "6 * 7 = 42\\n#### 42"}';

/**
 * All rows, or the first `limit` of them. Other keys than these are allowed, and ignored.
 * @throws UserError for a file that cannot be read, a broken line, or an answer that is not one number
 */
export function readWordProblems(file: string, limit = Number.POSITIVE_INFINITY): WordProblem[] {
  const found: WordProblem[] = [];
  for (const row of readRows(file, ROW)) {
    found.push(readRow(row));
    if (found.length >= limit) break;
  }
  return found;
}

function readRow({ fields, place, refuse }: Row): WordProblem {
  const text = (name: string): string => {
    const value = fields[name];
    if (typeof value === "string" && value.trim() !== "") return value;
    throw refuse(
      value === undefined
        ? `field "${name}": there is none, the keys are ${visible(Object.keys(fields).join(", "))}`
        : `field "${name}": ${typeof value === "string" ? "an empty text" : `${kindOf(value)}, not text`}`,
    );
  };
  const question = text("question").trim();
  const answer = text("answer");
  // A right answer that parses only in part is refused: the part would reward wrong answers.
  const gold = parseNumber(hashAnswer(answer) ?? boxed(answer) ?? answer);
  if (!gold.ok) {
    throw refuse(
      `the answer "${visible(answer, 80)}" has no value (${gold.reason})`,
      "An answer ends in #### and one number, has one in \\boxed{}, or is a number alone.",
    );
  }
  return { question, gold: gold.value.toFraction(), place };
}

const share = z.number().min(0).max(1);

/** Fractions of the rows; the other rows train. */
export const splitShares = z
  .strictObject({
    validation: share.optional(),
    test: share.optional(),
  })
  .refine(({ validation = 0, test = 0 }) => validation + test <= 1, {
    error: "The shares of validation and test add up to more than 1: lower one.",
  });

export interface SplitOptions {
  file: string;
  /** A file with the test rows; then `file` has none. */
  test?: string;
  split?: z.infer<typeof splitShares>;
  limit?: number;
}

export interface SplitRows {
  /** All rows of `file`, in its order. */
  all: WordProblem[];
  /** @throws UserError for a split without rows */
  of(split: Split): WordProblem[];
  /** Number of questions in both files: they test and do not train. */
  shared: number;
}

/** Equal for a question with other blanks or capitals, which so belongs to the same split. */
export function canonicalQuestion(question: string): string {
  return question.toLowerCase().split(/\s+/).join(" ");
}

/** @throws UserError for a file that cannot be used */
export function splitRows({ file, test, split, limit }: SplitOptions): SplitRows {
  const all = readWordProblems(file, limit);
  const tests = test === undefined ? null : readWordProblems(test);
  const tested = new Set(tests?.map(({ question }) => canonicalQuestion(question)));
  const { validation = SPLIT_SHARES.validation, test: testShare = SPLIT_SHARES.test } = split ?? {};
  const shares = { validation, test: tests === null ? testShare : 0 };
  const rows: Record<Split, WordProblem[]> = { train: [], validation: [], test: tests ?? [] };
  let shared = 0;
  for (const row of all) {
    const content = canonicalQuestion(row.question);
    if (tested.has(content)) shared++;
    else rows[splitOf("jsonl", content, shares)].push(row);
  }
  return {
    all,
    shared,
    of(name) {
      if (rows[name].length > 0) return rows[name];
      const found = `none of its ${all.length} rows falls into the ${name} split (${percent(shares.validation)} of all rows go to validation, ${percent(shares.test)} to test)`;
      const remedy =
        name === "test"
          ? "Name a file of test rows (test: FILE in the task), or a larger share (split: { test: 0.3 })."
          : name === "train"
            ? "Give more rows, or smaller shares (split: { validation: 0, test: 0.1 })."
            : "Give more rows, or a larger share (split: { validation: 0.3 }).";
      throw dataSetError(file, null, found, "rows in each split that a stage uses", remedy);
    },
  };
}

const percent = (value: number): string => `${Math.round(1000 * value) / 10} %`;
