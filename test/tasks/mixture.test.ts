/** Mixtures of tasks: shares, each part's own problems and verdicts, and what a mixture refuses. */
import { describe, expect, it } from "vitest";
import { answerTo } from "../../src/tasks/probe.ts";
import { taskFrom, taskOptions, templateOf, withTemplate } from "../../src/tasks/registry.ts";

const options = taskOptions.parse({
  kind: "mix",
  parts: [
    { share: 3, task: { kind: "countdown", languages: ["en", "bg"] } },
    { share: 1, task: { kind: "instructions" } },
  ],
});
const task = taskFrom(options);
const problems = Array.from({ length: 400 }, (_, index) => task.generate({ seed: 5, split: "train", index }));
const nameOf = ({ id }: { id: string }) => id.split("/")[2];

describe("a mixture", () => {
  it("asks its parts in their shares, none of a part's problems left out", () => {
    for (let from = 0; from < 400; from += 40)
      expect(problems.slice(from, from + 40).filter((one) => nameOf(one) === "countdown")).toHaveLength(30);
    const alone = taskFrom({ kind: "instructions" });
    const own = Array.from({ length: 100 }, (_, index) => alone.generate({ seed: 5, split: "train", index }));
    const asked = problems.filter((one) => nameOf(one) === "instructions");
    expect(asked.map(({ id, prompt }) => [id, prompt])).toEqual(
      own.map(({ id, prompt }) => [`mix/1/${id}`, prompt]),
    );
  });

  it("verifies each problem as its own task does", () => {
    for (const problem of problems.slice(0, 40)) {
      const right = `</think>\n<answer>${task.solve!(problem)}</answer>`;
      expect(task.verify(problem, right).value).toBe(1);
      expect(task.verify(problem, "</think>\n<answer>0</answer>").value).toBe(0);
    }
  });

  it("tells problems of two parts of one kind apart, and knows the answers of tasks without a solver", () => {
    const sums = { kind: "arithmetic" as const };
    const parts = [
      { share: 1, task: sums },
      { share: 1, task: { ...sums, digits: [1] } },
    ];
    const twice = taskFrom({ kind: "mix", parts });
    const both = Array.from({ length: 20 }, (_, index) => twice.generate({ seed: 1, split: "test", index }));
    expect(new Set(both.map(({ id }) => id)).size).toBe(20);
    for (const problem of both) {
      const answer = answerTo(twice, problem);
      expect(twice.verify(problem, `</think>\n<answer>${answer}</answer>`).value).toBe(1);
    }
  });

  it("has the steps and rewards of its parts", () => {
    expect(task.stepName).toBe("equations");
    expect(task.checkSteps!("1 + 1 = 3").map(({ holds }) => holds)).toEqual([false]);
    expect(Object.keys(task.rewards!)).toEqual(["validity"]);
  });

  it("is asked in one form", () => {
    expect(templateOf(options)).toBe("plain");
    const chat = withTemplate(options, "chat");
    expect(templateOf(chat)).toBe("chat");
    for (let index = 0; index < 4; index++)
      expect(taskFrom(chat).generate({ seed: 1, split: "test", index }).messages).toBeDefined();
  });

  it("refuses a part whose level moves, a file, and one part alone", () => {
    const part = { share: 1, task: { kind: "calendar" as const, difficulty: { target: 0.5 } } };
    const other = { share: 1, task: { kind: "countdown" as const } };
    expect(() => taskFrom({ kind: "mix", parts: [part, other] })).toThrow(
      /calendar is moved by the pass rate/,
    );
    const file = { share: 1, task: { kind: "jsonl", file: "a.jsonl" } };
    expect(taskOptions.safeParse({ kind: "mix", parts: [file, other] }).success).toBe(false);
    expect(taskOptions.safeParse({ kind: "mix", parts: [other] }).success).toBe(false);
  });
});
