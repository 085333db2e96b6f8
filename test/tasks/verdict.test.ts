/** Right answers that are none: no completion may be paid, or punished, for them. */
import { Fraction } from "fraction.js";
import { describe, expect, it } from "vitest";
import { arithmetic, arithmeticOptions } from "../../src/tasks/arithmetic.ts";
import { countdown, countdownOptions } from "../../src/tasks/countdown.ts";
import { equationsOptions, equationsTask } from "../../src/tasks/equations.ts";
import { extract } from "../../src/tasks/extract.ts";
import { verifyNumber } from "../../src/tasks/number-answer.ts";
import type { Task, Verdict } from "../../src/tasks/problem.ts";
import {
  COMPLETION_LIMIT,
  checkBlock,
  checkedVerdict,
  checkNumber,
  fault,
  oversized,
  unparsed,
  verifyCompletion,
} from "../../src/tasks/verdict.ts";
import { wordProblems, wordProblemsOptions } from "../../src/tasks/word-problems.ts";

const UNSCORED = { value: null, kind: "unscored", extracted: null, canonical: null, format: false };

/** The gold as a library's user may pass it, whatever the type says. */
const verifyWith = (task: unknown, gold: unknown, completion: string): Verdict =>
  (task as Task).verify({ id: "", prompt: "", answer: gold } as never, completion);

const byText = {
  words: { verify: ({ answer }: { answer: string }, text: string) => verifyNumber(text, answer, "plain") },
  chat: { verify: ({ answer }: { answer: string }, text: string) => verifyNumber(text, answer, "chat") },
  arithmetic: arithmetic(arithmeticOptions.parse({ kind: "arithmetic" })),
  equations: equationsTask(equationsOptions.parse({ kind: "equations" })),
};

describe.each(Object.entries(byText))("%s with a right answer that is none", (_name, task) => {
  it.each<[unknown, string]>([
    ["", 'empty answer ("")'],
    [" ", 'empty answer (" ")'],
    ["\n\t", 'empty answer ("\n\t")'],
    ["-", 'empty answer ("-")'],
    ["\\boxed{}", 'answer is not one plain number ("\\boxed{}")'],
    ["####", 'answer is not one plain number ("####")'],
    ["NaN", 'answer is not one plain number ("NaN")'],
    ["null", 'answer is not one plain number ("null")'],
    ["4,5", 'answer is not one plain number ("4,5")'],
    ["1/0", 'division by zero ("1/0")'],
    ["/", 'answer is not one plain number ("/")'],
    [`x${"0".repeat(40)}`, `answer is not one plain number ("x${"0".repeat(39)}…")`],
    ["1".repeat(401), `answer longer than 400 characters ("${"1".repeat(40)}…")`],
    [undefined, "undefined, not a string"],
    [null, "object, not a string"],
    [42, "number, not a string"],
    [Number.NaN, "number, not a string"],
    [["42"], "object, not a string"],
  ])("%j leaves every completion unscored", (gold, reason) => {
    for (const answer of ["0", "", "42", "NaN", "\\boxed{0}", "\\boxed{}"])
      expect(verifyWith(task, gold, `a</think><answer>${answer}</answer>`)).toEqual({
        ...UNSCORED,
        reason: `gold not usable: ${reason}`,
      });
  });

  it("uses golds of any exact size", () => {
    const small = `1/1${"0".repeat(197)}`;
    expect(verifyWith(task, small, `<answer>0.${"0".repeat(196)}1</answer>`)).toMatchObject({ value: 1 });
    expect(verifyWith(task, "1".repeat(400), "<answer>1</answer>")).toMatchObject({
      value: 0,
      kind: "wrong",
    });
  });
});

describe("word problems whose answer is no number", () => {
  const task = wordProblems(wordProblemsOptions.parse({ kind: "word-problems" }));
  it.each([Number.NaN, Number.POSITIVE_INFINITY, undefined, null, "", "x"])("%j", (answer) => {
    expect(verifyWith(task, answer, "<answer>0</answer>")).toMatchObject(UNSCORED);
  });
  it("are scored at 0 and -5", () => {
    expect(verifyWith(task, 0, "<answer>0</answer>").value).toBe(1);
    expect(verifyWith(task, -5, "<answer>-5</answer>").value).toBe(1);
  });
});

describe("Countdown with a problem that is none", () => {
  const task = countdown(countdownOptions.parse({ kind: "countdown" }));
  const given = (numbers: unknown, target: unknown, answer = "3-3") =>
    task.verify({ id: "", prompt: "", numbers, target } as never, `a</think><answer>${answer}</answer>`);

  it.each<[unknown, unknown]>([
    [[3, 3], undefined],
    [[3, 3], null],
    [[3, 3], ""],
    [[3, 3], Number.NaN],
    [[3, 3], Number.POSITIVE_INFINITY],
    [[3, 3], 0.5],
    [[3, 3], -1],
    [[3, 3], 2 ** 53],
    [[], 0],
    [[3, Number.NaN], 0],
    [[3, "3"], 0],
    [[3, -3], 0],
    [undefined, 0],
    ["33", 0],
  ])("%j make %j leaves the sample unscored", (numbers, target) => {
    expect(given(numbers, target)).toEqual({
      ...UNSCORED,
      reason: "gold not usable: numbers or target are no whole numbers",
    });
  });

  it("judges the target 0", () => {
    expect(given([3, 3], 0).value).toBe(1);
    expect(given([0, 3], 0, "0*3").value).toBe(1);
  });
});

