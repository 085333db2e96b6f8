import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { countdown, countdownOptions, countdownPrompt } from "../../src/tasks/countdown.ts";
import { operations } from "../../src/tasks/countdown-generate.ts";
import { anyText, textOf } from "./any-text.ts";

const task = countdown(countdownOptions.parse({ kind: "countdown", numbers: [3, 4] }));
const KEY = fc.record({
  seed: fc.nat(),
  split: fc.constantFrom("train", "validation", "test"),
  index: fc.nat(),
} as const);

const answered = (answer: string) => `82 - 27 = 55, yes!\n</think>\n<answer>${answer}</answer>`;
const problem = (numbers: number[], target: number) => ({ id: "", prompt: "", numbers, target });

describe("countdown problems", () => {
  it("keep their promises, and their own solution is right", () => {
    fc.assert(
      fc.property(KEY, (key) => {
        const made = task.generate(key);
        const { numbers, target, steps, solution } = made;
        expect([3, 4]).toContain(numbers.length);
        for (const number of numbers) expect(number).toSatisfy((n: number) => n >= 1 && n <= 99);
        expect(target).toSatisfy((n: number) => n >= 10 && n <= 100);
        expect(numbers).not.toContain(target);
        expect(made.prompt).toBe(`${numbers.join(", ")} make ${target}\n<think>\n`);
        expect(made.id).toBe(`countdown/${key.seed}/${key.split}/${key.index}`);
        // The steps take values away and put their result back; the last one is the target.
        const pool = [...numbers];
        for (const { left, op, right, result } of steps) {
          for (const operand of [left, right]) {
            expect(pool).toContain(operand);
            pool.splice(pool.indexOf(operand), 1);
          }
          const results = { "+": left + right, "-": left - right, "*": left * right, "/": left / right };
          expect(result).toBe(results[op]);
          expect(result).toSatisfy((n: number) => Number.isInteger(n) && n >= 0 && n <= 200);
          pool.push(result);
        }
        expect(pool).toEqual([target]);
        expect(task.verify(made, answered(solution))).toEqual({
          value: 1,
          kind: "right",
          extracted: solution,
          canonical: String(target),
          format: true,
          reason: "right",
        });
        expect(task.generate(key)).toEqual(made);
      }),
      { numRuns: 300, seed: 1 },
    );
  });

  it("use all four operations", () => {
    const used = new Set<string>();
    for (let index = 0; index < 200; index++) {
      for (const { op } of task.generate({ seed: 1, split: "train", index }).steps) used.add(op);
    }
    expect([...used].sort()).toEqual(["*", "+", "-", "/"]);
  });

  it("offer operations that stay whole, not negative and small", () => {
    const texts = (left: number, right: number) =>
      operations(left, right, 200).map(({ op, result }) => `${op}${result}`);
    expect(texts(12, 4)).toEqual(["+16", "-8", "*48", "/3"]);
    expect(texts(4, 12)).toEqual(["+16", "*48"]);
    expect(texts(90, 12)).toEqual(["+102", "-78"]);
    expect(texts(5, 0)).toEqual(["+5", "-5", "*0"]);
    expect(texts(150, 60)).toEqual(["-90"]);
  });

  it("have the compact vocabulary's prompt", () => {
    expect(countdownPrompt([82, 27, 11], 44)).toBe("82, 27, 11 make 44\n<think>\n");
  });

  it("are asked in the languages of the options, and are the same problems", () => {
    const both = countdown(countdownOptions.parse({ kind: "countdown", languages: ["en", "bg"] }));
    const one = countdown(countdownOptions.parse({ kind: "countdown" }));
    const keys = Array.from({ length: 200 }, (_, index) => ({ seed: 1, split: "test", index }) as const);
    const prompts = keys.map((key) => both.generate(key).prompt);
    const bulgarian = prompts.filter((prompt) => prompt.includes(" правят "));
    expect(bulgarian.length).toBeGreaterThan(70);
    expect(bulgarian.length).toBeLessThan(130);
    expect(prompts.map((prompt) => prompt.replace(" правят ", " make "))).toEqual(
      keys.map((key) => one.generate(key).prompt),
    );
  });

  it("have options that take the limits themselves, and defaults", () => {
    expect(countdownOptions.parse({ kind: "countdown" })).toEqual({
      kind: "countdown",
      languages: ["en"],
      numbers: [3],
      numberRange: [1, 99],
      targetRange: [10, 100],
      maxResult: 200,
    });
    const limits = {
      numbers: [2, 6],
      numberRange: [1, 1_000_000],
      targetRange: [5, 5],
      maxResult: 1_000_000,
    };
    expect(countdownOptions.parse({ kind: "countdown", ...limits })).toEqual({
      kind: "countdown",
      languages: ["en"],
      ...limits,
    });
    expect(
      countdownOptions.safeParse({ kind: "countdown", numberRange: [9, 3] }).error?.issues[0]?.message,
    ).toBe("The first end of a range must not be above the second.");
  });

  it("have options that refuse nonsense", () => {
    for (const wrong of [
      { numbers: [] },
      { numbers: [1] },
      { numbers: [7] },
      { numberRange: [9, 3] },
      { targetRange: [10, 20, 30] },
      { maxResult: 0 },
      { maxResult: 1_000_001 },
      { numberRange: [0, 3] },
      { numberRange: [1, 1_000_001] },
      { targetRange: [20, 19] },
      { numbrs: [3] },
    ]) {
      expect(countdownOptions.safeParse({ kind: "countdown", ...wrong }).success).toBe(false);
    }
  });
});

