/**
 * A run is repeated by its seed, so a task's stream of problems is a promise across versions: other draws are another
 * data set. That the problems are right is what the other tests say.
 */
import { createHash } from "node:crypto";
import { expect, it } from "vitest";
import { Random } from "../../src/lib/random.ts";
import { countdown, countdownOptions } from "../../src/tasks/countdown.ts";
import { attemptDocument, singleEquation } from "../../src/tasks/countdown-attempts.ts";
import { type TaskInput, taskFrom } from "../../src/tasks/registry.ts";

const digest = (values: unknown[]) =>
  createHash("sha256").update(JSON.stringify(values)).digest("hex").slice(0, 12);

it.each<[TaskInput, string]>([
  [{ kind: "countdown" }, "e63d91599eba"],
  [
    { kind: "countdown", numbers: [2, 4, 6], numberRange: [1, 30], targetRange: [1, 500], maxResult: 1000 },
    "f52bbb00a009",
  ],
  [{ kind: "arithmetic" }, "20ff832e21fa"],
  [
    { kind: "arithmetic", digits: [1, 3, 12], terms: [2, 6], operations: ["+", "-", "*"], template: "r1" },
    "8bf9749cb882",
  ],
  [{ kind: "equations" }, "6c7fbd6bf02c"],
  [{ kind: "equations", difficulty: [1, 2, 3], size: 40 }, "05d489458a09"],
  [{ kind: "word-problems" }, "ca00b8ed5370"],
  [{ kind: "word-problems", steps: [1, 2, 3], size: 100, template: "chat" }, "677921999e1d"],
  [{ kind: "base-conversion", difficulty: [1, 2, 3, 4] }, "e608e5e038f0"],
  [{ kind: "boolean-expression", difficulty: [1, 2, 3, 4, 5] }, "0dfd9785bd16"],
  [{ kind: "calendar", difficulty: [1, 2, 3, 4, 5] }, "fd70321c17c4"],
  [{ kind: "family-relationships", difficulty: [1, 2, 3, 4] }, "950772cad9b3"],
  [{ kind: "number-sequence", difficulty: [1, 2, 3, 4] }, "bcae23c89983"],
  [{ kind: "word-sorting", difficulty: [1, 2, 3, 4] }, "af51a4d8c4d2"],
  [{ kind: "syllogism", difficulty: [1, 2, 3, 4] }, "88d5c59ab665"],
  [{ kind: "knights-and-knaves", difficulty: [1, 2, 3, 4] }, "5a67184d13e1"],
  [{ kind: "mini-sudoku", difficulty: [1, 2, 3, 4, 5] }, "c0e9f288fbc0"],
  [{ kind: "tower-of-hanoi", difficulty: [1, 2, 3, 4, 5] }, "20a3f376bb9f"],
  [{ kind: "graph-coloring", difficulty: [1, 2, 3, 4] }, "4433ff2b26ee"],
  [{ kind: "sorting-steps", difficulty: [1, 2, 3, 4] }, "e40f5bff209f"],
])("%j draws the problems that it always drew", (options, right) => {
  const task = taskFrom(options);
  const problems = (["train", "validation", "test"] as const).flatMap((split) =>
    Array.from({ length: 100 }, (_, index) => {
      try {
        return task.generate({ seed: 7, split, index });
      } catch (error) {
        return (error as Error).name;
      }
    }),
  );
  expect(digest(problems)).toBe(right);
});

it("Countdown's attempts are those that they always were", () => {
  const task = countdown(countdownOptions.parse({ kind: "countdown", numbers: [3, 4] }));
  const options = {
    hint: 0.2,
    singles: 0.2,
    maxAttempts: 4,
    goOn: 0.7,
    maxResult: 200,
    products: 0.3,
    distinct: true,
    languages: ["en" as const],
    sameLanguage: 1,
  };
  const documents = Array.from({ length: 400 }, (_, index) => attemptDocument(task, options, 3, index));
  expect(digest(documents)).toBe("538066573939");
  const random = new Random(1, "single");
  expect(digest(Array.from({ length: 300 }, (_, i) => singleEquation(random, 1 + (i % 250))))).toBe(
    "9ef4ba7a428b",
  );
});
