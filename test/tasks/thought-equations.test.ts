import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { equations } from "../../src/tasks/thought-equations.ts";
import { anyText, textOf } from "./any-text.ts";

/** "82 - 27 = 55" if true, "! 82 - 27 = 54" if not. */
const stated = (text: string) =>
  equations(text).map((found) => (found.holds ? found.text : `! ${found.text}`));

describe("equations", () => {
  it("gives place, text and truth of each", () => {
    expect(equations("82 - 27 = 55, 55 - 11 = 43, no.\n")).toEqual([
      { index: 0, text: "82 - 27 = 55", holds: true },
      { index: 14, text: "55 - 11 = 43", holds: false },
    ]);
  });

  it.each<[string, string[]]>([
    ["82-27=55,55-11=44!", ["82-27=55", "55-11=44"]],
    ["79+36=111,111-5=94;79-49=38!", ["! 79+36=111", "! 111-5=94", "! 79-49=38"]],
    ["nothing here", []],
    ["", []],
    // What surrounds an equation is not part of it.
    ["so 3 + 4 = 7 and then 7 * 2 = 14.", ["3 + 4 = 7", "7 * 2 = 14"]],
    ["(since 3 + 4 = 7)", ["3 + 4 = 7"]],
    ["(3 + 4 = 7)", ["3 + 4 = 7"]],
    ["1) 3 + 4 = 7 2) 4 + 4 = 9", ["3 + 4 = 7", "! 4 + 4 = 9"]],
    ["1. 3 + 4 = 7.", ["3 + 4 = 7"]],
    ["- 3 + 4 = 7\n- 9 - 1 = 8\n* 2 * 2 = 5", ["3 + 4 = 7", "9 - 1 = 8", "! 2 * 2 = 5"]],
    ["3 + 4 = 7 (good)", ["3 + 4 = 7"]],
    ["12 + 5 = 17\n17 - 4 = 13", ["12 + 5 = 17", "17 - 4 = 13"]],
    ["3 + 4 = 7 9 - 1 = 8", ["3 + 4 = 7", "9 - 1 = 8"]],
    // Exact values: fractions, decimals, signs, parentheses.
    ["(1 + 2) * 3 = 9", ["(1 + 2) * 3 = 9"]],
    ["8 / (3 - 8 / 3) = 24", ["8 / (3 - 8 / 3) = 24"]],
    ["1 / 3 = 0.333", ["! 1 / 3 = 0.333"]],
    ["7 / 2 = 3.5", ["7 / 2 = 3.5"]],
    ["7 / 2 = 7/2", ["7 / 2 = 7/2"]],
    ["7 / 2 = 3", ["! 7 / 2 = 3"]],
    ["3 - 5 = -2", ["3 - 5 = -2"]],
    ["-5 + 3 = -2", ["-5 + 3 = -2"]],
    ["6 × 7 = 42, 84 ÷ 2 = 42, 50 − 8 = 42", ["6 × 7 = 42", "84 ÷ 2 = 42", "50 − 8 = 42"]],
    ["44 = 82 - 38", ["44 = 82 - 38"]],
    // A chain claims each pair.
    ["82 - 27 = 55 - 11 = 44", ["! 82 - 27 = 55 - 11", "55 - 11 = 44"]],
    ["2 + 2 = 4 = 4", ["2 + 2 = 4"]],
    // Without a value it is not true.
    ["7 / 0 = 7", ["! 7 / 0 = 7"]],
    ["03 + 4 = 7", ["! 03 + 4 = 7"]],
    [`${"9".repeat(31)} - 1 = 5`, [`! ${"9".repeat(31)} - 1 = 5`]],
    // No arithmetic claim.
    ["x = 5", []],
    ["5 = 5", []],
    ["2*x + 3 = 7", []],
    ["2x + 3 = 7", []],
    ["7 = 3 + x", []],
    ["3 + 4 = ?", []],
    ["3 + 4 =", []],
    ["= 7", []],
    ["3 + 4 == 7", []],
    ["3 + 4 != 8", []],
    ["3 + 4 <= 8", []],
    ["x = 6 / 2 = 3", ["6 / 2 = 3"]],
  ])("%j states %j", (text, right) => {
    expect(stated(text)).toEqual(right);
  });

  it("finds every generated equation between words, and judges it", () => {
    const term = fc.integer({ min: 0, max: 999 });
    const claim = fc.tuple(term, term, fc.constantFrom("+", "-", "*"), fc.constantFrom(0, 0, 1));
    fc.assert(
      fc.property(fc.array(claim), fc.constantFrom(", ", "; ", " no.\n", " so "), (claims, between) => {
        const results = { "+": (a: number, b: number) => a + b, "-": (a: number, b: number) => a - b };
        const right = claims.map(([a, b, op, error]) => {
          const result = (op === "*" ? a * b : results[op as "+" | "-"](a, b)) + error;
          return { text: `${a} ${op} ${b} = ${result}`, holds: error === 0 };
        });
        const text = right.map((equation) => equation.text).join(between);
        expect(equations(text).map(({ text, holds }) => ({ text, holds }))).toEqual(right);
        for (const { index, text: own } of equations(text))
          expect(text.slice(index).startsWith(own)).toBe(true);
      }),
      { numRuns: 100, seed: 1 },
    );
  });

  it("never throws", () => {
    const known = textOf(..."0123456789+-*/()= .×\nx,!٣");
    fc.assert(
      fc.property(fc.oneof(anyText, known), (text) => {
        return Array.isArray(equations(text));
      }),
      { numRuns: 400, seed: 1 },
    );
  });
});
