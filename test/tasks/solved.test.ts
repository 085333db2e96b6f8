/** A problem with its right answer as a completion, in the form that its prompt asks for. */
import { describe, expect, it } from "vitest";
import { taskOf } from "../../src/tasks/define.ts";
import type { Task } from "../../src/tasks/problem.ts";
import { type TaskInput, taskFrom } from "../../src/tasks/registry.ts";
import { solvedCompletion } from "../../src/tasks/solved.ts";

const key = { seed: 1, split: "train", index: 3 } as const;

describe("solvedCompletion", () => {
  const solved = (task: Task) => {
    const problem = task.generate(key);
    const text = solvedCompletion(task, problem);
    return { text, verdict: task.verify(problem, text) };
  };

  it.each<[TaskInput, RegExp]>([
    [{ kind: "countdown", numbers: [3] }, /^<\/think>\n<answer>.*\d [-+*/] .*<\/answer>$/],
    [{ kind: "countdown", numbers: [3], template: "chat" }, /^<answer>.*\d [-+*/] .*<\/answer>$/],
    [{ kind: "arithmetic" } as TaskInput, /^<\/think>\n<answer>-?\d+<\/answer>$/],
    [{ kind: "equations", template: "chat" }, /^#### -?\d+$/],
    [{ kind: "word-problems", template: "chat" } as TaskInput, /^#### \d+$/],
    [{ kind: "tower-of-hanoi" }, /^<\/think>\n<answer>[A-E]-[A-E].*<\/answer>$/],
    [{ kind: "calendar", template: "chat" }, /^#### .+$/],
    [{ kind: "calendar", template: "r1" }, /^<\/think>\n<answer>.+<\/answer>$/],
  ])("%j: a right answer in the form that the prompt asks for", (task, form) => {
    const { text, verdict } = solved(taskFrom(task));
    expect(text).toMatch(form);
    expect(verdict.value).toBe(1);
  });

  it("is the answer alone where a prompt of the task's own asks for that", () => {
    const bare = taskOf({
      generate: (seed) => ({ prompt: `${seed} is `, answer: seed % 2 ? "odd" : "even" }),
      verify: ({ answer }, completion) => completion === answer,
    });
    expect(solved(bare).text).toMatch(/^(odd|even)$/);
  });

  it("prefers the form that has the format, and begins with the thought", () => {
    const lenient = (template: "plain" | "chat") =>
      taskOf(
        {
          generate: (seed) => ({ question: `${seed}?`, right: seed % 10 }),
          verify: ({ right }, completion) => completion.includes(String(right)),
          solve: ({ right }) => String(right),
          thought: ({ right }) => `  it is ${right}\n`,
        },
        { template },
      );
    expect(solved(lenient("plain")).text).toMatch(/^it is (\d)\n<\/think>\n<answer>\1<\/answer>$/);
    expect(solved(lenient("chat")).text).toMatch(/^it is (\d)\n<answer>\1<\/answer>$/);
  });

  it("names the part that throws", () => {
    const broken = taskOf({
      generate: (seed) => ({ question: `${seed}?` }),
      verify: () => true,
      solve: () => "1",
      thought: () => {
        throw new Error("lost");
      },
    });
    expect(() => solved(broken)).toThrow(/^The task task: thought threw: Error: lost/);
  });
});
