import { expect, it } from "vitest";
import { readQuestion } from "../../src/server/question.ts";
import { taskOptions } from "../../src/tasks/registry.ts";

const own = readQuestion("What is 6 * 7?", taskOptions.parse({ kind: "arithmetic" }));

it("a question of one's own has no score, and shows the answer that was given", () => {
  expect(own.prompt).toBe("What is 6 * 7?\n<think>\n");
  expect(own.verify("a</think>\n<answer> 42 </answer>")).toEqual({
    value: null,
    kind: "unscored",
    extracted: "42",
    canonical: null,
    format: true,
    reason: "nobody knows the right answer to a question of your own",
  });
  expect(own.verify("<answer>42</answer>")).toMatchObject({ extracted: "42", format: false });
  // What a thought quotes is no answer.
  expect(own.verify("I write <answer>7</answer></think><answer>42</answer>")).toMatchObject({
    extracted: "42",
  });
  expect(own.verify("42")).toMatchObject({ extracted: null, format: false });
});

it("takes time in line with the completion", () => {
  const start = performance.now();
  own.verify("<answer>".repeat(100_000));
  expect(performance.now() - start).toBeLessThan(5000);
});

it("a Countdown problem that nothing solves says so beside the verdict", () => {
  const countdown = taskOptions.parse({ kind: "countdown" });
  expect(readQuestion("1 1 1 = 50", countdown).verify("<answer>1+1+1</answer>").reason).toBe(
    "value is 3, not 50; no expression of these numbers makes 50",
  );
  expect(readQuestion("82 27 11 = 44", countdown).verify("<answer>82+27-11</answer>").reason).toBe(
    "value is 98, not 44",
  );
  expect(readQuestion("82 27 11 = 44", countdown).verify("<answer>82-27-11</answer>").value).toBe(1);
});
