import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { jsonl, jsonlOptions } from "../../src/tasks/jsonl.ts";
import { readWordProblems } from "../../src/tasks/jsonl-rows.ts";
import { equations } from "../../src/tasks/thought-equations.ts";
import { anyText, textOf } from "./any-text.ts";
import { NUMBER_ATTACKS, NUMBER_RIGHT } from "./number-attacks.ts";

const SAMPLE = "recipes/data/word-problems.jsonl";
const folder = mkdtempSync(join(tmpdir(), "sputnik-jsonl-"));
afterAll(() => rmSync(folder, { recursive: true }));

function file(...lines: (string | object)[]): string {
  const path = join(folder, "set.jsonl");
  writeFileSync(
    path,
    lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n"),
  );
  return path;
}

const make = (path: string, limit?: number) =>
  jsonl(jsonlOptions.parse({ kind: "jsonl", file: path, limit }));
const task = make(SAMPLE);
const problem = { id: "", prompt: "", question: "", answer: "42" };
const SPLITS = ["train", "validation", "test"] as const;

describe("a data set", () => {
  it("is read with golds behind ####, in a box, or alone", () => {
    const path = file(
      { question: "a", answer: "6*7=42 #### no\n#### 1,234" },
      "",
      { question: "b", answer: "so \\boxed{\\frac{1}{2}}", source: "other keys are allowed" },
      { question: "c", answer: "-7" },
    );
    expect(readWordProblems(path)).toEqual([
      { question: "a", gold: "1234", place: "line 1" },
      { question: "b", gold: "1/2", place: "line 3" },
      { question: "c", gold: "-7", place: "line 4" },
    ]);
    expect(readWordProblems(path, 2)).toHaveLength(2);
  });

  const GOOD = { question: "a", answer: "#### 1" };
  it.each<[string, string, RegExp]>([
    ["not JSON", '{"question": "b"', /set\.jsonl, line 3: not JSON .*Expected: a JSON object such as/],
    ["an array", "[1]", /line 3: a list, not an object/],
    ["no question", '{"answer": "#### 1"}', /line 3: field "question": there is none, the keys are answer/],
    ["a numeric answer", '{"question": "b", "answer": 1}', /line 3: field "answer": the number 1, not text/],
    ["an empty question", '{"question": " ", "answer": "#### 1"}', /line 3: field "question"/],
    [
      "a gold in words",
      '{"question": "b", "answer": "#### one"}',
      /line 3: the answer "#### one" has no value/,
    ],
    ["an empty gold", '{"question": "b", "answer": "####"}', /line 3: .*empty answer/],
    ["a gold that is a list", '{"question": "b", "answer": "#### 4,5"}', /line 3: .*not one plain number/],
    [
      "a gold that is a root",
      '{"question": "b", "answer": "1-\\\\sqrt{3}"}',
      /line 3: .*not one plain number/,
    ],
    ["a gold that is a pair", '{"question": "b", "answer": "(2, 3)"}', /line 3: .*not one plain number/],
    ["a gold that is an equation", '{"question": "b", "answer": "2x-5y+7=0"}', /line 3: .*not one plain/],
    [
      "a gold with a factorial",
      '{"question": "b", "answer": "\\\\frac{1}{900!}"}',
      /line 3: .*not one plain/,
    ],
    ["a power", '{"question": "b", "answer": "2^{-90}"}', /line 3: .*not one plain number/],
    ["a division by zero", '{"question": "b", "answer": "#### 1/0"}', /line 3: .*division by zero/],
  ])("with %s on a line names file, line and what was expected", (_name, line, message) => {
    const path = file(GOOD, GOOD, line, GOOD);
    expect(() => make(path)).toThrow(expect.objectContaining({ kind: "data-set" }));
    expect(() => make(path)).toThrow(message);
    // Rows beyond the limit are not looked at.
    expect(() => make(path, 2)).not.toThrow();
  });

  it("that is missing, empty or not UTF-8 is refused", () => {
    expect(() => make("no/such.jsonl")).toThrow(
      /^no\/such\.jsonl: there is no such file\. Expected: a JSON object such as/,
    );
    expect(() => make(file("", "  "))).toThrow(/the file has no rows/);
    const path = join(folder, "latin1.jsonl");
    writeFileSync(path, Buffer.from([0x7b, 0xe9, 0x7d]));
    expect(() => make(path)).toThrow(expect.objectContaining({ kind: "data-set" }));
  });

  it("may have a byte-order mark and carriage returns", () => {
    const path = file(`\ufeff${JSON.stringify(GOOD)}\r`, `${JSON.stringify(GOOD)}\r`);
    expect(readWordProblems(path)).toHaveLength(2);
  });

  it("carries file and line as data", () => {
    try {
      make(file(GOOD, "oops"));
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({ data: { file: join(folder, "set.jsonl"), line: 2 } });
    }
  });
});