describe("countdown, 82 27 11 make 44", () => {
  const verdict = (completion: string) => task.verify(problem([82, 27, 11], 44), completion);

  it.each<[string, string, boolean]>([
    ["the solution", answered("(82-27)-11"), true],
    ["without parentheses", answered("82-27-11"), true],
    ["another order", answered("82 - (11 + 27)"), true],
    ["superfluous parentheses", answered("(((82)-(27))-11)"), true],
    ["a minus sign", answered("82−27−11"), true],
    ["line breaks", "a\n</think>\n\n<answer>\n82-27-11\n</answer>\n", true],
    ["text after the answer", `${answered("82-27-11")}\nDone.`, true],
    ["no thought", "<answer>82-27-11</answer>", false],
    ["another answer in the thought", `<answer>82</answer>${answered("82-27-11")}`, false],
  ])("pays %s", (_name, completion, format) => {
    expect(verdict(completion)).toMatchObject({ value: 1, format, reason: "right" });
  });

  it.each<[string, string, string]>([
    ["a wrong value", answered("82-27+11"), "value is 66, not 44"],
    ["a wrong value that is a fraction", answered("82/27*11"), "value is 902/27, not 44"],
    ["a wrong value that is huge", answered(`82*27*11*${"1".repeat(30)}`), "is not given"],
    ["a number left out", answered("82-27"), "number 11 not used"],
    ["a number used twice", answered("82-27-11-11+11"), "number 11 used too often"],
    ["a number that is not given", answered("82-27-11+0"), "number 0 is not given"],
    ["the target itself", answered("44"), "number 44 is not given"],
    ["the target beside the numbers", answered("44+82*0+27*0+11*0"), "number 44 is not given"],
    ["multiplying the rest away", answered("44+0*(82+27+11)"), "number 44 is not given"],
    ["an equation", answered("82-27-11=44"), 'unexpected "="'],
    ["an equation in steps", answered("82-27=55, 55-11=44"), 'unexpected "="'],
    ["two expressions", answered("82-27-11, 82-(27+11)"), 'unexpected ","'],
    ["two lines", answered("82+27-11\n82-27-11"), 'unexpected "8"'],
    ["an or", answered("82-27-11 or 82-27+11"), 'unexpected "o"'],
    ["two blocks, the right one last", `${answered("82")}<answer>82-27-11</answer>`, "2 answers, not one"],
    ["two blocks, the right one first", `${answered("82-27-11")}<answer>82</answer>`, "2 answers, not one"],
    ["nested blocks", answered("<answer>82-27-11</answer>"), "2 answers, not one"],
    ["an answer inside the thought only", "<answer>82-27-11</answer>\n</think>\n", "no answer block"],
    ["an answer outside the tags", "a</think>82-27-11", "no answer block"],
    ["an answer that is cut off", "a</think><answer>82-27-11", "answer block not closed"],
    ["capital tags", "a</think><Answer>82-27-11</Answer>", "no answer block"],
    ["a box instead", "a</think>\\boxed{82-27-11}", "no answer block"],
    ["a box inside", answered("\\boxed{82-27-11}"), 'number expected, found "\\"'],
    ["nothing", "", "no answer block"],
    ["an empty answer", answered(""), "number expected, found the end"],
    ["digits apart", answered("8 2-27-11"), 'unexpected "2"'],
    ["digits joined with others", answered("8227-11"), "number 8227 is not given"],
    ["a leading zero", answered("082-27-11"), "number with a leading zero: 082"],
    ["a sign", answered("-27-11+82"), 'number expected, found "-"'],
    ["a double minus", answered("82--27-11"), 'number expected, found "-"'],
    ["a factorial", answered("82-27-11!"), 'unexpected "!"'],
    ["a modulus", answered("82%27-11"), 'unexpected "%"'],
    ["a power", answered("82-27**1-11"), 'number expected, found "*"'],
    ["a caret", answered("82^27-11"), 'unexpected "^"'],
    ["floor division", answered("82//27-11"), 'number expected, found "/"'],
    ["a decimal", answered("82.0-27-11"), 'unexpected "."'],
    ["scientific notation", answered("8.2e1-27-11"), 'unexpected "."'],
    ["hexadecimal", answered("0x52-27-11"), 'unexpected "x"'],
    ["concatenation", answered('"8"+"2"-27-11'), 'number expected, found """'],
    ["implicit multiplication", answered("(82)(27)-11"), 'unexpected "("'],
    ["brackets", answered("[82-27]-11"), 'number expected, found "["'],
    ["a bitwise operator", answered("82-27-11|0"), 'unexpected "|"'],
    ["a comparison", answered("82-27-11==44"), 'unexpected "="'],
    ["division by zero", answered("82/(27-27)-11"), "division by zero"],
    ["an unclosed parenthesis", answered("(82-27-11"), '")" expected, found the end'],
    ["a dangling operator", answered("82-27-11-"), "number expected, found the end"],
    ["Arabic digits", answered("٨٢-٢٧-١١"), "number expected, found U+0668"],
    ["full-width digits", answered("８２-27-11"), "number expected, found U+FF18"],
    ["a zero-width space", answered("82\u200b-27-11"), "unexpected U+200B"],
    ["a no-break space", answered("82\u00a0-27-11"), "unexpected U+00A0"],
    ["an HTML entity", answered("82&minus;27-11"), 'unexpected "&"'],
    ["LaTeX", answered("82 \\times 27"), 'unexpected "\\"'],
    ["NaN", answered("NaN"), 'number expected, found "N"'],
    ["Infinity", answered("Infinity-82-27-11"), 'number expected, found "I"'],
    ["code", answered("process.exit(1)"), 'number expected, found "p"'],
    ["code after an answer", answered("82-27-11;process.exit(1)"), 'unexpected ";"'],
    ["a template", answered(`\${82-27-11}`), 'number expected, found "$"'],
    ["Python", answered("__import__('os')"), 'number expected, found "_"'],
    ["a comment that hides the rest", answered("82-27-11#+5"), 'unexpected "#"'],
    ["the prompt's echo", "82, 27, 11 make 44\n<think>\n", "no answer block"],
    ["the prompt as the answer", answered("82, 27, 11 make 44"), 'unexpected ","'],
    ["all the orders at once", answered("82+27+11 82-27-11 82-11-27"), 'unexpected "8"'],
    ["a huge number", answered("9".repeat(31)), "number longer than 30 digits"],
    [
      "a huge expression",
      answered(`82${"-27+27".repeat(1000)}-11`),
      "expression longer than 1000 characters",
    ],
    ["10,000 parentheses", answered("(".repeat(10_000)), "expression longer than 1000 characters"],
    ["900 parentheses", answered("(".repeat(900)), "parentheses nested deeper than 50"],
    ["2 MB of text", `${"82 - 27 ".repeat(262_144)}</think><answer>82-27-11</answer>`, "longer than 1000000"],
  ])("pays nothing for %s", (_name, completion, reason) => {
    const found = verdict(completion);
    expect(found.value).toBe(0);
    expect(found.reason).toContain(reason);
  });

  it("keeps the answer's text, cut where it is huge", () => {
    expect(verdict(answered(" 82-27 ")).extracted).toBe("82-27");
    expect(verdict(answered("8".repeat(5000))).extracted).toHaveLength(1001);
  });
});

