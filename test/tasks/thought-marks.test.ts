import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ending, endingOf, segments, targetOf } from "../../src/tasks/thought-marks.ts";

describe("segments", () => {
  const marks = (line: string) =>
    segments(line).flatMap(({ text, holds }) => (holds === null ? [] : [[text, holds]]));

  test.each<[string, [string, boolean][]]>([
    [
      "82 - 27 = 55, 55 - 11 = 44, yes!",
      [
        ["82 - 27 = 55", true],
        ["55 - 11 = 44", true],
      ],
    ],
    ["82-27=54;", [["82-27=54", false]]],
    ["11 - 27 = -16", [["11 - 27 = -16", true]]],
    [
      "9 / 3 = 3, 9 / 2 = 4, 5 / 0 = 0",
      [
        ["9 / 3 = 3", true],
        ["9 / 2 = 4", false],
        ["5 / 0 = 0", false],
      ],
    ],
    ["999999999999999 * 999999999999999 = 1", [["999999999999999 * 999999999999999 = 1", false]]],
    // As the verifier reads them (T6): whole, or not at all.
    ["1 + 2 + 3 = 6", [["1 + 2 + 3 = 6", true]]],
    ["1 + 2 = 3 + 4", [["1 + 2 = 3 + 4", false]]],
    ["1.5 + 2 = 3.5", [["1.5 + 2 = 3.5", true]]],
    ["(1 + 2) * 3 = 9", [["(1 + 2) * 3 = 9", true]]],
    ["1 + 2 = 3.5", [["1 + 2 = 3.5", false]]],
    ["2^3 + 1 = 9", [["2^3 + 1 = 9", true]]],
    ["√9 + 1 = 4", [["√9 + 1 = 4", true]]],
    ["7 × 8 + 1 = 57", [["7 × 8 + 1 = 57", true]]],
    ["5 * (-3) = -15", [["5 * (-3) = -15", true]]],
    ["1,234 + 1 = 1,235", [["1,234 + 1 = 1,235", true]]],
    ["at 12:30 + 1 = 31", []],
    ["2*x + 3 = 7", []],
    ["no equation = here", []],
    [
      "82 - 27 = 55 - 11 = 44",
      [
        ["82 - 27 = 55 - 11", false],
        [" = 44", true],
      ],
    ],
  ])("%s", (line, expected) => {
    expect(marks(line)).toEqual(expected);
  });

  test("joined, they are the line, and long lines are quick", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(..."0123456789+-*/= .(),no") }), (line) => {
        expect(
          segments(line)
            .map(({ text }) => text)
            .join(""),
        ).toBe(line);
      }),
    );
    const began = performance.now();
    for (const unit of ["1 ", "1+", " ", "1 + 1 = 2, ", "="]) segments(unit.repeat(5000));
    expect(performance.now() - began).toBeLessThan(1000);
  });
});

test("an attempt ends in a hit, a miss or neither", () => {
  expect(["1 + 1 = 2, yes!", "1 + 1 = 2, no.", "1 + 1 = 2", "yes! and no"].map(ending)).toEqual([
    "hit",
    "miss",
    null,
    null,
  ]);
});

test("U8: a claim that is refuted is no hit", () => {
  const of = (line: string, target: string | null, refuted = false) => endingOf(line, { target, refuted });
  expect(of("82 - 27 = 55, 55 - 11 = 44, yes!", "44")).toBe("hit");
  expect(of("42 + 5 = 47, yes!", "90")).toBe("claim");
  // Ends in the target by a false equation; by true ones, but with a number twice, which the verifier knows.
  expect(of("82 - 27 = 54, 54 - 11 = 44, yes!", "44")).toBe("claim");
  expect(of("55 - 11 = 44, yes!", "44", true)).toBe("claim");
  expect(of("42 + 5 = 47, yes!", null)).toBe("hit");
  expect(of("44 = 82 - 38, yes!", "44")).toBe("hit");
  expect(of("7 / 2 = 3.5, yes!", "4")).toBe("claim");
  expect(of("1,000 + 1 = 1,001, yes!", "1001")).toBe("hit");
  expect(of("55 - 11 = 40 + 4, yes!", "44")).toBe("claim");
  expect(of("42 + 5 = 47, no.", "90", true)).toBe("miss");
  expect(["82, 27, 11 make 44", "82 27 11 = 44", "3 5 → -7", "Ann has 3 apples"].map(targetOf)).toEqual([
    ...["44", "44", "-7", null],
  ]);
});
