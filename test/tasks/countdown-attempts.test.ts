import { describe, expect, it } from "vitest";
import { Random } from "../../src/lib/random.ts";
import { type CountdownOptions, countdown } from "../../src/tasks/countdown.ts";
import { type AttemptOptions, attemptDocument, singleEquation } from "../../src/tasks/countdown-attempts.ts";
import { validResult } from "../../src/tasks/countdown-generate.ts";

const TASK: CountdownOptions = {
  kind: "countdown",
  numbers: [3],
  numberRange: [1, 99],
  targetRange: [10, 100],
  maxResult: 200,
  languages: ["en"],
};
const task = countdown(TASK);
const options: AttemptOptions = {
  hint: 0.12,
  singles: 0.3,
  maxAttempts: 12,
  goOn: 0.5,
  maxResult: 200,
  products: 0,
  distinct: false,
  languages: ["en"],
  sameLanguage: 1,
};
const COUNT = 2000;

function documents(changed: Partial<AttemptOptions>): { prompt: string; completion: string }[] {
  return Array.from({ length: COUNT }, (_, i) => attemptDocument(task, { ...options, ...changed }, 1, i));
}

const attempts = (completion: string): string[] =>
  completion
    .split("</think>")[0]
    .split("\n")
    .filter((line) => line !== "");

describe("validResult", () => {
  it.each<[number, "+" | "-" | "*" | "/", number, number | null]>([
    [3, "+", 7, 10],
    [4, "+", 7, null],
    [7, "-", 7, 0],
    [7, "-", 8, null],
    [2, "*", 5, 10],
    [1, "*", 11, null],
    [8, "/", 4, 2],
    [8, "/", 3, null],
    [8, "/", 0, null],
    [0, "/", 4, 0],
    [110, "/", 10, null],
    [100, "/", 10, 10],
  ])("%d %s %d, at most 10, is %j", (a, op, b, result) => {
    expect(validResult(a, op, b, 10)).toBe(result);
  });
});

describe("singleEquation", () => {
  it("is true, within the limit, with all four operations as often", () => {
    const random = new Random(1, "single equations");
    const counts = new Map<string, number>();
    for (let i = 0; i < 2000; i++) {
      const text = singleEquation(random, 120);
      const [, a, op, b, result] = /^(\d+) ([-+*/]) (\d+) = (\d+)$/.exec(text) as RegExpExecArray;
      expect({ "+": +a + +b, "-": +a - +b, "*": +a * +b, "/": +a / +b }[op], text).toBe(+result);
      expect(Math.max(+a, +b, +result), text).toBeLessThanOrEqual(120);
      counts.set(op, (counts.get(op) ?? 0) + 1);
    }
    // 500 each, give or take five standard errors of 19.
    for (const op of "+-*/") expect(Math.abs(counts.get(op)! - 500), op).toBeLessThan(97);
  });

  it("exists for the smallest limit", () => {
    const random = new Random(2, "single equations");
    const made = new Set(Array.from({ length: 200 }, () => singleEquation(random, 1)));
    expect([...made].sort()).toEqual([
      "0 + 1 = 1",
      "1 * 1 = 1",
      "1 + 0 = 1",
      "1 - 0 = 1",
      "1 - 1 = 0",
      "1 / 1 = 1",
    ]);
  });
});

describe("attemptDocument", () => {
  it("gives the same document for the same seed and index, and others for others", () => {
    const [a, b] = [documents({}), documents({})];
    expect(a).toEqual(b);
    expect(new Set(a.map(({ prompt, completion }) => prompt + completion)).size).toBeGreaterThan(
      0.95 * COUNT,
    );
  });

  it("writes true equations only, and says yes to a hit and no to a miss", () => {
    for (const { prompt, completion } of documents({})) {
      for (const [, a, op, b, result] of completion.matchAll(/(\d+) ([-+*/]) (\d+) = (\d+)/g))
        expect({ "+": +a + +b, "-": +a - +b, "*": +a * +b, "/": +a / +b }[op], completion).toBe(+result);
      const target = /make (\d+)/.exec(prompt)?.[1];
      if (target === undefined) continue;
      for (const line of attempts(completion))
        expect(line.endsWith("yes!"), `${prompt}${line}`).toBe(
          /= (\d+), (yes!|no\.)$/.exec(line)?.[1] === target,
        );
    }
  });

  it("never makes an attempt twice where they are to be distinct", () => {
    const repeats = (distinct: boolean) =>
      documents({ distinct, goOn: 1, hint: 0 }).filter(({ completion }) => {
        const lines = attempts(completion);
        return new Set(lines).size < lines.length;
      }).length;
    expect(repeats(false)).toBeGreaterThan(COUNT / 5);
    expect(repeats(true)).toBe(0);
  });

  it("draws the asked share of problems that need a product or a quotient", () => {
    // With hint 1 the one attempt is the known solution.
    const share = (products: number) =>
      documents({ products, hint: 1, singles: 0 }).filter(({ completion }) =>
        / [*/] /.test(completion.split("</think>")[0]),
      ).length / COUNT;
    const plain = share(0);
    expect(plain).toBeLessThan(0.15);
    // 0.4 of the problems are redrawn, the others are as they come; 4 standard errors are 0.044.
    expect(Math.abs(share(0.4) - (0.4 + 0.6 * plain))).toBeLessThan(0.05);
  });
});

describe("in two languages", () => {
  const both = countdown({ ...TASK, languages: ["en", "bg"] });
  const inBoth = (sameLanguage: number) =>
    Array.from({ length: COUNT }, (_, i) =>
      attemptDocument(both, { ...options, singles: 0, languages: ["en", "bg"], sameLanguage }, 1, i),
    );

  it.each([1, 0.7, 0])("a share of %s of the attempts is in the prompt's language", (share) => {
    let [same, all] = [0, 0];
    for (const { prompt, completion } of inBoth(share)) {
      const bulgarian = prompt.includes("правят");
      for (const [word] of completion.matchAll(/no|yes|не|да/g)) {
        all++;
        if (/[а-я]/.test(word) === bulgarian) same++;
      }
    }
    expect(Math.abs(same / all - share)).toBeLessThan(share === 0.7 ? 0.03 : 1e-9);
  });
});
