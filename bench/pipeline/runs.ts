/** Runs of recipes for the pipeline's rows: each in a folder of runs that its variants share, so that equal stages run once. */
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parse, stringify } from "yaml";
import { compareEvaluations, unpairedInterval } from "../../src/eval/compare.ts";
import type { EvaluationRecord } from "../../src/events.ts";
import type { BillFile } from "../../src/ledger/bill.ts";
import { type Timed, timed } from "../timed.ts";

/** A recipe as YAML gives it. */
export interface RecipeYaml {
  name: string;
  seed: number;
  stages: { name: string; kind: string; [key: string]: unknown }[];
}

export interface FinishedRun extends Timed {
  evaluations: ReadonlyMap<string, EvaluationRecord>;
  bill: BillFile;
}

export const recipeYaml = (name: string): RecipeYaml =>
  parse(readFileSync(`recipes/${name}.yaml`, "utf8")) as RecipeYaml;

export const scratchRuns = (): string => mkdtempSync(join(tmpdir(), "sputnik-pipeline-"));

/** Runs a recipe by the built command, in the folder `runs` of `cwd`. */
export async function runRecipe(cwd: string, recipe: RecipeYaml): Promise<FinishedRun> {
  const file = join(cwd, `${recipe.name}.yaml`);
  writeFileSync(file, stringify(recipe));
  const spent = await timed("node", [resolve("dist/cli/main.js"), "train", file, "--quiet"], cwd);
  const run = join(cwd, "runs", recipe.name);
  const lines = readFileSync(join(run, "evaluations.jsonl"), "utf8").trim().split("\n");
  const records = lines.map((line) => JSON.parse(line) as EvaluationRecord);
  return {
    ...spent,
    evaluations: new Map(records.map((record) => [record.label, record])),
    bill: JSON.parse(readFileSync(join(run, "bill.json"), "utf8")) as BillFile,
  };
}

/** `second - first` in pass@1 over pairs of evaluations, one of each seed, with a 95 % interval over all problems. */
export function gain(pairs: readonly [first: EvaluationRecord, second: EvaluationRecord][]) {
  const each = pairs.map(([first, second]) => {
    const compared = compareEvaluations(first, second);
    const [low, high] = compared.paired ? compared.difference.interval : unpairedInterval(first, second);
    return { value: second.passAt1 - first.passAt1, half: (high - low) / 2 };
  });
  const value = mean(each.map((one) => one.value));
  const half = Math.hypot(...each.map((one) => one.half)) / each.length;
  return { value, spread: [value - half, value + half] as [number, number] };
}

export const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

export const extent = (values: readonly number[]): [number, number] => [
  Math.min(...values),
  Math.max(...values),
];
