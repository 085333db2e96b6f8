/** Which rows of a data file train and which are tests (U4). */
import fs from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { splitRows, splitShares } from "../../src/tasks/jsonl-rows.ts";
import { temporaryFolder } from "../checkpoint/temporary.ts";

const folder = temporaryFolder();

function file(name: string, questions: readonly string[]): string {
  const path = join(folder, name);
  const rows = questions.map((question, i) => JSON.stringify({ question, answer: String(i) }));
  fs.writeFileSync(path, rows.join("\n"));
  return path;
}
const sums = (count: number): string[] => Array.from({ length: count }, (_, i) => `${i} + 1`);
const questions = (rows: readonly { question: string }[]) => rows.map(({ question }) => question);

describe("rows of a file", () => {
  it("are split by shares that the recipe says", () => {
    const rows = splitRows({ file: file("a.jsonl", sums(400)), split: { validation: 0, test: 0.5 } });
    expect(rows.of("train").length + rows.of("test").length).toBe(400);
    // Within four standard deviations of a half: 4 * 10.
    expect(Math.abs(rows.of("test").length - 200)).toBeLessThan(40);
    expect(() => rows.of("validation")).toThrow(
      /a\.jsonl: none of its 400 rows falls into the validation split \(0 % of all rows go to validation, 50 % to test\)/,
    );
    expect(
      splitRows({ file: file("a.jsonl", sums(9)), split: { validation: 0, test: 1 } }).of("test"),
    ).toHaveLength(9);
  });

  it("stay in the test split when its share grows", () => {
    const path = file("a.jsonl", sums(200));
    const usual = questions(splitRows({ file: path }).of("test"));
    const more = questions(splitRows({ file: path, split: { test: 0.4 } }).of("test"));
    expect(usual.length).toBeGreaterThan(5);
    expect(usual.every((question) => more.includes(question))).toBe(true);
  });

  it("leave the tests to a file of their own, and what both have is not trained", () => {
    const test = file("b.jsonl", ["3 + 1", "other", "OTHER  too"]);
    const rows = splitRows({
      file: file("a.jsonl", [...sums(5), "Other Too"]),
      test,
      split: { validation: 0 },
    });
    expect(questions(rows.of("test"))).toEqual(["3 + 1", "other", "OTHER  too"]);
    expect(questions(rows.of("train"))).toEqual(["0 + 1", "1 + 1", "2 + 1", "4 + 1"]);
    expect(rows.shared).toBe(2);
  });

  it("of an empty split say what would help", () => {
    const few = splitRows({ file: file("a.jsonl", ["x"]), split: { validation: 0, test: 0 } });
    expect(() => few.of("test")).toThrow(
      expect.objectContaining({ remedy: expect.stringMatching(/test: FILE .* or a larger share/) }),
    );
    const all = splitRows({ file: file("a.jsonl", ["x"]), split: { validation: 0, test: 1 } });
    expect(() => all.of("train")).toThrow(/Give more rows, or smaller shares/);
  });
});

it("shares are from 0 to 1, and add up to 1 at most", () => {
  for (const right of [{}, { test: 1 }, { validation: 1 }, { validation: 0.5, test: 0.5 }])
    expect(splitShares.safeParse(right).success, JSON.stringify(right)).toBe(true);
  for (const wrong of [
    { test: -0.1 },
    { test: 1.1 },
    { validation: -0.1 },
    { validation: 1.1 },
    { train: 1 },
  ])
    expect(splitShares.safeParse(wrong).success, JSON.stringify(wrong)).toBe(false);
  expect(splitShares.safeParse({ validation: 0.5, test: 0.6 }).error?.issues[0]?.message).toContain(
    "add up to more than 1",
  );
});

it("an empty validation split has a remedy of its own, and shares are told to a tenth of a percent", () => {
  const rows = splitRows({ file: file("a.jsonl", ["x"]), split: { validation: 0, test: 0.0125 } });
  expect(() => rows.of("validation")).toThrow(
    /0 % of all rows go to validation, 1\.3 % to test.*or a larger share \(split: \{ validation: 0\.3 \}\)/,
  );
});
