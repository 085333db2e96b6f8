/**
 * GRPO with LoRA on a real model: all of recipes/smollm2-zero.yaml, the evaluation after it minus the one before it. The command
 * is the one that a person types; only the model's place is filled in.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { compareEvaluations } from "../src/eval/compare.ts";
import type { EvaluationRecord } from "../src/events.ts";
import type { Row } from "./rows.ts";

/** @param model a folder or a GGUF file of SmolLM2-135M-Instruct */
export function rewardGain(model: string): Row {
  const folder = mkdtempSync(join(tmpdir(), "sputnik-gain-"));
  const recipe = join(folder, "smollm2-zero.yaml");
  const text = readFileSync("recipes/smollm2-zero.yaml", "utf8");
  writeFileSync(
    recipe,
    text.replace(/^( {2}from: ).*$/m, (_, key) => `${key}${JSON.stringify(resolve(model))}`),
  );
  const start = performance.now();
  const main = resolve("src/cli/main.ts");
  execFileSync(process.execPath, [...process.execArgv, main, "train", recipe, "--quiet"], {
    cwd: folder,
    stdio: ["ignore", "inherit", "inherit"],
  });
  const minutes = (performance.now() - start) / 60_000;
  const [before, after] = readFileSync(join(folder, "runs", "smollm2-zero", "evaluations.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as EvaluationRecord) as [EvaluationRecord, EvaluationRecord];
  const compared = compareEvaluations(before, after);
  if (!compared.paired) throw new Error(`The two evaluations cannot be paired: ${compared.why}.`);
  const { mean: gain, interval } = compared.difference;
  return {
    name: "real-model/reward-gain",
    value: gain,
    spread: interval,
    unit: "pass@1",
    // Clear of zero: the whole 95 % interval lies above it.
    atLeast: gain - interval[0],
    note: `${before.passAt1.toFixed(3)} to ${after.passAt1.toFixed(3)} on ${after.problems} held-out problems, paired, in ${minutes.toFixed(0)} min`,
  };
}
