/** Instructions in two languages: their answers worked out by hand, their verifier, and that they are spelled in tokens. */
import { describe, expect, it, test } from "vitest";
import { type InstructionProblem, instructions } from "../../src/tasks/instructions.ts";
import { taskFrom } from "../../src/tasks/registry.ts";
import { solvedCompletion } from "../../src/tasks/solved.ts";
import { CompactTokenizer } from "../../src/tokenizer/compact.ts";

const task = instructions({ kind: "instructions", languages: ["en", "bg"], template: "plain" });
const stream = (count: number, seed = 1): InstructionProblem[] =>
  Array.from({ length: count }, (_, index) => task.generate({ seed, split: "test", index }));
const asked = (
  instruction: InstructionProblem["instruction"],
  language: "en" | "bg",
  numbers = [7, 42, 3],
) => ({
  ...{ id: "instructions/user", prompt: "", instruction, language, numbers },
});

test.each([
  ["largest", "en", "42"],
  ["smallest", "bg", "3"],
  ["first", "en", "7"],
  ["last", "bg", "3"],
  ["count", "en", "3"],
  ["reverse", "en", "3, 42, 7"],
  ["greet", "en", "hello, 7, 42, 3"],
  ["greet", "bg", "здравей, 7, 42, 3"],
  ["thank", "en", "hello, 7, 42, 3, thank you"],
  ["thank", "bg", "здравей, 7, 42, 3, благодаря"],
] as const)("%s in %s: %s", (instruction, language, answer) => {
  const problem = asked(instruction, language);
  const say = (text: string) => task.verify(problem, `</think>\n<answer>${text}</answer>`);
  expect(task.solve!(problem)).toBe(answer);
  expect(say(answer)).toMatchObject({ value: 1, kind: "right", format: true });
  for (const wrong of [
    "",
    "1",
    `${answer}, 1`,
    answer.replace("здравей", "hello").replace("hello", "здравей"),
  ])
    if (wrong !== answer) expect(say(wrong).value, wrong).toBe(0);
});

describe("the stream", () => {
  it("asks each instruction in both languages, in words that are tokens", () => {
    const tokenizer = new CompactTokenizer("bilingual");
    const seen = new Set<string>();
    for (const problem of stream(400)) {
      seen.add(`${problem.instruction} ${problem.language}`);
      const text = problem.prompt + solvedCompletion(task, problem);
      expect(tokenizer.decode(tokenizer.encode(text, { specials: true }))).toBe(text);
      expect(/[а-я]/.test(problem.prompt)).toBe(problem.language === "bg");
    }
    expect(seen.size).toBe(16);
  });

  it("asks no problem in two splits, not even in another language", () => {
    const contents = (split: "train" | "test") =>
      new Set(
        Array.from({ length: 3000 }, (_, index) => task.content!(task.generate({ seed: 3, split, index }))),
      );
    const [train, held] = [contents("train"), contents("test")];
    expect([...held].filter((content) => train.has(content))).toEqual([]);
  });

  it("asks in a chat's messages, with an example of the form", () => {
    const chat = taskFrom({ kind: "instructions", languages: ["en"], template: "chat" });
    const { messages } = chat.generate({ seed: 1, split: "train", index: 0 });
    expect(messages!.map(({ role }) => role)).toEqual(["system", "user", "assistant", "user"]);
    expect(messages!.at(-1)!.content).toMatch(/^[a-z ]+\d+(, \d+)+$/);
  });
});
