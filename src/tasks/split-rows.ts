/** Which rows of a data file train, validate and test: by shares of a hash of the question, or by a file of their own. */
import { z } from "zod";
import { readWordProblems, type WordProblem } from "./jsonl-file.ts";
import { dataSetError } from "./rows.ts";
import { SPLIT_SHARES, type Split, splitOf } from "./stream.ts";

const share = z.number().min(0).max(1);

/** Shares of the rows; what is left trains. */
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
  /** Rows for tests alone; then `file` has none. */
  test?: string;
  split?: z.infer<typeof splitShares>;
  limit?: number;
}

export interface SplitRows {
  /** Of `file`, in its order. */
  all: WordProblem[];
  /** @throws UserError for a split without rows */
  of(split: Split): WordProblem[];
  /** Questions of the test file that `file` has too: they are tested and not trained. */
  shared: number;
}

/** The same question in other blanks or capitals belongs to the same split. */
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