describe("verifyCompletion", () => {
  it("says that the verifier failed, not the completion", () => {
    const broken = (thrown: unknown) =>
      verifyCompletion("a</think><answer>1</answer>", () => {
        throw thrown;
      });
    expect(broken(new Error("a bug"))).toEqual({ ...UNSCORED, reason: "verifier fault: a bug" });
    expect(broken("text")).toEqual({ ...UNSCORED, reason: "verifier fault: text" });
    expect(fault(new Error("x".repeat(301))).reason).toBe(`verifier fault: ${"x".repeat(300)}…`);
  });

  it("gives the check what was extracted, up to the limit of characters", () => {
    const seen: (string | null)[] = [];
    const text = (length: number) => `</think><answer>1</answer>${" ".repeat(length)}`.slice(0, length);
    const check = ({ answer }: { answer: string | null }) => {
      seen.push(answer);
      return { right: true, extracted: "x".repeat(1001), canonical: "y".repeat(1000), reason: "fine" };
    };
    expect(verifyCompletion(text(COMPLETION_LIMIT), check)).toEqual({
      value: 1,
      kind: "right",
      extracted: `${"x".repeat(1000)}…`,
      canonical: "y".repeat(1000),
      format: true,
      reason: "fine",
    });
    expect(verifyCompletion(text(COMPLETION_LIMIT + 1), check)).toMatchObject({
      value: 0,
      kind: "unparsed",
      format: false,
    });
    expect(seen).toEqual(["1"]);
  });
});

describe("a verdict of code that is not ours", () => {
  const filled = { extracted: null, canonical: null, format: false, reason: "" };
  it.each<[unknown, object]>([
    [{ value: 1 }, { ...filled, value: 1, kind: "right" }],
    [{ value: 0 }, { ...filled, value: 0, kind: "wrong" }],
    [{ value: 0.5 }, { ...filled, value: 0.5, kind: "wrong" }],
    [{ value: null }, { ...filled, value: null, kind: "unscored" }],
    [{}, { ...filled, value: null, kind: "unscored" }],
    [
      { value: 0, kind: "unparsed" },
      { ...filled, value: 0, kind: "unparsed" },
    ],
    [
      { value: 1, extracted: "a" },
      { ...filled, value: 1, kind: "right", extracted: "a", canonical: "a" },
    ],
    [
      { value: 0, kind: "unparsed", extracted: "a", canonical: null, format: true, reason: "b" },
      { value: 0, kind: "unparsed", extracted: "a", canonical: null, format: true, reason: "b" },
    ],
    [
      { value: 1, extracted: 7, format: "yes", reason: 7 },
      { ...filled, value: 1, kind: "right", reason: "7" },
    ],
    [null, { ...UNSCORED, reason: "verifier fault: its verdict is null" }],
    [undefined, { ...UNSCORED, reason: "verifier fault: its verdict is undefined" }],
    [1, { ...UNSCORED, reason: "verifier fault: its verdict is 1" }],
    ...[Number.NaN, Number.POSITIVE_INFINITY, -0.1, 1.1, "1", true].map((value): [unknown, object] => [
      { value },
      {
        ...UNSCORED,
        reason: `verifier fault: the value of its verdict is ${value}, neither null nor from 0 to 1`,
      },
    ]),
  ])("%j", (given, verdict) => {
    expect(checkedVerdict(() => given)).toEqual(verdict);
  });

  it.each([
    [{ value: 1, kind: "wrong" }, "right"],
    [{ value: 1, kind: "constructor" }, "right"],
    [{ value: 0, kind: "right" }, "wrong"],
    [{ value: 0, kind: "foo" }, "wrong"],
    [{ value: 0, kind: "unscored" }, "wrong"],
    [{ value: 0, kind: "unparsed" }, "unparsed"],
    [{ value: 0.5, kind: "right" }, "wrong"],
    [{ value: null, kind: "right" }, "unscored"],
  ])("%j is counted by its value, as %s", (given, kind) => {
    expect(checkedVerdict(() => given).kind).toBe(kind);
  });

  it.each([[42], [{}], [null]])("a canonical answer %j is none", (canonical) => {
    expect(checkedVerdict(() => ({ value: 0, extracted: "42", canonical })).canonical).toBeNull();
  });

  it("that is thrown is a fault", () => {
    expect(
      checkedVerdict(() => {
        throw new Error("a bug");
      }),
    ).toEqual({ ...UNSCORED, reason: "verifier fault: a bug" });
  });
});

describe("a finding", () => {
  const half = new Fraction(1, 2);

  it("compares one number exactly", () => {
    expect(checkNumber("0.50", half)).toEqual({
      ...{ right: true, extracted: "0.50", canonical: "1/2", reason: "right" },
    });
    expect(checkNumber("2", half)).toEqual({
      ...{ right: false, extracted: "2", canonical: "2", reason: "answer is 2, not 1/2" },
    });
    expect(checkNumber("two", half)).toEqual(unparsed("two", "answer is not one plain number"));
  });

  it("without an answer is what was shown, and why", () => {
    expect(unparsed("a", "b")).toEqual({ right: false, extracted: "a", canonical: null, reason: "b" });
    expect(checkBlock(extract("</think>1/2"), half)).toEqual(unparsed(null, "no answer block"));
    expect(checkBlock(extract("</think><answer>1/2</answer>"), half)).toMatchObject({ right: true });
  });

  it("becomes a verdict", () => {
    expect(verifyCompletion("</think>", () => unparsed(null, "none"))).toEqual({
      ...{ value: 0, kind: "unparsed", extracted: null, canonical: null, format: false, reason: "none" },
    });
    expect(verifyCompletion("</think>", () => checkNumber("2", half))).toMatchObject({
      value: 0,
      kind: "wrong",
    });
    expect(oversized("a".repeat(COMPLETION_LIMIT))).toBeNull();
    expect(oversized("a".repeat(COMPLETION_LIMIT + 1))?.reason).toBe(
      "completion longer than 1000000 characters",
    );
  });
});
