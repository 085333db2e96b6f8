import { describe, expect, test } from "vitest";
import { majority, pairedDifference, passAt1, passAtK, passCurve } from "../../src/eval/statistics.ts";

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
    expect(passCurve(tallies)).toMatchObject([{ k: 1, value: expect.closeTo(0.305, 3) }]);
    expect(() => passAtK(tallies[0], 10)).toThrow("pass@10 needs at least 10 samples");
    const allRight = [8, 8].map((samples) => ({ samples, right: samples }));
    expect(passAt1(allRight)).toMatchObject({ mean: 1, samples: 16 });
    expect(() => passAtK(allRight[0], 16)).toThrow(RangeError);
    expect(passCurve(allRight).map(({ k }) => k)).toEqual([1, 2, 4, 8]);
  });

  test("refuses a k that is no whole number, and more right samples than there are", () => {
    for (const k of [0, -1, 1.5, Number.NaN])
      expect(() => passAtK({ samples: 4, right: 1 }, k)).toThrow(
        `pass@k needs a whole k of at least 1, not ${k}.`,
      );
    for (const right of [-1, 5])
      expect(() => passAtK({ samples: 4, right }, 1)).toThrow(`${right} of 4 samples cannot be right.`);
    expect(passAtK({ samples: 4, right: 2 }, 3)).toBe(1);
  });

  test("leaves unscored problems out", () => {
    const tallies = [
      { samples: 2, right: 2 },
      { samples: 0, right: 0 },
    ];
    expect(passCurve(tallies)).toMatchObject([
      { k: 1, value: 1 },
      { k: 2, value: 1 },
    ]);
  });
});

describe("pass@1", () => {
  test("30 problems, 15 right: 50 % with a standard error of 9.3 points (pitfall H7)", () => {
    const tallies = Array.from({ length: 30 }, (_, index) => ({ samples: 1, right: index % 2 }));
    const score = passAt1(tallies);
    expect(score.mean).toBe(0.5);
    // With the sample variance: sqrt(30 / 29 * 0.25 / 30).
    expect(score.standardError).toBeCloseTo(Math.sqrt(0.25 / 29), 12);
    // Clopper and Pearson's, 15 of 30 (R: binom.test(15, 30)).
    expect(score.interval[0]).toBeCloseTo(0.3129703, 6);
    expect(score.interval[1]).toBeCloseTo(0.6870297, 6);
  });

  test("several answers to one problem are not independent", () => {
    // Two problems, 100 answers each, one always solved and one never: two observations, not 200.
    const clustered = passAt1([
      { samples: 100, right: 100 },
      { samples: 100, right: 0 },
    ]);
    expect(clustered).toMatchObject({ mean: 0.5, problems: 2, samples: 200 });
    expect(clustered.standardError).toBeCloseTo(0.5, 12);
    expect(clustered.interval[1] - clustered.interval[0]).toBeGreaterThan(0.8);
    // Every problem is solved half of the time: no spread seen, and still not certain, since the next may differ.
    // 0.5 -+ 0.5 w for the weight w of one further problem, P(w > x) = (1 - x)^50 = 0.025.
    const even = passAt1(Array.from({ length: 50 }, () => ({ samples: 4, right: 2 })));
    const half = 0.5 * (1 - 0.025 ** (1 / 50));
    expect(even).toMatchObject({ mean: 0.5, standardError: 0 });
    expect(even.interval[0]).toBeCloseTo(0.5 - half, 6);
    expect(even.interval[1]).toBeCloseTo(0.5 + half, 6);
  });

  test("edges", () => {
    expect(passAt1([])).toMatchObject({ interval: [0, 1], problems: 0, samples: 0 });
    expect(passAt1([{ samples: 0, right: 0 }]).interval).toEqual([0, 1]);
    const wrong = passAt1(Array.from({ length: 2 }, () => ({ samples: 64, right: 0 })));
    // Two problems say little, however many samples: (1 - x)^2 = 0.025.
    expect(wrong.interval[0]).toBe(0);
    expect(wrong.interval[1]).toBeCloseTo(1 - Math.sqrt(0.025), 6);
  });

  test("near Wilson's interval from 100 problems on", () => {
    const width = (n: number, right: number): number => {
      const [low, high] = passAt1(
        Array.from({ length: n }, (_, i) => ({ samples: 1, right: i < right ? 1 : 0 })),
      ).interval;
      return high - low;
    };
    // Wilson, by hand: 0.1915 at 50 of 100, 0.1208 at 10 of 100, 0.0618 at 500 of 1,000.
    expect(width(100, 50)).toBeLessThan(1.07 * 0.1915);
    expect(width(100, 10)).toBeLessThan(1.07 * 0.1208);
    expect(width(1000, 500)).toBeLessThan(1.03 * 0.0618);
    expect(width(1000, 500)).toBeGreaterThan(0.0618);
  });
});

test("maj@k: the commonest answer decides, ties are shared, silence does not vote", () => {
  const votes = (text: string) =>
    [...text].map((answer) => ({ answer: answer === "-" ? null : answer, right: answer === "r" }));
  expect(majority(votes("rrab")).score).toBe(1);
  expect(majority(votes("raab")).score).toBe(0);
  expect(majority(votes("rab")).score).toBeCloseTo(1 / 3, 15);
  expect(majority(votes("---r")).score).toBe(1);
  expect(majority(votes("----")).score).toBe(0);
});

test("the winner of a vote is a value; of a tie, the one that came first", () => {
  const vote = (answer: string | null, right = false) => ({ answer, right });
  expect(majority([vote("41"), vote("42", true), vote("42", true)])).toEqual({ score: 1, answer: "42" });
  expect(majority([vote("41"), vote("42", true)])).toEqual({ score: 0.5, answer: "41" });
  expect(majority([vote(null), vote(null)])).toEqual({ score: 0, answer: null });
  expect(majority([])).toEqual({ score: 0, answer: null });
});

