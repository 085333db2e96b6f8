import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { countdown, countdownOptions, parseUserProblem } from "../../src/tasks/countdown.ts";
import { solve } from "../../src/tasks/countdown-solve.ts";

describe("parseUserProblem", () => {
  it.each([
    ["82 27 11 = 44", [82, 27, 11], 44],
    ["82, 27, 11 make 44", [82, 27, 11], 44],
    ["82,27,11=44", [82, 27, 11], 44],
    ["3 5 7 -> 22", [3, 5, 7], 22],
    ["3 5 7 => 22", [3, 5, 7], 22],
    ["3; 5; 7 → 22\n", [3, 5, 7], 22],
    ["3 and 5 to 15", [3, 5], 15],
    ["3, 5 and 7: 22", [3, 5, 7], 22],
    ["3 5 make 22", [3, 5], 22],
    ["3 AND 5 To 22", [3, 5], 22],
    ["3,,;5\t7 = 22", [3, 5, 7], 22],
    // The limits are allowed themselves.
    ["1 100 = 1", [1, 100], 1],
    ["1 2 3 4 5 = 999", [1, 2, 3, 4, 5], 999],
    [`${" ".repeat(195)}1 2=3`, [1, 2], 3],
    ["  1 2 3 4 MAKES 24 ", [1, 2, 3, 4], 24],
  ])("%j", (text, numbers, target) => {
    const prompt = `${numbers.join(", ")} make ${target}\n<think>\n`;
    expect(parseUserProblem(text)).toEqual({ id: "countdown/user", prompt, numbers, target });
  });

  it.each([
    [
      "",
      /There is no = before a target\. Expected: some numbers, then =, then the target, such as "82 27 11 = 44"/,
    ],
    ["82 27 11 44", /There is no =/],
    ["82 27 = 11 = 44", /more than one =/],
    ["82 27 11 =", /There are 0 targets/],
    ["82 27 11 = 44 45", /There are 2 targets/],
    ["= 44", /There are 0 numbers\. Expected: 2 to 5 numbers/],
    ["7 = 7", /There are 1 numbers/],
    ["1 2 3 4 5 6 = 21", /There are 6 numbers/],
    ["82 twenty 11 = 44", /"twenty" is not a whole number/],
    ["82 -27 11 = 44", /"-27" is not a whole number/],
    ["8.2 27 = 44", /"8\.2" is not a whole number/],
    ["٨٢ 27 = 44", /is not a whole number\. Expected: whole numbers in plain digits/],
    ["0 27 = 44", /0 is out of range\. Expected: numbers from 1 to 100/],
    ["101 27 = 44", /101 is out of range/],
    ["82 27 = 1000", /The target 1000 is out of range\. Expected: a target from 1 to 999/],
    ["1".repeat(300), /longer than 200 characters/],
    [
      `${" ".repeat(196)}1 2=3`,
      /^That is longer than 200 characters\. Expected: some numbers, then =, then the target/,
    ],
    ["82 27 11 44", /^There is no = before a target\. Expected: some numbers, then =/],
    ["1 = 2 -> 3", /^There is more than one = or target\. Expected: some numbers, then =/],
    ["1 2 = x", /^"x" is not a whole number\. Expected: whole numbers in plain digits/],
    ["1 2 = 1234567890", /^"1234567890" is not a whole number/],
    ["1 2 = 123456789", /^The target 123456789 is out of range\. Expected: a target from 1 to 999/],
    ["1 2 = 0", /^The target 0 is out of range/],
    ["1 2 = 3 4", /^There are 2 targets\. Expected: one target after the =/],
    ["1 sand 2 = 3", /"sand" is not a whole number/],
    ["1 2 maker 3", /There is no =/],
    ["1 2 tomato 3", /There is no =/],
  ])("refuses %j", (text, message) => {
    expect(() => parseUserProblem(text)).toThrow(expect.objectContaining({ kind: "input" }));
    expect(() => parseUserProblem(text)).toThrow(message);
  });

  it("carries what it found and expected as data", () => {
    try {
      parseUserProblem("7 = 7");
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({
        kind: "input",
        data: { input: "7 = 7" },
        found: "There are 1 numbers.",
        expected: "2 to 5 numbers",
      });
    }
  });
});

