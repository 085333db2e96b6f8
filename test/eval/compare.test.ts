import { describe, expect, test } from "vitest";
import { bracket, compareEvaluations, gainBetween, unpairedInterval } from "../../src/eval/compare.ts";
import { passAt1 } from "../../src/eval/statistics.ts";
import type { EvaluationRecord, ProblemTally } from "../../src/events.ts";
import { gainVerdict } from "../../src/run/report/verdict.ts";

const tally = (key: string, right: number, wrong: number, unscored = 0): ProblemTally => ({
  ...{ key, right, wrong, unparsed: 0, unscored, answer: null },
});

/** One sample for each of `problems` problems, the first `right` of them right. */
function record(right: number, problems = 200, label = "x"): EvaluationRecord {
  const tallies = Array.from({ length: problems }, (_, i) =>
    tally(`p${i}`, i < right ? 1 : 0, i < right ? 0 : 1),
  );
  const score = passAt1(tallies.map((t) => ({ samples: 1, right: t.right })));
  return {
    ...{ label, task: "countdown", problems, samplesPerProblem: 1, temperature: 0, majAtK: null },
    ...{ passAt1: score.mean, interval: score.interval, thoughtValidity: null, validityByPosition: [] },
    ...{ meanTokens: 1, truncated: 0, tallies },
  };
}

test("the same 100 right before and after, and 14 more: learned (E5)", () => {
  expect(gainVerdict(record(100), record(114))).toBe(
    "pass@1 on held-out problems rose from 50.0 % to 57.0 % (+7.0 points, 95 % interval 3.4 to 10.6, paired over 200 problems).",
  );
  expect(gainVerdict(record(114), record(100))).toContain("did harm");
  // Two more of 200 are inside the noise, and (1.9602 * 0.09975 / 0.01)^2 = 382.3: 383 would settle it.
  expect(gainVerdict(record(100), record(102))).toMatch(
    /Nothing was learned.*inside the noise\. About 383 problems/,
  );
});

describe("problem by problem", () => {
  test("whatever the order, over what both scored", () => {
    const first = [tally("a", 1, 1), tally("b", 0, 2), tally("c", 2, 0), tally("d", 0, 0, 2)];
    // An answer that could not be read counts like a wrong one.
    const second = [
      ...[tally("c", 2, 0), tally("d", 2, 0), tally("a", 2, 0)],
      { ...tally("b", 1, 0), unparsed: 1 },
    ];
    const compared = compareEvaluations({ tallies: first }, { tallies: second });
    // a: 1/2 -> 1, b: 0 -> 1/2, c: 1 -> 1; d was not scored in the first.
    expect(compared).toMatchObject({ paired: true, problems: 3, leftOut: 1 });
    expect(compared.paired && compared.difference.mean).toBeCloseTo(1 / 3, 12);
  });

  test("what cannot be paired says why", () => {
    const why = (a: ProblemTally[] | undefined, b: ProblemTally[] | undefined): string => {
      const compared = compareEvaluations({ tallies: a }, { tallies: b });
      return compared.paired ? "paired" : compared.why;
    };
    expect(why(undefined, [])).toContain("kept no tallies");
    expect(why([], undefined)).toContain("kept no tallies");
    expect(why([tally("a", 1, 0), tally("b", 1, 0)], [tally("a", 1, 0)])).toBe(
      "their problems differ: 1 are in both, of 2 in the first and 1 in the second",
    );
    expect(why([tally("a", 1, 0)], [tally("a", 1, 0), tally("b", 1, 0)])).toBe(
      "their problems differ: 1 are in both, of 1 in the first and 2 in the second",
    );
    expect(why([tally("a", 0, 0, 1)], [tally("a", 1, 0)])).toBe("no problem has a score in both");
  });
});

test("without tallies: two independent evaluations, and the sentence says so", () => {
  const old = (passAt1: number, half: number): EvaluationRecord => ({
    ...record(1, 2),
    ...{ passAt1, interval: [passAt1 - half, passAt1 + half], tallies: undefined },
  });
  const [low, high] = unpairedInterval(old(0.3, 0.03), old(0.85, 0.04));
  // hypot(0.03, 0.04) = 0.05.
  expect([low, high].map((x) => x.toFixed(6))).toEqual(["0.500000", "0.600000"]);
  const gain = gainBetween(old(0.3, 0.03), old(0.85, 0.04));
  expect(gain).toMatchObject({ significant: true, problemsNeeded: null });
  expect(gain.mean).toBeCloseTo(0.55, 12);
  expect(gainBetween(old(0.85, 0.04), old(0.3, 0.03))).toMatchObject({ significant: true });
  expect(gainVerdict(old(0.3, 0.03), old(0.85, 0.04))).toContain("not paired: one of them was stored");
  expect(gainBetween(old(0.3, 0.03), old(0.34, 0.04)).significant).toBe(false);
});

test("what brackets a training: base and final, or the first and the last", () => {
  const [a, b, c] = [record(1, 2, "base"), record(1, 2, "mid"), record(1, 2, "final")];
  expect(bracket([b, c, a])).toEqual([a, c]);
  expect(bracket([b])).toBeNull();
  // A gain is on the same problems: not on another task, and not on another file.
  const sums = { ...record(1, 2, "sums"), task: "arithmetic" };
  const file = { ...record(1, 2, "file"), tallies: [tally("q0", 1, 0)] };
  expect(bracket([a, b, sums, file])).toEqual([a, b]);
  expect(bracket([b, sums])).toBeNull();
  expect(bracket([b, { ...file, label: "final" }])).toBeNull();
  expect(bracket([b, { ...file, tallies: undefined }])?.[1].label).toBe("file");
  expect(bracket([])).toBeNull();
  // Without labels: the first and the last. One without tallies is compared with any of its task.
  const [first, second, third] = [record(1, 2, "1"), record(1, 2, "2"), record(1, 2, "3")];
  expect(bracket([first, second, third])).toEqual([first, third]);
  expect(bracket([{ ...first, tallies: undefined }, third])?.[1]).toBe(third);
  // One shared problem is enough.
  const overlapping = { ...file, tallies: [tally("p0", 1, 0), tally("q0", 1, 0)] };
  expect(bracket([first, overlapping])?.[1]).toBe(overlapping);
});
