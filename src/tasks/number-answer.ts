/**
 * The answer to a word problem: one number, in the first of these forms that the text after the thought has.
 *
 *   answer block   exactly one `<answer>…</answer>`; in it the `\boxed{}`s, or the `####` lines, or else all
 *                  of its text is the answer
 *   \boxed{}       the content of the boxes
 *   ####           the text after the mark on its line, up to a remark in words ("#### 42 apples"); a
 *                  remark that has a digit or an operator, or would change the value, is no remark
 *   last number    only where the task says `answer: last-number`: the last number of the text, whatever
 *                  words are around it, unless they scale it ("18 thousand"); a mixed number ("2 1/2") and one
 *                  whose digits are grouped by blanks or apostrophes ("12 345") cannot be read
 *
 * For bold, dollars or LaTeX's commas around a number see number.ts; a box may contain a unit as LaTeX writes it. A box
 * or a `####` may be repeated with the same value, and an empty one counts only if all are empty. Two values that differ
 * are no answer, whichever is right: a list of answers is none. The last one then is the extracted one. So the extracted
 * answer never depends on the right answer.
 *
 * The format rule is R1's, and in a chat, where the prompt asks for it, one `####` on the last line.
 */
import type { Fraction } from "fraction.js";
import { z } from "zod";
import { type Extraction, trimBlanks } from "./extract.ts";
import { beforeEndToken, boxes, endsInAnswer, filled, hashAnswers } from "./marked-answers.ts";
import { changesValue, clip, isScaled, parseNumber } from "./number.ts";
import type { Verdict } from "./problem.ts";
import type { ChatPromptTemplate } from "./prompt.ts";
import { checkNumber, type Finding, unparsed, verifyAgainst } from "./verdict.ts";

/** "marked": the answer is in an answer block, a box or after ####; "last-number": or else the last number. */
export const answerForm = z
  .enum(["marked", "last-number"])
  .default("marked")
  .describe("`last-number` also accepts the last number of a completion without a marked answer.");

export type AnswerForm = z.infer<typeof answerForm>;

/** `gold` is the right value, "42" or "-7/2"; anything else leaves the sample unscored. */
export function verifyNumber(
  completion: string,
  gold: string,
  template: ChatPromptTemplate,
  form: AnswerForm = "marked",
): Verdict {
  const verdict = verifyAgainst(gold, completion, (found, right) => check(givenAnswers(found, form), right));
  return template === "chat" && verdict.value !== null
    ? { ...verdict, format: endsInAnswer(completion) }
    : verdict;
}

/** The answers in one form. */
interface Given {
  rule: string;
  answers: string[];
  /** Why there is none. */
  reason: string;
  /** Shown where there is no answer. */
  shown: string | null;
}

function check({ rule, answers, reason, shown }: Given, right: Fraction): Finding {
  const last = answers.at(-1);
  if (last === undefined) return unparsed(shown, reason);
  const values = answers.map(valueText);
  const other = values.findIndex((value) => value !== values.at(-1));
  const [a, b] = [answers[other] ?? "", last].map((answer) => clip(answer, 40));
  const finding =
    other === -1
      ? checkNumber(last, right, { units: true })
      : unparsed(last, `two answers differ: ${a} and ${b}`);
  return { ...finding, reason: `${finding.reason} (read from ${rule})` };
}

/** Equal for equal values; a text that is no number equals itself only. */
function valueText(answer: string): string {
  const parsed = parseNumber(answer, { units: true });
  return parsed.ok ? parsed.value.toFraction() : `"${answer}"`;
}

function givenAnswers(found: Extraction, form: AnswerForm): Given {
  const given = (rule: string, answers: string[], reason = ""): Given => ({
    rule,
    answers: filled(answers),
    reason,
    shown: found.shown,
  });
  const marks = (text: string, where: string): Given | null => {
    const inBoxes = boxes(text);
    if (inBoxes.length > 0) return given(`\\boxed{}${where}`, inBoxes);
    const behindMarks = hashAnswers(text);
    return behindMarks.length > 0 ? given(`####${where}`, behindMarks.map(withoutRemark)) : null;
  };
  if (found.answer !== null) {
    const inside = marks(found.answer, " in the answer block");
    return inside ?? given("answer block", [found.answer]);
  }
  if (found.reason !== "no answer block") return given("answer block", [], found.reason);
  const marked = marks(found.rest, "");
  if (marked) return marked;
  const none = "no answer block, \\boxed{} or ####";
  if (form === "marked") return given("", [], none);
  const last = lastNumber(found.rest);
  return given("last number", last === null ? [] : [last], `${none}, and no number`);
}

/** The number before a remark that does not change it; else the line as it is, for the grammar to refuse. */
function withoutRemark(line: string): string {
  // Bold may be opened before the mark, and a token may end the text.
  const text = trimBlanks(withoutBold(beforeEndToken(line)));
  const end = text.search(/[ \t]/);
  if (end === -1 || parseNumber(text).ok) return text;
  const remark = text.slice(end);
  if (NO_REMARK.test(remark) || changesValue(remark.trimStart())) return clip(text, 200);
  return withoutBold(text.slice(0, end).replace(/[,;:!]$/, ""));
}

/** A digit, an operator after a blank, or a dash before a single letter. */
const NO_REMARK = /\p{N}|[ \t][+*/=^<>×÷±·√]|[ \t][-−–][ \t]*(?:\p{L}(?!\p{L})|$)/u;

function withoutBold(text: string): string {
  return text.replace(/^\*\*|\*\*$/g, "");
}

/** A number as prose writes it, with its sign and currency. Linear: a match cannot begin inside another. */
const NUMBER =
  /(?<![\p{L}\p{N}_.,:^/])[-−+]?(?:\\?\$|€|£|¥)?\d[\d,]*(?:\.\d+)?(?:\/\d+)?%?(?![\p{L}\p{N}_]|[.,:^/]\d)/gu;

/** Digits and the blank or mark by which a longer number is cut in groups of three: "12 345", "12'345". */
const GROUP_BEFORE = /(?<![\p{L}\p{N}_.,:^/])\d{1,3}[ \u00a0\u2009\u202f'’]$/u;
/** "2 1/2". */
const WHOLE_BEFORE = /(?<![\p{L}\p{N}_.,:^/])\d[\d,]*[ \u00a0\u2009\u202f]$/u;
/** Characters around the last number that are looked at. */
const NEAR = 24;

/** With what makes another number of it ("18 thousand", "2 1/2", "12 345"): that is for the grammar to refuse. */
function lastNumber(text: string): string | null {
  let last: RegExpExecArray | null = null;
  for (const found of text.matchAll(NUMBER)) last = found;
  if (last === null) return null;
  const [found] = last;
  const before = text.slice(Math.max(0, last.index - NEAR), last.index);
  const cut = /^\d{3}(?:\.\d+)?%?$/.test(found) ? GROUP_BEFORE : found.includes("/") ? WHOLE_BEFORE : null;
  const part = cut?.exec(before);
  if (part) return part[0] + found;
  const end = last.index + found.length;
  const after = text.slice(end, end + NEAR);
  if (found.endsWith(",")) return found.slice(0, -1);
  return isScaled(after) ? trimBlanks(found + after) : found;
}
