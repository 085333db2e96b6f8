import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { wordProblems, wordProblemsOptions } from "../../src/tasks/word-problems.ts";
import { anyText } from "./any-text.ts";
import { NUMBER_ATTACKS, NUMBER_RIGHT } from "./number-attacks.ts";

const make = (options: object) =>
  wordProblems(wordProblemsOptions.parse({ kind: "word-problems", ...options }));
const task = make({});
const chat = make({ template: "chat" });
const problem = { id: "", prompt: "", question: "", answer: 42 };

/** Each story read anew: the numbers in the order of the text, and what is to be done with them. */
const READINGS: [pattern: RegExp, answer: (...numbers: number[]) => number][] = [
  [/buys \d+ more\. How many \w+ does \w+ have now/, (a, b) => a + b],
  [/gave away/, (a, b) => a - b],
  [/in each box/, (a, b) => a * b],
  [/shares .* equally/, (a, b) => a / b],
  [/How many more/, (a, b) => a - b],
  [/bags .* finds/, (a, b, c) => a * b + c],
  [/buys \d+ toys/, (a, b, c) => a - b * c],
  [/then got \d+ new ones/, (a, b, c) => a - b + c],
  [/more than \w+\. How many \w+ do they/, (a, b) => a + (a + b)],
  [/starts with/, (a, b, c) => a + b * c],
  [/loose ones/, (a, b, c, d) => a * b + c - d],
  [/times as many/, (a, b, c) => a + (a * b + c)],
  [/pays/, (a, b, c, d, e) => e - a * b - c * d],
];

describe.each([1, 2, 3])("word problems of %d steps", (steps) => {
  const one = make({ steps: [steps], size: 20 });

  it("have the answer that their text has", () => {
    const seen = new Set<RegExp>();
    fc.assert(
      fc.property(fc.nat(), fc.constantFrom("train", "validation", "test"), (index, split) => {
        const { question, answer, prompt } = one.generate({ seed: 2, split, index });
        const [reading, ...more] = READINGS.filter(([pattern]) => pattern.test(question));
        expect(more, question).toEqual([]);
        seen.add(reading![0]);
        const numbers = question.match(/\d+/g)!.map(Number);
        expect(reading![1](...numbers), question).toBe(answer);
        expect(answer, question).toBeGreaterThan(0);
        expect(prompt).toBe(`${question}\n<think>\n`);
        expect(one.verify({ ...problem, answer }, `x</think><answer>${answer}</answer>`)).toMatchObject({
          value: 1,
          format: true,
        });
      }),
      { numRuns: 300, seed: 1 },
    );
    expect(seen.size).toBe([5, 5, 3][steps - 1]);
  });
});

describe("word problems", () => {
  it("are the same for the same key, and others for others", () => {
    const key = { seed: 1, split: "train", index: 7 } as const;
    expect(task.generate(key)).toEqual(make({}).generate(key));
    expect(task.generate({ ...key, index: 8 })).not.toEqual(task.generate(key));
  });

  it("share no story with the same numbers between splits, whoever it is about", () => {
    const strip = (text: string) =>
      text
        .replace(/\b[A-Z][a-z]+\b/g, "_")
        .replace(/\b(apples|books|marbles|stickers|pencils|cookies|shells|cards)\b/g, "_");
    const of = (split: "train" | "test", seed: number) =>
      Array.from({ length: 800 }, (_, index) => strip(task.generate({ seed, split, index }).question));
    const train = new Set(of("train", 1));
    expect(of("test", 2).filter((question) => train.has(question))).toEqual([]);
  });

  it.each(NUMBER_RIGHT)("pay %s", (_name, completion, format) => {
    expect(task.verify(problem, completion)).toMatchObject({ value: 1, format });
  });
  it.each(NUMBER_ATTACKS)("do not pay %s", (_name, completion) => {
    expect(task.verify(problem, completion).value).toBe(0);
    expect(chat.verify(problem, completion).value).toBe(0);
  });
  it("never throws", () => {
    fc.assert(
      fc.property(anyText, (text) => task.verify(problem, text).value !== null),
      { seed: 1 },
    );
  });
});

describe("in a chat", () => {
  it("are messages for the model's own template, with one example", () => {
    const { prompt, question, messages } = chat.generate({ seed: 1, split: "train", index: 0 });
    expect(prompt).toBe(question);
    expect(messages?.map(({ role }) => role)).toEqual(["system", "user", "assistant", "user"]);
    expect(messages?.at(-1)?.content).toBe(question);
  });

  it.each([
    ["40 + 2 = 42\n#### 42", 1, true],
    ["#### 42\n", 1, true],
    ["#### 42\nThat is all.", 1, false],
    ["#### 42\n#### 42", 1, false],
    ["40 + 2 = 42", 0, false],
    ["#### 41", 0, true],
    ["#### 41\n#### 42", 0, false],
    ["so #### 42", 1, false],
  ])("%j has value %d, format %s", (completion, value, format) => {
    expect(chat.verify(problem, completion)).toMatchObject({ value, format });
  });
});
