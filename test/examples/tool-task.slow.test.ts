/** examples/tool-task.ts: a model of random weights learns to ask the calculator, with the example's own recipe. */
import fs from "node:fs";
import { join } from "node:path";
import { expect, it, vi } from "vitest";
import type { EvaluationRecord } from "../../src/events.ts";
import { sputnik, temporaryFolder } from "../cli/command.ts";

vi.setConfig({ testTimeout: 300_000 });

it("trains from a guess to the calculator's answers, and its journal shows the conversations", async () => {
  const cwd = temporaryFolder();
  for (const file of ["tool-task.ts", "tool-task.yaml"])
    fs.copyFileSync(join("examples", file), join(cwd, file));
  const { code, stdout, stderr } = await sputnik(["train", "tool-task.yaml", "--quiet", "--json"], { cwd });
  expect(code, stderr).toBe(0);
  const { evaluations } = JSON.parse(stdout) as { evaluations: EvaluationRecord[] };
  const [before, after] = evaluations as [EvaluationRecord, EvaluationRecord];
  // One digit of ten is right by chance.
  expect(before.passAt1).toBeLessThan(0.12);
  expect(after.passAt1).toBeGreaterThan(0.35);
  expect(after.interval[0]).toBeGreaterThan(before.interval[1]);
  const journal = (name: string) =>
    fs
      .readFileSync(join(cwd, "runs/calculator", name), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
  const metrics = journal("metrics.jsonl").map((line) => line.metrics);
  expect(metrics[0]["turns/mean"]).toBeLessThan(1.5);
  expect(metrics.at(-1)["turns/mean"]).toBeGreaterThan(1.9);
  const { groups } = journal("samples.jsonl").at(-1);
  expect(groups[0].samples[0].completion).toMatch(/=.*\n\[user\] (\d)\n/s);
});
