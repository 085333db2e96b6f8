import fc from "fast-check";
import { Fraction } from "fraction.js";
import { describe, expect, it } from "vitest";
import { equationsOptions, equationsTask } from "../../src/tasks/equations.ts";
import { anyText } from "./any-text.ts";
import { NUMBER_ATTACKS, NUMBER_RIGHT } from "./number-attacks.ts";

const make = (options: object) => equationsTask(equationsOptions.parse({ kind: "equations", ...options }));
const task = make({});
const problem = { id: "", prompt: "", equation: "2*x = 84", answer: "42" };
const answered = (answer: string) => `a</think><answer>${answer}</answer>`;

/** "3*x - 5" at x, by substitution rather than by solving. */
function at(side: string, x: Fraction): Fraction {
  const found = /^(?:(-?\d*)\*?(x))?(?: ?([+-]) ?)?(\d+)?$/.exec(side) ?? /^()()(-)?(\d+)$/.exec(side)!;
  const [, factor, unknown, sign, constant] = found;
  const a = factor === "-" ? -1 : factor === "" ? 1 : Number(factor);
  const b = Number(constant ?? 0) * (sign === "-" ? -1 : 1);
  return unknown ? x.mul(a).add(b) : new Fraction(b);
}

describe.each([1, 2, 3])("equations of difficulty %d", (difficulty) => {
  const one = make({ difficulty: [difficulty], size: 15 });

  it("hold at their answer, which is right", () => {
    fc.assert(
      fc.property(fc.nat(), fc.constantFrom("train", "validation", "test"), (index, split) => {
        const made = one.generate({ seed: 1, split, index });
        const [left, right] = made.equation.split(" = ");
        const x = new Fraction(made.answer);
        expect(at(left!, x).equals(at(right!, x)), made.equation).toBe(true);
        expect(left!.includes("x")).toBe(true);
        expect(right!.includes("x")).toBe(difficulty > 1);
        if (difficulty < 3) expect(made.answer).toMatch(/^-?\d+$/);
        expect(made.prompt).toBe(`Solve ${made.equation} for x.\n<think>\n`);
        for (const answer of [made.answer, `x = ${made.answer}`]) {
          expect(one.verify(made, answered(answer))).toMatchObject({
            value: 1,
            format: true,
            extracted: answer,
          });
        }
      }),
      { numRuns: 150, seed: 1 },
    );
  });
});

describe("equations", () => {
  it("of difficulty 3 have fractions too", () => {
    const hard = make({ difficulty: [3] });
    const answers = Array.from(
      { length: 50 },
      (_, index) => hard.generate({ seed: 1, split: "test", index }).answer,
    );
    expect(answers.some((answer) => answer.includes("/"))).toBe(true);
  });

  it.each([
    ["-7/2", true],
    ["x = -7/2", true],
    ["x=-3.5", true],
    ["\\frac{-7}{2}", true],
    ["-14/4", true],
    ["7/2", false],
    ["-3", false],
    ["-3.4999999999999999999", false],
    ["-3 1/2", false],
  ])("with the solution -7/2 judge %j exactly", (answer, right) => {
    const verdict = task.verify({ ...problem, answer: "-7/2" }, answered(answer));
    expect(verdict.value).toBe(right ? 1 : 0);
  });

  it.each(NUMBER_RIGHT)("pay %s", (_name, completion, format) => {
    expect(task.verify(problem, completion)).toMatchObject({ value: 1, format, reason: "right" });
  });

  it.each([
    ...NUMBER_ATTACKS,
    ["another unknown", answered("y = 42"), "not one plain number"],
    ["a capital unknown", answered("X = 42"), "not one plain number"],
    ["two solutions", answered("x = 41 or x = 42"), "not one plain number"],
    ["the solution named twice", answered("x = x = 42"), "not one plain number"],
    ["the sides the other way round", answered("42 = x"), "not one plain number"],
    ["a multiple", answered("2*x = 84"), "not one plain number"],
    ["an inequality", answered("x >= 42"), "not one plain number"],
    ["the unknown alone", answered("x ="), "empty answer"],
    ["the equation itself", answered("2*x = 84"), "not one plain number"],
    ["all numbers", answered("x = 42, x = 43"), "not one plain number"],
  ])("pay nothing for %s", (_name, completion, reason) => {
    const verdict = task.verify(problem, completion);
    expect(verdict.value).toBe(0);
    expect(verdict.reason).toContain(reason);
  });

  it("never throw", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(task.verify(problem, text).value).toBe(0);
        expect([0, 1]).toContain(task.verify(problem, answered(`x = ${text}`)).value);
      }),
      { numRuns: 400, seed: 1 },
    );
  });
});

it("an equation's content is its sides in order", () => {
  const content = (equation: string) => task.content?.({ ...problem, equation });
  expect(content("3*x + 5 = 20")).toBe("20 = 3*x + 5");
  expect(content("20 = 3*x + 5")).toBe("20 = 3*x + 5");
  expect(task.name).toBe("equations");
  expect(task.generate({ seed: 1, split: "test", index: 2 }).id).toBe("equations/1/test/2");
});

it("equations in a chat may be answered behind ####", () => {
  const chat = make({ template: "chat" });
  expect(chat.verify(problem, "x is\n#### 42")).toMatchObject({ value: 1, format: true });
  expect(task.verify(problem, "x is\n#### 42")).toMatchObject({ value: 0, format: false });
});

it("equations have defaults, and limits that are allowed themselves", () => {
  const parsed = (options: object) => equationsOptions.safeParse({ kind: "equations", ...options });
  expect(parsed({}).data).toEqual({ kind: "equations", difficulty: [1], size: 12, template: "plain" });
  for (const right of [{ difficulty: [1, 2, 3] }, { size: 3 }, { size: 1_000_000 }])
    expect(parsed(right).success, JSON.stringify(right)).toBe(true);
  for (const wrong of [
    { difficulty: [0] },
    { difficulty: [4] },
    { difficulty: [] },
    { size: 2 },
    { size: 1_000_001 },
  ])
    expect(parsed(wrong).success, JSON.stringify(wrong)).toBe(false);
});
