/**
 * What a recipe teaches: its run by the command that a person types, and its last evaluation minus its first, problem by
 * problem.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { compareEvaluations } from "../src/eval/compare.ts";
import type { EvaluationRecord } from "../src/events.ts";
import { loadRecipe } from "../src/recipe/load.ts";
import type { Row } from "./rows.ts";

/** GRPO with LoRA on a real model: all of recipes/smollm2-zero.yaml. @param model a folder or a GGUF file of SmolLM2-135M-Instruct */
export function rewardGain(model: string): Row {
  const recipe = join(mkdtempSync(join(tmpdir(), "sputnik-gain-")), "smollm2-zero.yaml");
  const text = readFileSync("recipes/smollm2-zero.yaml", "utf8");
  writeFileSync(
    recipe,
    text.replace(/^( {2}from: ).*$/m, (_, key) => `${key}${JSON.stringify(resolve(model))}`),
  );
  return gainOf(recipe, "real-model/reward-gain").row;
}

/** Runs a recipe in an empty folder. The row holds where the whole 95 % interval of the gain lies above zero. */
export function gainOf(recipe: string, name: string): { row: Row; minutes: number } {
  const folder = mkdtempSync(join(tmpdir(), "sputnik-gain-"));
  const start = performance.now();
  const main = resolve("src/cli/main.ts");
  execFileSync(process.execPath, [...process.execArgv, main, "train", resolve(recipe), "--quiet"], {
    cwd: folder,
    stdio: ["ignore", "inherit", "inherit"],
  });
  const minutes = (performance.now() - start) / 60_000;
  const file = join(folder, "runs", loadRecipe(recipe).name, "evaluations.jsonl");
  const evaluations = readFileSync(file, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as EvaluationRecord);
  const [before, after] = [evaluations[0], evaluations[evaluations.length - 1]];
  const compared = compareEvaluations(before, after);
  if (!compared.paired) throw new Error(`The two evaluations cannot be paired: ${compared.why}.`);
  const { mean: gain, interval } = compared.difference;
  const row: Row = {
    ...{ name, value: gain, spread: interval, unit: "pass@1", atLeast: gain - interval[0] },
    note: `${before.passAt1.toFixed(3)} to ${after.passAt1.toFixed(3)} on ${after.problems} held-out problems, paired, in ${minutes.toFixed(0)} min`,
  };
  return { row, minutes };
}
