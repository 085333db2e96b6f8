/** The figures of `npm run bench -- planner`, which take a second. */
import { expect, test } from "vitest";
import { benchPlanner } from "../../../bench/planner.ts";
import { judgeRow } from "../../../bench/rows.ts";

const rows = (await benchPlanner()).map(judgeRow);

test("every published figure follows from other published ones within 2 %", () => {
  const [worst, ...others] = rows;
  const errors = others.filter(({ atMost }) => atMost !== undefined);
  expect(errors).toHaveLength(24);
  for (const { name, value, holds } of rows) expect(holds, `${name} ${value}`).toBe(true);
  expect(worst).toMatchObject({
    name: "planner/worst-error",
    value: Math.max(...errors.map(({ value }) => value)),
  });
  // Nothing is copied from what it is compared with: only prices of given hours agree to the last digit.
  const exact = errors.filter(({ value }) => value < 1e-9).map(({ name }) => name);
  expect(exact).toEqual([
    "planner/v3-context-dollars",
    "planner/v3-post-training-dollars",
    "planner/service-dollars",
  ]);
});
