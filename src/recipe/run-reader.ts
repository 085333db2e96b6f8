/** A run as its files tell it, finished or still going on. */
import fs from "node:fs";
import type { EvaluationRecord } from "../events.ts";
import type { BillFile } from "../ledger/bill.ts";
import { RunFolderError } from "./disk.ts";
import { readJournal } from "./journal.ts";
import { parseRecipe } from "./load.ts";
import { type MetricsLine, runPaths, type SamplesLine } from "./run-folder.ts";
import type { RunInfo } from "./run-info.ts";
import type { Recipe } from "./schema.ts";

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

/** Reads a run without locking it. Throws a `RunFolderError` if the folder holds none. */
export function readRun(folder: string): RunData {
  const paths = runPaths(folder);
  if (!fs.existsSync(paths.info)) {
    throw new RunFolderError(
      folder,
      `${folder} holds no run (there is no run.json in it).`,
      "Give a folder below runs/, or make one with: sputnik train RECIPE",
    );
  }
  const recipeText = fs.readFileSync(paths.recipe, "utf8");
  return {
    folder,
    info: JSON.parse(fs.readFileSync(paths.info, "utf8")) as RunInfo,
    recipe: parseRecipe(recipeText, paths.recipe),
    recipeText,
    metrics: readJournal<MetricsLine>(paths.metrics),
    samples: readJournal<SamplesLine>(paths.samples),
    evaluations: readJournal<EvaluationRecord>(paths.evaluations),
    bill: fs.existsSync(paths.bill) ? (JSON.parse(fs.readFileSync(paths.bill, "utf8")) as BillFile) : null,
  };
}
