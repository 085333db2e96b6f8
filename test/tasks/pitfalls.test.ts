/** What users of other trainers reported of their verifiers, with their inputs and the right answers. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { countdown, countdownOptions } from "../../src/tasks/countdown.ts";
import { extract } from "../../src/tasks/extract.ts";
import { jsonl, jsonlOptions } from "../../src/tasks/jsonl.ts";
import { readWordProblems } from "../../src/tasks/jsonl-rows.ts";
import { boxed, hashAnswer } from "../../src/tasks/marked-answers.ts";
import { parseNumber } from "../../src/tasks/number.ts";

const folder = mkdtempSync(join(tmpdir(), "sputnik-pitfalls-"));
afterAll(() => rmSync(folder, { recursive: true }));

function dataSet(answer: string): string {
  const file = join(folder, "one.jsonl");
  writeFileSync(file, JSON.stringify({ question: "q", answer }));
  return file;
}

const words = jsonl(jsonlOptions.parse({ kind: "jsonl", file: dataSet("1") }));
const judged = (gold: string, completion: string) =>
  words.verify({ id: "", prompt: "", question: "", answer: gold }, completion);

const numbersTask = countdown(countdownOptions.parse({ kind: "countdown" }));
const made = (numbers: number[], target: number, completion: string) =>
  numbersTask.verify({ id: "", prompt: "", numbers, target }, completion);
const answer = (text: string) => `<answer>${text}</answer>`;

describe("B1: line breaks and a left-over end token do not spoil the format", () => {
  const completion = "<think>\nsix plus three\n</think>\n\n<answer>\n9\n</answer>";
  it.each([completion, `${completion}<|im_end|>`])("%j", (text) => {
    expect(extract(text)).toMatchObject({ format: true, answer: "9", thought: "\nsix plus three\n" });
    expect(judged("9", text)).toMatchObject({ value: 1, format: true });
  });
});

it("B2: what the prompt says is no answer", () => {
  const prompt = "Think, then put the result into \\boxed{}.\n<think>\n";
  const verdict = words.verify({ id: "", prompt, question: "", answer: "7" }, "7");
  expect(verdict).toMatchObject({ value: 0, extracted: null, format: false });
});

describe("B3: unequal answers are never equal because the difference is tiny or a part is", () => {
  it.each([
    ["\\frac{1}{900!}", "\\frac{1}{901!}"],
    ["2^{-90}", "2^{-91}"],
    ["12:30", "1:30"],
    ["\\pm 5", "5"],
    ["a=4,5", "a=3,5"],
    ["1, 3, 5, \\ldots", "1, 2, 4, \\ldots"],
  ])("gold %j is refused when the data set loads", (gold, given) => {
    expect(() => readWordProblems(dataSet(gold))).toThrow(/has no value/);
    // Even with the part that would parse as a gold, the other answer is not paid, unless it is that number.
    if (given !== "5") expect(parseNumber(given).ok).toBe(false);
  });

  it("numbers closer than any float can tell are two", () => {
    const [a, b] = ["1/1237940039285380274899124224", "1/1237940039285380274899124225"];
    expect(judged(a, answer(a)).value).toBe(1);
    expect(judged(a, answer(b)).value).toBe(0);
    expect(judged("9007199254740993", answer("9007199254740992")).value).toBe(0);
  });
});

describe("B5: a gold is parsed whole, or its row is refused", () => {
  it.each(["1-\\sqrt{3}", "1-√2", "(2, \\frac{\\pi}{3})", "\\sqrt{2}"])("%j", (gold) => {
    expect(() => readWordProblems(dataSet(gold))).toThrow(/one\.jsonl, line 1: .*has no value/);
  });
});

describe("B6: other operators and decimals are not in the grammar", () => {
  it.each([
    [[2, 5, 4], 10, "2.5*4"],
    [[2, 3], 8, "2**3"],
    [[7, 2], 3, "7//2"],
  ])("%j make %d by %j is 0", (numbers, target, text) => {
    expect(made(numbers, target, answer(text)).value).toBe(0);
  });

  it("a power tower returns at once", () => {
    const start = performance.now();
    expect(made([9, 9, 9, 9], 9, answer("9**9**9**9")).value).toBe(0);
    expect(performance.now() - start).toBeLessThan(2000);
  });
});

it("B7: the answer counts wherever its line breaks are, and text may follow", () => {
  expect(made([1, 2, 3], 9, "<answer>\n(1+2)*3\n</answer>").value).toBe(1);
  expect(made([1, 2, 3], 9, "<answer>(1+2)*3</answer>\nDone.").value).toBe(1);
  expect(made([1, 2, 3], 9, "a</think><answer>\n(1+2)*3\n</answer>\nDone.")).toMatchObject({
    value: 1,
    format: true,
  });
});

it("B8: numbers are a multiset, and values are not cut to integers", () => {
  expect(made([3, 27, 3], 81, answer("3*27"))).toMatchObject({ value: 0, reason: "number 3 not used" });
  expect(made([7, 2], 3, answer("7/2"))).toMatchObject({ value: 0, reason: "value is 7/2, not 3" });
});

describe("B9: the whole completion is scanned", () => {
  it("a long box is read whole", () => {
    const polynomial = Array.from({ length: 20 }, (_, i) => `${i + 2}x^{${i}}`).join("+");
    expect(polynomial.length).toBeGreaterThan(120);
    expect(boxed(`so \\boxed{${polynomial}} it is`)).toBe(polynomial);
  });

  it.each([`\n${"This is the end of 1 long day. ".repeat(14)}`, ` ${"and that is all ".repeat(26)}`])(
    "400 characters of comment after #### 42: %j",
    (comment) => {
      expect(comment.length).toBeGreaterThan(400);
      expect(judged("42", `6 * 7 = 42\n#### 42${comment}`).value).toBe(1);
    },
  );

  it("an answer far from the end, and one far from the start", () => {
    expect(judged("42", `\\boxed{42}${" and so on".repeat(20_000)}`).value).toBe(1);
    expect(judged("42", `${"so, ".repeat(100_000)}\\boxed{42}`).value).toBe(1);
    expect(hashAnswer(`#### 42${"\n".repeat(5000)}`)).toBe("42");
  });
});

describe("B10: nasty answers among ordinary ones (see verifier-pool.test.ts for killable threads)", () => {
  it.each([
    ["a power tower", "\\boxed{9^{9^{9^9}}}"],
    ["a huge power", "\\boxed{(1+x)^{100000}}"],
    ["10,000 nested braces", `\\boxed${"{".repeat(10_000)}1${"}".repeat(10_000)}`],
    ["10,000 open braces", `\\boxed{1}${"\\boxed{".repeat(10_000)}`],
    ["2 MB", "\\boxed{1}".repeat(233_017)],
  ])("%s takes no time", (_name, completion) => {
    const start = performance.now();
    const verdict = judged("7", completion);
    expect(performance.now() - start).toBeLessThan(5000);
    expect(verdict).toMatchObject({ value: 0, format: false });
  });
});

it("B11: several thoughts and answers are no format and no answer", () => {
  const completion = "<think>a</think><answer>1</answer><think>b</think><answer>2</answer>";
  expect(extract(completion)).toMatchObject({ format: false, answer: null });
  for (const gold of ["1", "2"]) {
    expect(judged(gold, completion)).toMatchObject({
      value: 0,
      format: false,
      reason: "2 answers, not one, and they differ",
    });
  }
});

it("H2: only what follows the thought counts, though the thought recites an example", () => {
  const completion = "<think>As in the example, #### 4. Here it is 9.</think>\n#### 9";
  expect(judged("9", completion).value).toBe(1);
  expect(judged("4", completion).value).toBe(0);
});