describe("what an answer votes for, 82 27 11 making 44", () => {
  const verdict = (completion: string) => task.verify(problem([82, 27, 11], 44), completion);
  it.each<[string, string, string | null, string]>([
    ["82-27-11", "44", "right", "right"],
    ["(82-27)-11", "44", "right", "right"],
    [" 82 − 11 − 27 ", "44", "right", "right"],
    ["82-27+11", "66", "wrong", "value is 66, not 44"],
    ["11-27+82", "66", "wrong", "value is 66, not 44"],
    ["82/27/11", "82/297", "wrong", "value is 82/297, not 44"],
    // The target's value from other numbers is another answer, whatever their order.
    ["44", "44 of 44", "wrong", "number 44 is not given"],
    ["22*2", "44 of 2 22", "wrong", "number 22 is not given"],
    ["2*22", "44 of 2 22", "wrong", "number 2 is not given"],
    ["82-27-11*1", "44 of 1 11 27 82", "wrong", "number 1 is not given"],
  ])("%j is %s", (text, canonical, kind, reason) => {
    expect(verdict(answered(text))).toMatchObject({
      value: kind === "right" ? 1 : 0,
      kind,
      canonical,
      extracted: text.trim(),
      reason,
    });
  });

  it.each(["x", "82-27-11 = 44", "(82-27", "", "82/(27-27)"])("%j is nothing that could be read", (text) => {
    expect(verdict(answered(text))).toMatchObject({
      value: 0,
      kind: "unparsed",
      canonical: null,
      extracted: text,
    });
  });

  it("is nothing without an answer, or beyond a limit", () => {
    const none = { value: 0, kind: "unparsed", canonical: null, extracted: null };
    expect(verdict("82-27-11")).toEqual({ ...none, format: false, reason: "no answer block" });
    const long = "a".repeat(1_000_000);
    expect(verdict(long)).toMatchObject({ ...none, reason: "no answer block" });
    expect(verdict(`${long}a`)).toEqual({
      ...none,
      format: false,
      reason: "completion longer than 1000000 characters",
    });
  });

  it("keeps a thousand characters", () => {
    const sum = `1/${"7".repeat(29)}`;
    const text = Array.from({ length: 30 }, (_, i) => `1/${10n ** 28n + BigInt(i)}`).join("+");
    expect(text.length).toBeLessThan(1000);
    expect(verdict(answered(text)).canonical).toHaveLength(1001);
    expect(verdict(answered(sum)).canonical).toBe(`${sum} of 1 ${"7".repeat(29)}`);
  });
});

describe("verify", () => {
  it("never throws", () => {
    const known = textOf(
      "82",
      "27",
      "11",
      "-",
      "+",
      "(",
      ")",
      " ",
      "</think>",
      "<answer>",
      "</answer>",
      "\n",
      "٢",
    );
    fc.assert(
      fc.property(fc.oneof(anyText, known), (text) => {
        const verdict = task.verify(problem([82, 27, 11], 44), text);
        expect([0, 1]).toContain(verdict.value);
        task.verify(problem([82, 27, 11], 44), answered(text));
      }),
      { numRuns: 400, seed: 1 },
    );
  });

  it("leaves a sample unscored where the fault is the verifier's", () => {
    const broken = { id: "", prompt: "", numbers: [1], target: Number.NaN };
    expect(task.verify(broken, answered("1"))).toMatchObject({ value: null, format: false });
    expect(task.verify(broken, answered("1")).reason).toBe(
      "gold not usable: numbers or target are no whole numbers",
    );
  });
});
