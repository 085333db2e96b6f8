/** When a person is told of completions without a score. */
import { expect, it } from "vitest";
import type { Verdict } from "../../src/tasks/problem.ts";
import { ended, fault, unscored } from "../../src/tasks/verdict.ts";
import type { Group, Sample } from "../../src/train/rollout.ts";
import { noneUnscored, type Unscored, unscoredNotices } from "../../src/train/unscored.ts";

const fine: Verdict = { ...unscored(""), value: 1, kind: "right", reason: "right" };

/** A step of 32 samples, the first of which have these verdicts. */
function step(...verdicts: Verdict[]): Group[] {
  const all = Array.from({ length: 32 }, (_, i) => verdicts[i] ?? fine);
  return [
    { problem: { id: "p", prompt: "" }, samples: all.map((verdict) => ({ verdict })) as unknown as Sample[] },
  ];
}

/** The notices of each of these steps. */
function told(steps: Group[][], before: Unscored = noneUnscored()): string[][] {
  return steps.map((groups) => {
    const { notices, unscored } = unscoredNotices(before, groups);
    before = unscored;
    return notices;
  });
}

const bug = fault(new Error("task.ts, line 3: verify threw: Error: no"));
const timeout = ended("timeout");

it("nothing where every completion has a score, or the verifier itself gives none", () => {
  expect(told([step(), step(unscored("no compiler"))])).toEqual([[], []]);
});

it("a fault at once with its reason, and then not for 50 steps", () => {
  const steps = told([step(), ...Array.from({ length: 60 }, () => step(bug))]);
  expect(steps[0]).toEqual([]);
  expect(steps[1]).toEqual([
    "The verifier failed on 1 of 64 completions, which have no score: task.ts, line 3: verify threw: Error: no.",
  ]);
  expect(steps.flatMap((notices, i) => (notices.length > 0 ? [i] : []))).toEqual([1, 51]);
  expect(steps[51]![0]).toContain("on 50 of 1600 completions");
});

it("verifiers that were ended when they are more than 3 % of 64 completions or more", () => {
  expect(told([step(timeout, ended("memory"), timeout)])).toEqual([[]]);
  // 2 of 64 is 3.1 %.
  expect(told([step(timeout), step(timeout)])).toEqual([
    [],
    [
      "The verifier was ended on 2 of 64 completions (3 %) that took too much time or memory. They have no score, and a policy can learn to escape a bad verdict so: make verify faster, or raise the task's timeLimit.",
    ],
  ]);
  expect(told([step(timeout), step(), step(timeout)])).toEqual([[], [], []]);
  expect(told([step(), step(bug, timeout, timeout, timeout)])[1]).toHaveLength(2);
});

it("old steps are forgotten, and the counts are plain data for a checkpoint", () => {
  const quiet = Array.from({ length: 49 }, () => step());
  // 3 of 52 x 32 would be few, but the first 50 steps are over.
  const steps = told([step(timeout), ...quiet, step(timeout), step(timeout)]);
  expect(steps.flatMap((notices, i) => (notices.length > 0 ? [i] : []))).toEqual([51]);
  const half = unscoredNotices(noneUnscored(), step(bug));
  const { unscored: kept } = half;
  expect(told([step(bug)], JSON.parse(JSON.stringify(kept)) as Unscored)).toEqual(told([step(bug)], kept));
  expect(told([step(bug)], kept)).toEqual([[]]);
});
