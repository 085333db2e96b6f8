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

  it.each<[string, string[]]>([
    // Signs.
    ["5 * (-3) = -15", ["5 * (-3) = -15"]],
    ["5 * (-3) = 15", ["! 5 * (-3) = 15"]],
    ["3 + -4 = -1", ["3 + -4 = -1"]],
    ["3 - -4 = 7", ["3 - -4 = 7"]],
    ["2 * - 3 = -6", ["2 * - 3 = -6"]],
    ["-(3 + 4) = -7", ["-(3 + 4) = -7"]],
    ["(-2) * (-3) = 6", ["(-2) * (-3) = 6"]],
    ["5 - 8 = - 3", ["5 - 8 = - 3"]],
    ["5 = -5", []],
    ["so -5 + 3 = -2", []],
    ["so, -5 + 3 = -2", ["-5 + 3 = -2"]],
    // Powers: of a sum, of a sign, and what is beyond the grammar.
    ["2^3 + 1 = 9", ["2^3 + 1 = 9"]],
    ["2^3 + 1 = 8", ["! 2^3 + 1 = 8"]],
    ["2^3 = 8", ["2^3 = 8"]],
    ["2 ** 3 = 8", ["2 ** 3 = 8"]],
    ["2**3 = 9", ["! 2**3 = 9"]],
    ["2 * 3^2 = 18", ["2 * 3^2 = 18"]],
    ["-2^2 = -4", ["-2^2 = -4"]],
    ["(-2)^2 = 4", ["(-2)^2 = 4"]],
    ["(1/2)^2 = 0.25", ["(1/2)^2 = 0.25"]],
    ["5^0 = 1", ["5^0 = 1"]],
    ["2^3^2 = 512", []],
    ["2^-1 = 0.5", []],
    ["2^1.0 = 2", []],
    ["2^{3} + 1 = 9", []],
    ["2^x + 1 = 9", []],
    ["2³ + 1 = 9", []],
    ["½ + 1 = 1.5", []],
    // The other spellings of operators.
    ["7 · 8 + 1 = 57", ["7 · 8 + 1 = 57"]],
    ["7 ⋅ 8 = 56, 7 ∙ 8 = 55", ["7 ⋅ 8 = 56", "! 7 ∙ 8 = 55"]],
    ["9 – 2 + 1 = 8", ["9 – 2 + 1 = 8"]],
    ["6 ∗ 7 = 42, 84 ∕ 2 = 42", ["6 ∗ 7 = 42", "84 ∕ 2 = 42"]],
    ["3 x 4 + 1 = 13", ["3 x 4 + 1 = 13"]],
    ["3 X (4 + 1) = 15", ["3 X (4 + 1) = 15"]],
    ["(3) x 4 = 13", ["! (3) x 4 = 13"]],
    ["3 x + 4 = 7", []],
    ["3x4 + 1 = 13", []],
    ["\\(3 \\times 4 + 1 = 13\\)", ["3 \\times 4 + 1 = 13"]],
    ["\\[2 \\cdot (3 + 4) \\div 2 = 7\\]", ["2 \\cdot (3 + 4) \\div 2 = 7"]],
    ["\\left(3 + 4\\right) \\, \\times 2 = 14", ["(3 + 4\\right) \\, \\times 2 = 14"]],
    ["\\frac{1}{2} + 1 = 1.5", []],
    ["5 \\pm 2 + 1 = 8", []],
    // Roots, where they are exact.
    ["√9 + 1 = 4", ["√9 + 1 = 4"]],
    ["1 + √9 = 4", ["1 + √9 = 4"]],
    ["√9 = 3", ["√9 = 3"]],
    ["√(16 + 9) = 6", ["! √(16 + 9) = 6"]],
    ["√2.25 = 1.5", ["√2.25 = 1.5"]],
    ["√(1/4) = 1/2", ["√(1/4) = 1/2"]],
    ["√0 = 0", ["√0 = 0"]],
    ["√√16 = 2", ["√√16 = 2"]],
    ["-√4 = -2", ["-√4 = -2"]],
    ["√2 = 1.414", []],
    ["√3 = 2", []],
    ["√(-4) = 2", []],
    ["2√9 = 6", []],
    ["∛8 + 1 = 3", []],
    // Times, ratios, mixed numbers, factorials, shares: a part of them is no side.
    ["12:30 + 1 = 31", []],
    ["3 + 4 = 7:30", []],
    ["at 3: 3 + 4 = 7", ["3 + 4 = 7"]],
    ["3 + 4 = 7: good", ["3 + 4 = 7"]],
    ["1 1/2 + 1 = 2.5", []],
    ["3 / 2 = 1 1/2", []],
    ["8 2 - 27 = -25", []],
    ["3 + 4 = 7 8", ["3 + 4 = 7"]],
    ["6000 * 2 = 12 000", []],
    ["12 000 + 1 = 12001", []],
    ["3 + 4 = 7 100 - 1 = 99", ["3 + 4 = 7", "100 - 1 = 99"]],
    ["3 / 2 = 1 1/2 = 1.5", []],
    ["3! + 1 + 2 = 9", []],
    ["3 + 3 = 3!", ["! 3 + 3 = 3!".slice(0, -1)]],
    ["1 + 5 = 3! + 0", []],
    ["1 + 5 = 3! = 6", []],
    ["50% + 1 + 2 = 3.5", []],
    ["1 / 2 = 50%", []],
    ["5 ± 3 + 1 = 9", []],
    ["3 + 4 = 7 ± 0", []],
    ["90° + 1 + 2 = 93", []],
    ["90 + 1 = 91°", []],
    ["5'2 + 1 = 3", []],
    ["|3 - 5| + 1 + 1 = 4", []],
    ["{3 + 4} * 2 + 1 = 15", []],
    ["[3 + 4] * 2 + 1 = 15", []],
    ["2(3+4) = 14", []],
    ["(3+4)2 + 1 = 15", []],
    ["(3+4) 2 + 1 = 15", []],
    ["15 - 1 = 7(2)", []],
    ["15 - 1 = 14 (2 * 7)", ["15 - 1 = 14"]],
    ["(a) 3 + 4 = 7", ["3 + 4 = 7"]],
    ["a) 3 + 4 = 7", ["3 + 4 = 7"]],
    ["(2) 3 + 4 = 7", ["3 + 4 = 7"]],
    ["7.5.3 + 1 + 2 = 3", []],
    ["1e3 + 1 + 2 = 1003", []],
    // Words that compute, or change a value.
    ["5 mod 3 + 1 = 3", []],
    ["half of 3 + 1 = 2", []],
    ["6 times 2 + 1 = 13", []],
    ["10 / 4 = 2 remainder 2", []],
    ["10 / 4 = 2 R 2", []],
    ["3 + 4 = 7 hundred", []],
    ["3 + 4 = 7 y", []],
    ["k 3 + 4 = 7", []],
    ["10 cm + 5 + 1 = 16", []],
    ["10 - 3 = 7 apples", ["10 - 3 = 7"]],
    ["I know 3 + 4 = 7 and a lot", ["3 + 4 = 7"]],
    ["is 3 + 4 = 7 a sum", ["3 + 4 = 7"]],
    // Money, decimals, thousands.
    ["$3 + $4 = $7", ["3 + $4 = $7"]],
    ["€3.50 * 2 = €7", ["3.50 * 2 = €7"]],
    ["$3 + 4 = 7$", ["3 + 4 = 7"]],
    [".5 + 1 = 1.5", [".5 + 1 = 1.5"]],
    ["1,234 + 1 = 1,235", ["1,234 + 1 = 1,235"]],
    ["1,000,000 / 2 = 500,000.0", ["1,000,000 / 2 = 500,000.0"]],
    ["1,234 + 1 = 1,236", ["! 1,234 + 1 = 1,236"]],
    ["79+36=115,115-5=110,110-10=100", ["79+36=115", "115-5=110", "110-10=100"]],
    ["1,23 + 4 = 27", []],
    ["3 + 4 = 7,5", []],
    ["3 + 4 = 7,5 + 1 = 6", ["3 + 4 = 7", "5 + 1 = 6"]],
    ["0,234 + 1 = 235", []],
    // Bold and code.
    ["so **3 + 4 = 7** is it", ["3 + 4 = 7"]],
    ["*3 + 4 = 7*", ["3 + 4 = 7"]],
    ["`3 + 4 = 7`", ["3 + 4 = 7"]],
    ["| 3 + 4 = 7 | 2 * 2 = 5 |", ["3 + 4 = 7", "! 2 * 2 = 5"]],
    // A loose operator is a list's or a dash, or something larger.
    ["/ 3 + 4 = 7", []],
    ["yes - 3 + 4 = 7", []],
    ["3 + 4 = 7 -", ["3 + 4 = 7"]],
    ["3 + 4 = 7 - x", []],
    ["3 + 4 = 7 +", []],
    ["3 + 4 = \n7", []],
    ["1/3 ≈ 0.3 + 0.03 = 0.33", ["0.3 + 0.03 = 0.33"]],
  ])("parses or leaves alone: %j states %j", (text, right) => {
    expect(stated(text)).toEqual(right);
  });

  it("has limits, and is exact up to them", () => {
    const nested = (depth: number) => `${"(".repeat(depth)}1 + 1${")".repeat(depth)} = 2`;
    expect(stated(nested(50))).toEqual([nested(50)]);
    expect(stated(nested(51))).toEqual([]);
    const long = (terms: number) => `${"1+".repeat(terms)}1 = ${terms + 1}`;
    expect(stated(long(149))).toEqual([long(149)]);
    expect(stated(`10+${long(149)}`)).toEqual([]);
    expect(stated(`${long(149).split(" ")[0]} = 1 + 149`)).toHaveLength(1);
    expect(stated(`${"9".repeat(30)} + 1 = 1${"0".repeat(30)}`)).toEqual([
      `! ${"9".repeat(30)} + 1 = 1${"0".repeat(30)}`,
    ]);
    expect(stated(`${"9".repeat(29)} + 1 = 1${"0".repeat(29)}`)).toHaveLength(1);
    // 4 bits to the fourth place, 128 at most.
    expect(stated("2^32 = 4294967296")).toEqual(["2^32 = 4294967296"]);
    expect(stated("2^33 = 8589934592")).toEqual([]);
    expect(stated("1^999 = 1")).toEqual([]);
    const root = (digits: number) => {
      const one = "9".repeat(digits);
      return `√(${one} * ${one}) = ${one}`;
    };
    expect(stated(root(19))).toEqual([root(19)]);
    expect(stated(root(20))).toEqual([]);
  });

  it("takes time in line with the text for the dearest sides", () => {
    const sides = ["1/7+", "1/9^9+", "√9*", "9^9*", "(((1+", "-", "1.5/", "999999999999999999999999999999*"];
    for (const unit of [
      ...sides.map((side) => `${`${side.repeat(290 / side.length)}1`}=1\n`),
      "1,000=",
      "$",
      "**",
      "\\times ",
    ]) {
      const start = performance.now();
      equations(unit.repeat(200_000 / unit.length));
      expect(performance.now() - start, unit).toBeLessThan(10_000);
    }
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
