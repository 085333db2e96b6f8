/** A run as its files describe it, finished or not. */
import fs from "node:fs";
import { join } from "node:path";
import { currentEvaluation, currentMetrics, type EvaluationRecord } from "../events.ts";
import { BillBook, type BillEntry, type BillFile } from "../ledger/bill.ts";
import { userError } from "../lib/errors.ts";
import { readJournal } from "../lib/journal.ts";
import { parseRecipe, readRecipe } from "../recipe/load.ts";
import { resolvePaths } from "../recipe/paths.ts";
import type { Recipe } from "../recipe/schema.ts";
import { type MetricsLine, readJson, runPaths, type SamplesLine } from "./folder.ts";
import type { RunInfo } from "./info.ts";

export interface RunData {
  folder: string;
  info: RunInfo;
  recipe: Recipe;
  recipeText: string;
  metrics: MetricsLine[];
  samples: SamplesLine[];
  evaluations: EvaluationRecord[];
  bill: BillFile | null;
}

/** With paths relative to this process: the copy in the run's folder has them relative to the original recipe. */
export const recipeOfRun = (recipe: Recipe, { recipeFolder = "." }: Partial<RunInfo>): Recipe =>
  resolvePaths(recipe, join(recipeFolder, "recipe.yaml"), { missing: "kept" }).recipe;

/** Reads a run without locking it. Throws a UserError if the folder holds none. */
export function readRun(folder: string): RunData {
  const paths = runPaths(folder);
  if (!fs.existsSync(paths.info)) {
    throw userError(
      "run-folder",
      `${folder} holds no run (there is no run.json in it).`,
      "Give a folder below runs/, or make one with: sputnik train RECIPE",
    );
  }
  const recipeText = readRecipe(paths.recipe);
  const info = readJson<RunInfo>(paths.info) as RunInfo;
  return {
    folder,
    info,
    recipe: recipeOfRun(parseRecipe(recipeText, paths.recipe), info),
    recipeText,
    metrics: readJournal<MetricsLine>(paths.metrics).map((line) => ({
      ...line,
      metrics: currentMetrics(line.metrics),
    })),
    samples: readJournal<SamplesLine>(paths.samples),
    evaluations: readJournal<EvaluationRecord>(paths.evaluations).map(currentEvaluation),
    bill: readBill(folder, info.sessions),
  };
}

/** The bill up to the last charge: a killed process may have written it later than bill.json. `null`: no charge. */
function readBill(folder: string, sessions: readonly string[]): BillFile | null {
  const paths = runPaths(folder);
  const file = readJson<BillFile>(paths.bill);
  const entries = readJournal<BillEntry>(paths.charges);
  const rates = file?.rates ?? { watts: null, dollarsPerHour: null, method: "" };
  return entries.length === 0 ? file : new BillBook(rates, sessions, entries, file?.unpaid).bill();
}