describe("the splits of a data set", () => {
  const size = 500;
  const rows = Array.from({ length: size }, (_, i) => ({
    question: `What is ${i} + 1?`,
    answer: `#### ${i + 1}`,
  }));
  const all = make(file(...rows));

  it("never overlap, leave no row out, and visit each once a pass", () => {
    const questions = SPLITS.map((split) => {
      const seen: string[] = [];
      for (let index = 0; ; index++) {
        const { question } = all.generate({ seed: 1, split, index });
        if (seen.includes(question)) return seen;
        seen.push(question);
      }
    });
    expect(new Set(questions.flat()).size).toBe(size);
    expect(questions.flat()).toHaveLength(size);
    expect(questions[0]!.length).toBeGreaterThan(350);
  });

  it("have an order by seed and pass", () => {
    const pass = (seed: number, from: number) =>
      Array.from({ length: 30 }, (_, i) => all.generate({ seed, split: "train", index: from + i }).question);
    expect(pass(1, 0)).toEqual(pass(1, 0));
    expect(pass(1, 0)).not.toEqual(pass(2, 0));
  });

  it("keep the same question in other spelling together", () => {
    const twice = rows.flatMap((row) => [row, { ...row, question: ` ${row.question.toUpperCase()}  ` }]);
    const both = make(file(...twice));
    const owner = new Map<string, string>();
    for (const split of SPLITS) {
      for (let index = 0; index < 1000; index++) {
        const question = both.generate({ seed: 1, split, index }).question.toLowerCase();
        expect(owner.get(question) ?? split).toBe(split);
        owner.set(question, split);
      }
    }
  });

  it("that have no row say so", () => {
    const one = make(file({ question: "a", answer: "1" }));
    const counts = SPLITS.map((split) => {
      try {
        return one.generate({ seed: 1, split, index: 0 }).answer;
      } catch (error) {
        expect(error).toMatchObject({ kind: "data-set" });
        expect((error as Error).message).toContain(`none of its 1 rows falls into the ${split} split`);
        return null;
      }
    });
    expect(counts.filter((answer) => answer === "1")).toHaveLength(1);
  });
});

describe("the sample data set", () => {
  it("has true equations, and answers that its own verifier pays, in all three splits", () => {
    const lines = readFileSync(SAMPLE, "utf8").trim().split("\n");
    expect(lines.length).toBeGreaterThanOrEqual(30);
    for (const line of lines) {
      const { answer } = JSON.parse(line) as { answer: string };
      expect(equations(answer).filter((equation) => !equation.holds)).toEqual([]);
    }
    for (const split of SPLITS) {
      const made = task.generate({ seed: 1, split, index: 0 });
      expect(made.prompt).toBe(`${made.question}\n<think>\n`);
      expect(task.verify(made, `a</think><answer>${made.answer}</answer>`).value).toBe(1);
    }
  });
});

describe("word problems, 42 being right", () => {
  it.each<[string, string, boolean]>([
    ...NUMBER_RIGHT,
    ["a box in the answer block", "a</think><answer>so \\boxed{42}</answer>", true],
    ["a box", "a</think>The answer is \\boxed{42}.", false],
    ["the same box twice", "a</think>\\boxed{42}, that is \\boxed{42.0}", false],
    ["a hash answer", "6 * 7 = 42\n#### 42", false],
    ["a hash answer and a remark", "a</think>#### 42 is what I found", false],
    ["other boxes in the thought", "\\boxed{41}</think>\\boxed{42}", false],
    ["dollars", "a</think>\\boxed{\\$42}", false],
  ])("pays %s", (_name, completion, format) => {
    expect(task.verify(problem, completion)).toMatchObject({
      value: 1,
      kind: "right",
      canonical: "42",
      format,
      reason: expect.stringMatching(
        /^right \(read from (####|(\\boxed\{\} in the )?answer block|\\boxed\{\})\)$/,
      ),
    });
  });

  it.each<[string, string, string]>([
    ...NUMBER_ATTACKS,
    ["two boxes, the right one last", "a</think>\\boxed{41} \\boxed{42}", "two answers differ: 41 and 42"],
    ["two boxes, the right one first", "a</think>\\boxed{42} \\boxed{41}", "two answers differ: 42 and 41"],
    ["a box with a list", "a</think>\\boxed{41, 42}", "not one plain number"],
    ["a box in a box", "a</think>\\boxed{\\boxed{42}}", "not one plain number"],
    ["a box that never closes", "a</think>\\boxed{42", "no answer"],
    ["a box in the thought only", "\\boxed{42}</think>", "no answer"],
    ["a box beside another answer block", "a</think>\\boxed{42}<answer>41</answer>", "answer is 41, not 42"],
    ["a box beside a broken answer block", "a</think>\\boxed{42}<answer>42", "answer block not closed"],
    [
      "a box beside two answer blocks",
      "a</think>\\boxed{42}<answer>42</answer><answer>42</answer>",
      "2 answers",
    ],
    [
      "two boxes in the answer block",
      "a</think><answer>\\boxed{41} \\boxed{42}</answer>",
      "two answers differ: 41 and 42",
    ],
    ["two hash answers", "#### 41\n#### 42", "two answers differ: 41 and 42"],
    ["two hash answers on a line", "#### 42 #### 41", "two answers differ: 42 and 41"],
    ["a hash answer with an or", "#### 42 or 43", "not one plain number"],
    ["a hash answer with Arabic digits in its remark", "#### 42 or ٤٣", "not one plain number"],
    ["a hash answer in the thought only", "#### 42\n</think>\n", "no answer"],
    ["a hash answer beside a wrong box", "a</think>\\boxed{41}\n#### 42", "answer is 41, not 42"],
    ["an empty hash answer", "a</think>####", "empty answer"],
    ["three hashes", "a</think>### 42", "no answer"],
  ])("pays nothing for %s", (_name, completion, reason) => {
    const verdict = task.verify(problem, completion);
    expect(verdict.value).toBe(0);
    expect(verdict.reason).toContain(reason);
  });

  it("never throws", () => {
    const known = textOf(
      "</think>",
      "<answer>",
      "</answer>",
      "\\boxed{",
      "}",
      "####",
      "42",
      "4",
      "\n",
      " ",
      ",",
    );
    fc.assert(
      fc.property(fc.oneof(anyText, known), (text) => {
        expect([0, 1]).toContain(task.verify(problem, text).value);
      }),
      { numRuns: 400, seed: 1 },
    );
  });
});
