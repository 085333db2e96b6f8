/** What the intervals promise, by simulation; apart from what `npm run mutate` runs, since it takes seconds. */
import { describe, expect, test } from "vitest";
import { coverage, falseAlarms } from "../../bench/trust-coverage.ts";

describe("coverage by simulation, hard and easy, 16 and 64 samples a problem", () => {
  // The benchmark `trust` runs 2,000 simulations; a share of 0.93 of 100 is missed by chance in one row of 2,000.
  test.each([2, 8, 30])("intervals over %i problems hold the truth", (problems) => {
    for (const { covered, difficulty, samples } of coverage(problems, 100))
      expect(covered, `Beta(${difficulty.join()}) x ${samples}`).toBeGreaterThanOrEqual(0.93);
  });

  test.each([2, 5, 30])("equal evaluations over %i problems are seldom called different", (problems) => {
    expect(Math.max(...falseAlarms(problems, problems < 30 ? 20 : 100))).toBeLessThan(0.1);
  });
});
