/** Reads a file of word problems: one JSON object a line, `{"question": "...", "answer": "... #### 42"}`. */
import { visible } from "../lib/text-file.ts";
import { boxed, hashAnswer } from "./marked-answers.ts";
import { parseNumber } from "./number.ts";
import { kindOf, type Row, readRows } from "./rows.ts";

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
  // Read whole or refused: a gold that is cut to the part that parses would reward wrong answers.
  const gold = parseNumber(hashAnswer(answer) ?? boxed(answer) ?? answer);
  if (!gold.ok) {
    throw refuse(
      `the answer "${visible(answer, 80)}" has no value (${gold.reason})`,
      "An answer ends in #### and one number, has one in \\boxed{}, or is a number alone.",
    );
  }
  return { question, gold: gold.value.toFraction(), place };
}
