import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  majorityAtK,
  meanPassAtK,
  pairedDifference,
  passAt1,
  passAtK,
  wilsonInterval,
} from "../../src/eval/statistics.ts";

describe("Wilson's interval", () => {
  test("by hand", () => {
    // z^2 = 3.8415; n = 10, p = 1/2: 0.5 -+ 1.96 / 1.38415 * sqrt(0.025 + 0.0096036).
    const [low, high] = wilsonInterval(5, 10);
    expect(low).toBeCloseTo(0.23659, 5);
    expect(high).toBeCloseTo(0.76341, 5);
    // p = 0: [0, z^2 / (n + z^2)].
    expect(wilsonInterval(0, 10)[0]).toBe(0);
    expect(wilsonInterval(0, 10)[1]).toBeCloseTo(3.841458820694124 / 13.841458820694124, 12);
    expect(wilsonInterval(10, 10)[1]).toBe(1);
    expect(wilsonInterval(0, 0)).toEqual([0, 1]);
    expect(() => wilsonInterval(3, 2)).toThrow(RangeError);
  });

  test("holds the share, within [0, 1]", () => {
    fc.assert(
      fc.property(fc.nat(500), fc.nat(500), (a, b) => {
        const [successes, trials] = [Math.min(a, b), Math.max(a, b) + 1];
        const [low, high] = wilsonInterval(successes, trials);
        return low >= 0 && low <= successes / trials && successes / trials <= high && high <= 1;
      }),
    );
  });
});

describe("pass@k", () => {
  test("by hand (pitfall H3)", () => {
    expect(passAtK({ samples: 4, right: 1 }, 1)).toBeCloseTo(0.25, 15);
    expect(passAtK({ samples: 4, right: 1 }, 2)).toBeCloseTo(0.5, 15);
    expect(passAtK({ samples: 4, right: 1 }, 4)).toBe(1);
    // 1 - C(7, 3) / C(10, 3) = 1 - 35 / 120.
    expect(passAtK({ samples: 10, right: 3 }, 3)).toBeCloseTo(1 - 35 / 120, 15);
    expect(passAtK({ samples: 5, right: 0 }, 5)).toBe(0);
    // 1 - C(9999, 100) / C(10000, 100) = 0.01, where the binomials overflow.
    expect(passAtK({ samples: 10_000, right: 1 }, 100)).toBeCloseTo(0.01, 12);
  });

  test("equals the count over all subsets", () => {
    for (let samples = 1; samples <= 8; samples++) {
      for (let right = 0; right <= samples; right++) {
        for (let k = 1; k <= samples; k++) {
          let [hits, subsets] = [0, 0];
          for (let set = 0; set < 2 ** samples; set++) {
            if (set.toString(2).replaceAll("0", "").length !== k) continue;
            subsets += 1;
            if ((set & (2 ** right - 1)) !== 0) hits += 1;
          }
          expect(passAtK({ samples, right }, k)).toBeCloseTo(hits / subsets, 12);
        }
      }
    }
  });

  test("refuses samples that do not exist (pitfalls H1 and H3)", () => {
    const tallies = Array.from({ length: 164 }, (_, index) => ({ samples: 1, right: index < 50 ? 1 : 0 }));
    expect(meanPassAtK(tallies, 1)).toBeCloseTo(0.305, 3);
    expect(() => meanPassAtK(tallies, 10)).toThrow("pass@10 needs at least 10 samples");
    const allRight = [8, 8].map((samples) => ({ samples, right: samples }));
    expect(passAt1(allRight)).toMatchObject({ mean: 1, samples: 16 });
    expect(() => meanPassAtK(allRight, 16)).toThrow(RangeError);
  });

  test("leaves unscored problems out", () => {
    expect(
      meanPassAtK(
        [
          { samples: 2, right: 2 },
          { samples: 0, right: 0 },
        ],
        1,
      ),
    ).toBe(1);
  });
});

describe("pass@1", () => {
  test("30 problems, 15 right: 50 % with a standard error of 9.3 points (pitfall H7)", () => {
    const tallies = Array.from({ length: 30 }, (_, index) => ({ samples: 1, right: index % 2 }));
    const score = passAt1(tallies);
    expect(score.mean).toBe(0.5);
    // With the sample variance: sqrt(30 / 29 * 0.25 / 30).
    expect(score.standardError).toBeCloseTo(Math.sqrt(0.25 / 29), 12);
    expect(score.interval[0]).toBeCloseTo(0.33, 2);
  });

  test("several answers to one problem are not independent", () => {
    // Two problems, 100 answers each, one always solved and one never: two observations, not 200.
    const clustered = passAt1([
      { samples: 100, right: 100 },
      { samples: 100, right: 0 },
    ]);
    expect(clustered.standardError).toBeCloseTo(0.5, 12);
    expect(clustered.interval[1] - clustered.interval[0]).toBeGreaterThan(0.8);
    // Every problem is solved half of the time: the answers are independent.
    const even = passAt1(Array.from({ length: 50 }, () => ({ samples: 4, right: 2 })));
    expect(even.interval).toEqual(wilsonInterval(100, 200));
  });

  test("edges", () => {
    expect(passAt1([]).interval).toEqual([0, 1]);
    expect(passAt1([{ samples: 8, right: 4 }]).interval).toEqual(wilsonInterval(0.5, 1));
    expect(
      passAt1([
        { samples: 8, right: 0 },
        { samples: 8, right: 0 },
      ]).interval,
    ).toEqual(wilsonInterval(0, 2));
  });
});

test("maj@k: the commonest answer decides, ties are shared, silence does not vote", () => {
  const votes = (text: string) =>
    [...text].map((answer) => ({ answer: answer === "-" ? null : answer, right: answer === "r" }));
  expect(majorityAtK(votes("rrab"))).toBe(1);
  expect(majorityAtK(votes("raab"))).toBe(0);
  expect(majorityAtK(votes("rab"))).toBeCloseTo(1 / 3, 15);
  expect(majorityAtK(votes("---r"))).toBe(1);
  expect(majorityAtK(votes("----"))).toBe(0);
});

test("a paired difference by hand", () => {
  // Differences 1, 0, 0, 1: mean 0.5, variance 1/3, error sqrt(1/12).
  const difference = pairedDifference([0, 1, 0, 0], [1, 1, 0, 1]);
  expect(difference.mean).toBe(0.5);
  expect(difference.standardError).toBeCloseTo(Math.sqrt(1 / 12), 12);
  expect(difference.significant).toBe(false);
  // (1.96 * 0.57735 / 0.5)^2 = 5.12.
  expect(difference.problemsNeeded).toBe(6);
  expect(pairedDifference([0, 1], [0, 1]).problemsNeeded).toBeNull();
  expect(() => pairedDifference([1], [1, 0])).toThrow(RangeError);
});
