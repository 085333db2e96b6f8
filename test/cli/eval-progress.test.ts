import { expect, test, vi } from "vitest";
import { EvaluationProgress } from "../../src/cli/eval-progress.ts";
import type { Completion } from "../../src/eval/completions.ts";

const ended = (tokens: number): Completion => ({
  ...{ problem: "p", sample: 0, text: "", tokens, finish: "stop" as const, equations: [] },
});

test("time left: the other answers at the speed so far, as long as those that ended", () => {
  const now = vi.spyOn(performance, "now").mockReturnValue(0);
  try {
    const written: string[] = [];
    const out = { write: (text: string) => written.push(text) };
    const known = new Map([["0 p", ended(10)]]);
    const progress = new EvaluationProgress(11, 100, known, out);
    expect(progress.secondsLeft()).toBeNull();
    // Reading the prompts took 5 s; 20 tokens in the 2 s from the first on are 10 a second.
    now.mockReturnValue(5000);
    progress.token();
    now.mockReturnValue(7000);
    for (let i = 0; i < 19; i++) progress.token();
    // 10 answers are left. One of 10 tokens ended: 100 tokens, 10 s.
    expect(progress.secondsLeft()).toBeCloseTo(10, 9);
    // Two with 30 in the mean: 9 x 30 / 10.
    progress.completion(ended(50));
    expect(progress.secondsLeft()).toBeCloseTo(27, 9);
    expect(written).toEqual([]);
    now.mockReturnValue(15_000);
    progress.completion(ended(30));
    // 20 tokens in 10 s are 2 a second; 8 answers of 30 tokens.
    expect(written).toEqual(["3 of 11 completions, 2 tokens/s, about 2 min left\n"]);
  } finally {
    now.mockRestore();
  }
});

test("before any answer ended, the limit is what an answer may take", () => {
  const now = vi.spyOn(performance, "now").mockReturnValue(0);
  try {
    const progress = new EvaluationProgress(4, 100, new Map(), { write: () => true });
    progress.token();
    now.mockReturnValue(1000);
    expect(progress.secondsLeft()).toBeCloseTo(400, 9);
  } finally {
    now.mockRestore();
  }
});