describe("pass@k curves", () => {
  test("at 1, 2, 4, ... and the most samples that all have, averaged over problems", () => {
    const curve = passCurve([
      { samples: 6, right: 1 },
      { samples: 6, right: 0 },
      { samples: 0, right: 0 },
    ]);
    expect(curve.map(({ k }) => k)).toEqual([1, 2, 4, 6]);
    // One of 6: k / 6; the other problem is never solved, and the third has no score.
    for (const { k, value } of curve) expect(value).toBeCloseTo(k / 12, 12);
    // 1/6 and 0: the lower end has them and a further 0, whose weight is spread as in `interval.test.ts`.
    expect(curve[0]!.interval[0]).toBeCloseTo((1 - Math.sqrt(0.975)) / 6, 7);
    expect(passCurve([])).toEqual([]);
    expect(
      passCurve([
        { samples: 8, right: 4 },
        { samples: 3, right: 0 },
      ]).map(({ k }) => k),
    ).toEqual([1, 2, 3]);
  });
});

describe("a paired difference", () => {
  test("by hand, 30 problems of which 12 are newly solved and 3 lost", () => {
    const before = Array.from({ length: 30 }, (_, i) => (i < 3 ? 1 : 0));
    const after = Array.from({ length: 30 }, (_, i) => (i >= 18 ? 1 : 0));
    const { mean, standardError, interval, significant } = pairedDifference(before, after);
    expect(mean).toBeCloseTo(0.3, 12);
    // Squares 15 - 30 * 0.09 = 12.3, over 29 and 30; t(29) is 2.04523.
    expect(standardError).toBeCloseTo(Math.sqrt(12.3 / 29 / 30), 12);
    expect(interval[0]).toBeCloseTo(0.3 - 2.04523 * Math.sqrt(12.3 / 870), 5);
    expect(interval[1]).toBeCloseTo(0.3 + 2.04523 * Math.sqrt(12.3 / 870), 5);
    expect(significant).toBe(true);
  });

  test("200 problems, 100 right before and after, 14 more after: +7 points, clear of the noise (E5)", () => {
    const scores = (right: number) => Array.from({ length: 200 }, (_, i) => (i < right ? 1 : 0));
    const { mean, interval, significant } = pairedDifference(scores(100), scores(114));
    expect(mean).toBeCloseTo(0.07, 12);
    expect(interval[0]).toBeCloseTo(0.0343, 3);
    expect(interval[1]).toBeCloseTo(0.1057, 3);
    expect(significant).toBe(true);
  });

  test("a few equal differences prove nothing, six of the largest do, as in the sign test", () => {
    const steps = (n: number, by: number) =>
      pairedDifference(
        Array.from({ length: n }, () => 0),
        Array.from({ length: n }, () => by),
      );
    expect([1, 2, 3, 4, 5].map((n) => steps(n, 1).significant)).toEqual([false, false, false, false, false]);
    expect(steps(6, 1).significant).toBe(true);
    expect(steps(5, 0.25).significant).toBe(false);
    // w over 1/2 moves the mean of 1, 1 and one at -1 below 0: P = (1 / 2)^2; the end is where it is 0.025.
    expect(steps(2, 1).interval[0]).toBeCloseTo(1 - 2 * (1 - Math.sqrt(0.025)), 6);
    expect(steps(2, 1).interval[1]).toBe(1);
    // Nothing differs: what was not seen may still happen in 3 of n.
    expect(steps(100, 0).interval[1]).toBeCloseTo(1.98422 * Math.sqrt(3 / 99 / 100), 5);
    expect(steps(1, 1).significant).toBe(false);
    // From 30 on by Student's t, below it by the exact interval: (1 - x)^29 = 0.025 of the way from 0 to 1.
    expect(steps(29, 0).interval[1]).toBeCloseTo(1 - 0.025 ** (1 / 29), 6);
    expect(steps(30, 0).interval[1]).toBeCloseTo(2.04523 * Math.sqrt(3 / 29 / 30), 5);
    // The largest difference seen sets the scale: 3 x (1/4)^2.
    expect(steps(100, 0.25).interval[0]).toBeCloseTo(0.25 - 1.98422 * 0.25 * Math.sqrt(3 / 99 / 100), 5);
    expect(steps(100, -0.25).interval[1]).toBeCloseTo(-0.25 + 1.98422 * 0.25 * Math.sqrt(3 / 99 / 100), 5);
    expect(steps(100, -0.25).significant).toBe(true);
  });

  test("how many problems would settle it", () => {
    // Differences 1, 0, 0, 1: mean 0.5, deviation 0.57735; (1.96 * 0.57735 / 0.5)^2 = 5.12.
    const difference = pairedDifference([0, 1, 0, 0], [1, 1, 0, 1]);
    expect(difference.standardError).toBeCloseTo(Math.sqrt(1 / 12), 12);
    expect(difference.significant).toBe(false);
    expect(difference.problemsNeeded).toBe(6);
    expect(pairedDifference([0, 1], [0, 1]).problemsNeeded).toBeNull();
    expect(() => pairedDifference([1], [1, 0])).toThrow("Paired scores need the same problems: 1 against 2.");
    // One gained and one lost: no difference, however many problems.
    expect(pairedDifference([0, 1], [1, 0]).problemsNeeded).toBeNull();
    // A single difference has no deviation.
    expect(pairedDifference([0], [1]).problemsNeeded).toBeNull();
  });
});