describe("solve", () => {
  const task = countdown(countdownOptions.parse({ kind: "countdown", numbers: [2, 3, 4] }));
  const isRight = (numbers: number[], target: number, solution: string) =>
    task.verify({ id: "", prompt: "", numbers, target }, `<answer>${solution}</answer>`).value === 1;

  it.each([
    [[82, 27, 11], 44],
    [[3, 5, 7], 22],
    [[6, 6], 1],
    // Only through fractions.
    [[3, 3, 8, 8], 24],
    [[1, 5, 5, 5], 24],
    // Only through 5 - 6, were it not that 7 - (6 - 5) is the same.
    [[5, 6, 7], 6],
    [[1, 2, 3, 4, 5], 999 / 27],
  ])("%j make %d", (numbers, target) => {
    const solution = solve(numbers, target);
    expect(solution).not.toBeNull();
    expect(isRight(numbers, target, solution!)).toBe(true);
  });

  it.each([
    [[1, 1, 1], 50],
    [[1, 1], 3],
    [[2, 4], 7],
    [[1, 1, 1, 1], 24],
    [[3, 27, 3], 100],
  ])("%j cannot make %d", (numbers, target) => {
    expect(solve(numbers, target)).toBeNull();
  });

  it("solves all generated problems", () => {
    fc.assert(
      fc.property(fc.nat(), (index) => {
        const { numbers, target } = task.generate({ seed: 2, split: "train", index });
        const solution = solve(numbers, target);
        return solution !== null && isRight(numbers, target, solution);
      }),
      { numRuns: 100, seed: 1 },
    );
  });

  it("refuses more than it can search exactly", () => {
    expect(() => solve([1, 2, 3, 4, 5, 6], 7)).toThrow(RangeError);
    expect(() => solve([], 7)).toThrow(RangeError);
    expect(() => solve([501, 2], 7)).toThrow(RangeError);
    expect(() => solve([1.5, 2], 3)).toThrow(RangeError);
    expect(() => solve([1, 2, 3, 4, 5, 6], 7)).toThrow("The search takes 1 to 5 numbers; found 6.");
    expect(() => solve([], 7)).toThrow("The search takes 1 to 5 numbers; found 0.");
    expect(() => solve([2, 501], 7)).toThrow("The search takes whole numbers from 0 to 500; found 501.");
    expect(() => solve([2, -1], 1)).toThrow("The search takes whole numbers from 0 to 500; found -1.");
    expect(solve([500, 0], 500)).toBe("0+500");
    expect(solve([7], 7)).toBe("7");
    expect(solve([7], 8)).toBeNull();
  });

  it.each([
    [[2, 3], 5, "2+3"],
    [[2, 3], 1, "3-2"],
    [[2, 3], 6, "2*3"],
    [[6, 3], 2, "6/3"],
    [[3, 6], 2, "6/3"],
    [[0, 3], 0, "0*3"],
    [[2, 3, 4], 20, "4*(2+3)"],
    [[1, 2, 3], 9, "3*(1+2)"],
  ])("writes %j making %d as %s, or as good", (numbers, target, example) => {
    expect(isRight(numbers, target, example)).toBe(true);
    const found = solve(numbers, target)!;
    expect(found).toMatch(/^[\d+\-*/()]+$/);
    // Each operand that is a result stands in parentheses: one operator at each depth.
    expect(found.replace(/\([^()]*\)/g, "1").match(/[-+*/]/g)).toHaveLength(1);
    expect(isRight(numbers, target, found)).toBe(true);
  });
});
