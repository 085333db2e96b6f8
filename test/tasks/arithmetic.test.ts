import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { arithmetic, arithmeticOptions } from "../../src/tasks/arithmetic.ts";
import { anyText } from "./any-text.ts";
import { NUMBER_ATTACKS, NUMBER_RIGHT } from "./number-attacks.ts";

const make = (options: object) => arithmetic(arithmeticOptions.parse({ kind: "arithmetic", ...options }));
const task = make({});
const problem = { id: "", prompt: "", expression: "6 * 7", answer: "42" };

describe("arithmetic problems", () => {
  it("have the digits, terms and operations that were asked for, and their own answer is right", () => {
    const hard = make({ digits: [1, 3, 12], terms: [2, 4], operations: ["+", "-", "*"] });
    fc.assert(
      fc.property(fc.nat(), fc.constantFrom("train", "validation", "test"), (index, split) => {
        const made = hard.generate({ seed: 1, split, index });
        const words = made.expression.split(" ");
        const numbers = words.filter((_, i) => i % 2 === 0);
        expect([2, 4]).toContain(numbers.length);
        for (const number of numbers) expect([1, 3, 12]).toContain(number.length);
        expect(made.prompt).toBe(`What is ${made.expression}?\n<think>\n`);
        // JavaScript's own big integers are the independent form.
        const twin = new Function(`return ${made.expression.replace(/\d+/g, "$&n")}`)() as bigint;
        expect(made.answer).toBe(String(twin));
        const completion = `easy</think><answer>${made.answer}</answer>`;
        expect(hard.verify(made, completion)).toMatchObject({ value: 1, format: true, reason: "right" });
      }),
      { numRuns: 200, seed: 1 },
    );
  });

  it("can carry R1's whole template", () => {
    const { prompt, expression } = make({ template: "r1" }).generate({ seed: 1, split: "train", index: 0 });
    expect(prompt.startsWith("A conversation between User and Assistant.")).toBe(true);
    expect(prompt.endsWith(`User: What is ${expression}? Assistant:\n<think>\n`)).toBe(true);
  });

  it("are the same problem in another order of summands and factors, so in the same split", () => {
    const small = make({ digits: [1], terms: [2, 3], operations: ["+", "-", "*"] });
    const owner = new Map<string, string>();
    let met = 0;
    for (const split of ["train", "validation", "test"] as const)
      for (let index = 0; index < 1500; index++) {
        const { expression } = small.generate({ seed: 1, split, index });
        // Terms with their signs, and factors, in order: 3 * 2 - 1 is - 1 + 2 * 3.
        const terms = `+ ${expression}`.match(/[+-] \d( \* \d)*/g) as string[];
        const key = terms
          .map((term) => term[0] + term.slice(2).split(" * ").sort().join("*"))
          .sort()
          .join("");
        if (owner.has(key)) met++;
        expect(owner.get(key) ?? split, expression).toBe(split);
        owner.set(key, split);
      }
    expect(met).toBeGreaterThan(500);
  });

  it("have defaults, and limits that are allowed themselves", () => {
    expect(arithmeticOptions.parse({ kind: "arithmetic" })).toEqual({
      kind: "arithmetic",
      digits: [2],
      terms: [2],
      operations: ["+", "-"],
      template: "plain",
    });
    expect(arithmeticOptions.safeParse({ kind: "arithmetic", digits: [1, 12], terms: [2, 6] }).success).toBe(
      true,
    );
    for (const wrong of [{ digits: [13] }, { terms: [7] }, { operations: [] }, { template: "other" }])
      expect(arithmeticOptions.safeParse({ kind: "arithmetic", ...wrong }).success).toBe(false);
  });

  it("have options that refuse nonsense", () => {
    for (const wrong of [
      { digits: [0] },
      { digits: [] },
      { terms: [1] },
      { operations: ["/"] },
      { digit: [2] },
    ]) {
      expect(arithmeticOptions.safeParse({ kind: "arithmetic", ...wrong }).success).toBe(false);
    }
  });
});

describe("arithmetic, 42 being right", () => {
  it.each(NUMBER_RIGHT)("pays %s", (_name, completion, format) => {
    expect(task.verify(problem, completion)).toMatchObject({ value: 1, format, reason: "right" });
  });

  it.each([
    ...NUMBER_ATTACKS,
    ["a named number", "a</think><answer>x = 42</answer>", "not one plain number"],
    ["a box", "a</think>\\boxed{42}", "no answer block"],
    ["a box in the answer", "a</think><answer>\\boxed{42}</answer>", "not one plain number"],
    ["a hash answer", "a</think>\n#### 42", "no answer block"],
  ])("pays nothing for %s", (_name, completion, reason) => {
    const verdict = task.verify(problem, completion);
    expect(verdict.value).toBe(0);
    expect(verdict.reason).toContain(reason);
  });

  it("never throws", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(task.verify(problem, text).value).toBe(0);
        expect([0, 1]).toContain(task.verify(problem, `</think><answer>${text}</answer>`).value);
      }),
      { numRuns: 400, seed: 1 },
    );
  });
});

it("a problem's content is its summands and factors in order", () => {
  const content = (expression: string) => task.content?.({ ...problem, expression });
  expect(content("3 * 2 - 1")).toBe("+2*3-1");
  expect(content("2 - 10 * 4 + 1")).toBe("+1+2-10*4");
  expect(content("7")).toBe("+7");
  expect(task.name).toBe("arithmetic");
  expect(task.generate({ seed: 1, split: "test", index: 2 }).id).toBe("arithmetic/1/test/2");
});

it("a chat may answer behind ####, a thought may not", () => {
  const chat = make({ template: "chat" });
  expect(chat.verify(problem, "6 * 7 = 42\n#### 42")).toMatchObject({ value: 1, format: true });
  expect(task.verify(problem, "6 * 7 = 42\n#### 42")).toMatchObject({ value: 0, format: false });
});
