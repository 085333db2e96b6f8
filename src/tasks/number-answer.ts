/**
 * The answer to a word problem: one number, marked in one of three ways.
 *
 * The answer rule. What stands after the thought counts. If it has an answer tag, there must be exactly
 * one answer block, and in it a `\boxed{}` or else the whole is the answer. Without such tags the
 * `\boxed{}`s are the answer, and without these the lines of `####`, each up to the first blank, as long
 * as no digit follows on the line. A box or a `####` may be repeated, but only with the same value: to
 * list answers is to give none.
 *
 * The format rule is R1's, and in a chat, where the prompt asks for it, one `####` on the last line.
 */
import type { Extraction } from "./extract.ts";
import { goldValue } from "./jsonl-file.ts";
import { checkNumber, type Finding, judge, unparsed } from "./judge.ts";
import { boxes, hashAnswers } from "./marked-answers.ts";
import { clip } from "./number.ts";
import type { Verdict } from "./problem.ts";
import type { ChatPromptTemplate } from "./prompt.ts";

/** `gold` is the right value, "42" or "-7/2". */
export function judgeNumber(completion: string, gold: string, template: ChatPromptTemplate): Verdict {
  const verdict = judge(completion, (found) => check(found, gold));
  return template === "chat" ? { ...verdict, format: endsInAnswer(completion) } : verdict;
}

function endsInAnswer(completion: string): boolean {
  const last = completion.trimEnd().split("\n").at(-1) as string;
  return completion.split("####").length === 2 && last.startsWith("####");
}

function check(found: Extraction, gold: string): Finding {
  const { answers, reason } = givenAnswers(found);
  const right = goldValue(gold);
  const findings = answers.map((answer) => checkNumber(answer, right));
  const [first] = findings;
  if (!first) return unparsed(null, reason);
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
