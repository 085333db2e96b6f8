/** Training learns: recipes/smoke.yaml reaches a stated score by RL, well above its base. About a minute on two cores. */
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import type { EvaluationRecord } from "../../src/events.ts";
import { sputnik, temporaryFolder } from "./command.ts";

/**
 * Seeds 1, 2 and 3 gave 0.58, 0.56 and 0.64 before RL and 0.84, 0.86 and 0.87 after it. The bounds leave room for another
 * machine's rounding: at 300 problems the standard error of a score is 0.02 to 0.03.
 */
const FINAL_AT_LEAST = 0.75;
const GAIN_AT_LEAST = 0.15;

test("a base that computes a little learns to solve by reward alone", { timeout: 600_000 }, async () => {
  const cwd = temporaryFolder();
  const recipe = fileURLToPath(new URL("../../recipes/smoke.yaml", import.meta.url));
  const { code, stdout, stderr } = await sputnik(["train", recipe, "--json", "--quiet"], { cwd });
  expect(code, stderr).toBe(0);
  const { evaluations } = JSON.parse(stdout) as { evaluations: EvaluationRecord[] };
  const [base, final] = evaluations as [EvaluationRecord, EvaluationRecord];
  console.log(
    `base ${base.passAt1.toFixed(3)}, final ${final.passAt1.toFixed(3)}, true equations ${final.thoughtValidity?.toFixed(3)}`,
  );
  expect(final.passAt1).toBeGreaterThanOrEqual(FINAL_AT_LEAST);
  expect(final.passAt1 - base.passAt1).toBeGreaterThanOrEqual(GAIN_AT_LEAST);
  expect(final.thoughtValidity).toBeGreaterThan(base.thoughtValidity as number);
});
