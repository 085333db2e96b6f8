/** Time grows with the text, not with its square: ten times the text takes far less than a hundred times as long. */
import { expect, it } from "vitest";
import { extract } from "../../src/tasks/extract.ts";
import { boxes, hashAnswers } from "../../src/tasks/marked-answers.ts";
import { verifyNumber } from "../../src/tasks/number-answer.ts";
import { taskFrom } from "../../src/tasks/registry.ts";
import { equations } from "../../src/tasks/thought-equations.ts";

/** Each is repeated to fill a text: what could make a scanner look back, or ahead, again and again. */
const UNITS = [
  "a",
  " ",
  "\n",
  "<",
  "<think>",
  "</think>",
  "<answer>",
  "<answer></answer>",
  "\\boxed{",
  "\\boxed{}",
  "{",
  "}",
  "#",
  "####",
  "#### 1\n",
  "(",
  ")",
  "=",
  "1",
  "1.",
  "-",
  "1+",
  "1=",
  "(1",
  "1)",
  "1+1=2 ",
  "(1)=",
  "0,",
  "1,111",
  "√",
  "1^",
  "\\times ",
  "1 x ",
];
const SMALL = 30_000;

/** The least of three, so that a busy machine does not count. */
function milliseconds(run: () => unknown): number {
  return Math.min(
    ...[0, 1, 2].map(() => {
      const start = performance.now();
      run();
      return performance.now() - start;
    }),
  );
}

const words = taskFrom({ kind: "jsonl", file: "recipes/data/word-problems.jsonl" });
const numbers = taskFrom({ kind: "countdown" });
const wordProblem = words.generate({ seed: 1, split: "train", index: 0 });
const countdownProblem = numbers.generate({ seed: 1, split: "train", index: 0 });

it.each<[string, (text: string) => unknown]>([
  ["extract", (text) => extract(text, { thoughtOpen: true })],
  ["boxes", boxes],
  ["hashAnswers", hashAnswers],
  ["equations", equations],
  ["countdown's verifier", (text) => numbers.verify(countdownProblem, text)],
  ["the word problems' verifier", (text) => words.verify(wordProblem, text)],
])("%s is linear", (_name, run) => {
  for (const unit of UNITS) {
    const text = (length: number) => unit.repeat(length / unit.length);
    const small = milliseconds(() => run(text(SMALL)));
    const large = milliseconds(() => run(text(SMALL * 8)));
    // Quadratic would be 64 times, and seconds: 25 ms are for the garbage of a busy machine.
    expect(large, `${JSON.stringify(unit)}: ${small} ms, then ${large} ms`).toBeLessThan(24 * (small + 25));
  }
});

it("the dearest sides of equations take time in line with the text", () => {
  const sides = ["1/7+", "1/9^9+", "√9*", "9^9*", "(((1+", "-", "1.5/", "999999999999999999999999999999*"];
  for (const unit of [
    ...sides.map((side) => `${`${side.repeat(290 / side.length)}1`}=1\n`),
    "1,000=",
    "$",
    "**",
    "\\times ",
  ]) {
    const start = performance.now();
    equations(unit.repeat(200_000 / unit.length));
    expect(performance.now() - start, unit).toBeLessThan(10_000);
  }
});

it("the last number of a text is found in time in line with it", () => {
  for (const unit of ["1", "1,", "1.1", "1/1", "-", "1 ", "$1", "1x"]) {
    const start = performance.now();
    verifyNumber(unit.repeat(1_000_000 / unit.length), "18", "plain", "last-number");
    expect(performance.now() - start, unit).toBeLessThan(5000);
  }
});
