import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bisect, exceedance, meanInterval, saddlePoint, studentReach } from "../../src/eval/interval.ts";

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
    expect(() => meanInterval([1.5])).toThrow(new RangeError("1.5 is not within 0 to 1."));
    expect(() => meanInterval([0.5, -0.1])).toThrow(new RangeError("-0.1 is not within 0 to 1."));
    expect(() => meanInterval([Number.NaN])).toThrow(RangeError);
    // Both bounds are within; an end at 0 is 0 and not -0.
    expect(meanInterval([0])[0]).toBe(0);
    expect(meanInterval([1, 1])[1]).toBe(1);
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

describe("the probability that a weighted mean exceeds a value", () => {
  test("of one value at 1 and one at 0 is that of a uniform weight", () => {
    for (const t of [0.1, 0.3, 0.5, 0.9])
      expect(
        exceedance(
          [
            [0, 1],
            [1, 1],
          ],
          t,
        ),
      ).toBeCloseTo(1 - t, 11);
  });

  // The weight of 1/2 integrated over Beta(b, a + c), the weight of 1 in closed form (mpmath, 20 digits).
  test.each([
    [2, 3, 2, 0.5, 0.5],
    [2, 3, 2, 0.75, 0.03125],
    [5, 4, 3, 0.7, 0.0065032632],
    [400, 700, 901, 0.65, 0.0017308819366306],
  ])("%i at 0, %i at 1/2 and %i at 1, above %f", (zeros, halves, ones, t, probability) => {
    const atoms = [
      [0, zeros],
      [0.5, halves],
      [1, ones],
    ] as const;
    expect(exceedance(atoms, t) / probability).toBeCloseTo(1, 11);
  });

  test("is integrated through the saddle point of exp(K(s)) / s", () => {
    // 1 / (s (1 - s)): least at 1/2; (ln)'' = 1 / s^2 + 1 / (1 - s)^2 = 8.
    expect(saddlePoint([[1, 1]])[0]).toBeCloseTo(0.5, 11);
    expect(saddlePoint([[1, 1]])[1]).toBeCloseTo(1 / Math.sqrt(8), 11);
    // 3 x 1/2 / (1 - s/2) - 2 x 1/4 / (1 + s/4) = 1 / s: 0.75 s^2 + 1.25 s - 1 = 0.
    const [saddle, width] = saddlePoint([
      [0.5, 3],
      [-0.25, 2],
    ]);
    const s = (-1.25 + Math.sqrt(1.25 ** 2 + 3)) / 1.5;
    expect(saddle).toBeCloseTo(s, 11);
    const curvature = 3 * (0.5 / (1 - s / 2)) ** 2 + 2 * (0.25 / (1 + s / 4)) ** 2 + 1 / s ** 2;
    expect(width).toBeCloseTo(1 / Math.sqrt(curvature), 11);
  });
});

test("a range is halved to where the answer turns, and not beyond its end", () => {
  expect(bisect(-2, 6, (value) => value < 1.7)).toBeCloseTo(1.7, 11);
  expect(bisect(-2, 6, () => true)).toBe(6);
  expect(bisect(-2, 6, () => false)).toBeCloseTo(-2, 10);
});

test("Student's t, against its table (two-sided 95 %)", () => {
  const table = { 1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 7: 2.365, 10: 2.228, 29: 2.045, 120: 1.98 };
  for (const [degrees, reach] of Object.entries(table))
    expect(studentReach(Number(degrees))).toBeCloseTo(reach, 3);
  expect(studentReach(100_000)).toBeCloseTo(1.95999, 4);
  expect(() => studentReach(0)).toThrow(
    new RangeError("Student's t needs whole degrees of freedom of at least 1, not 0."),
  );
  expect(() => studentReach(1.5)).toThrow(RangeError);
});
