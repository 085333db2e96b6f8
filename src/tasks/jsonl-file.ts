/** Reads a file of word problems: one JSON object a line, `{"question": "...", "answer": "... #### 42"}`. */
import { readFileSync } from "node:fs";
import { z } from "zod";
import { boxed, hashAnswer } from "./marked-answers.ts";
import { clip, parseNumber } from "./number.ts";

export interface WordProblem {
  question: string;
  /** The right value, exactly: "42", "-7/2". */
  gold: string;
}

/** A data set cannot be used. `line` counts from 1, and is `null` where the file as a whole is at fault. */
export class DataSetError extends Error {
  readonly file: string;
  readonly line: number | null;
  readonly found: string;
  readonly expected: string;

  constructor(file: string, line: number | null, found: string, expected: string) {
    super(`${file}${line === null ? "" : `, line ${line}`}: ${found}. Expected: ${expected}.`);
    this.name = "DataSetError";
    this.file = file;
    this.line = line;
    this.found = found;
    this.expected = expected;
  }
}

const ROW = 'a JSON object such as {"question": "What is 6 * 7?", "answer": "6 * 7 = 42\\n#### 42"}';
const GOLD = "an answer that ends in #### and one number, has one in \\boxed{}, or is a number alone";

/** Other keys are allowed, and ignored. */
const rowSchema = z.object({ question: z.string().trim().min(1), answer: z.string().min(1) });

/**
 * All rows, or the first `limit` of them; blank lines are skipped.
 * @throws DataSetError for a file that cannot be read, a broken line, or an answer that is not one number
 */
export function readWordProblems(file: string, limit = Number.POSITIVE_INFINITY): WordProblem[] {
  const rows: WordProblem[] = [];
  const lines = readText(file).split("\n");
  for (let i = 0; i < lines.length && rows.length < limit; i++) {
    if (lines[i]!.trim() !== "") rows.push(readRow(file, i + 1, lines[i]!));
  }
  if (rows.length === 0) throw new DataSetError(file, null, "the file has no rows", ROW);
  return rows;
}

function readText(file: string): string {
  try {
    // A byte-order mark is dropped; bytes that are not UTF-8 are an error, not a replacement character.
    return new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(file));
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const found = code === "ENOENT" ? "there is no such file" : (error as Error).message;
    throw new DataSetError(
      file,
      null,
      found,
      "a JSONL file in UTF-8; its path is relative to this directory",
    );
  }
}

function readRow(file: string, line: number, text: string): WordProblem {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new DataSetError(file, line, `not JSON (${clip((error as Error).message, 120)})`, ROW);
  }
  const row = rowSchema.safeParse(json);
  if (!row.success) {
    const issue = row.error.issues[0]!;
    const field = issue.path.length > 0 ? `field "${issue.path.join(".")}": ` : "";
    throw new DataSetError(file, line, `${field}${issue.message.toLowerCase()}`, ROW);
  }
  const { question, answer } = row.data;
  // Read whole or refused: a gold that is cut to the part that parses would reward wrong answers.
  const gold = parseNumber(hashAnswer(answer) ?? boxed(answer) ?? answer);
  if (!gold.ok) {
    throw new DataSetError(
      file,
      line,
      `the answer "${clip(answer, 80)}" has no value (${gold.reason})`,
      GOLD,
    );
  }
  return { question, gold: gold.value.toFraction() };
}
