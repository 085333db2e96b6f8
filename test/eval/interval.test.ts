import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { meanInterval } from "../../src/eval/interval.ts";
import { studentReach } from "../../src/eval/student.ts";

const repeat = (count: number, value: number): number[] => Array.from({ length: count }, () => value);

describe("the interval of a mean", () => {
  test("of ones and zeros is Clopper and Pearson's (R: binom.test)", () => {
    const [low, high] = meanInterval([...repeat(3, 1), ...repeat(7, 0)]);
    expect(low).toBeCloseTo(0.06673951, 6);
    expect(high).toBeCloseTo(0.6524529, 6);
    const [lowest, highest] = meanInterval([...repeat(500, 1), ...repeat(500, 0)]);
    expect(lowest).toBeCloseTo(0.4685492, 6);
    expect(highest).toBeCloseTo(0.5314508, 6);
  });

  test("of equal values: the further one's weight w has P(w > x) = (1 - x)^n", () => {
    for (const n of [1, 2, 8, 30, 1000, 100_000]) {
      const weight = 1 - 0.025 ** (1 / n);
      expect(meanInterval(repeat(n, 0))[0]).toBe(0);
      expect(meanInterval(repeat(n, 0))[1] / weight).toBeCloseTo(1, 2);
      expect(meanInterval(repeat(n, 0.25), [-1, 1])[1]).toBeCloseTo(0.25 + 0.75 * weight, 4);
      expect(meanInterval(repeat(n, 0.25), [-1, 1])[0]).toBeCloseTo(0.25 - 1.25 * weight, 4);
    }
  });

  test("two values by hand: 0 and 1/2, and one at 1, have uniform weights on a triangle", () => {
    const [, high] = meanInterval([0, 0.5]);
    // Mean above t >= 1/2: a corner of sides 1 - t/1 and (1 - t) / (1/2): area 2 (1 - t)^2 = 0.025.
    expect(high).toBeCloseTo(1 - Math.sqrt(0.0125), 7);
  });

  test("knows nothing of nothing, and refuses what is out of bounds", () => {
    expect(meanInterval([])).toEqual([0, 1]);
    expect(() => meanInterval([1.5])).toThrow(RangeError);
    expect(() => meanInterval([Number.NaN])).toThrow(RangeError);
  });

  test("holds the mean, stays within the bounds, and mirrors", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 16 }), { minLength: 1, maxLength: 40 }),
        (sixteenths) => {
          const values = sixteenths.map((value) => value / 16);
          const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
          const [low, high] = meanInterval(values);
          expect(low).toBeGreaterThanOrEqual(0);
          expect(low).toBeLessThanOrEqual(mean);
          expect(high).toBeGreaterThanOrEqual(mean);
          expect(high).toBeLessThanOrEqual(1);
          const mirrored = meanInterval(values.map((value) => 1 - value));
          expect(mirrored[0]).toBeCloseTo(1 - high, 7);
          expect(mirrored[1]).toBeCloseTo(1 - low, 7);
        },
      ),
      { numRuns: 50 },
    );
  });
});

test("Student's t, against its table (two-sided 95 %)", () => {
  const table = { 1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 7: 2.365, 10: 2.228, 29: 2.045, 120: 1.98 };
  for (const [degrees, reach] of Object.entries(table))
    expect(studentReach(Number(degrees))).toBeCloseTo(reach, 3);
  expect(studentReach(100_000)).toBeCloseTo(1.95999, 4);
  expect(() => studentReach(0)).toThrow(RangeError);
});
