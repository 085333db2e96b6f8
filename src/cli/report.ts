/** `sputnik report RUN`: makes report.md again from the run's files. */
import fs from "node:fs";
import { join } from "node:path";
import { usageError } from "../lib/errors.ts";
import { listRuns } from "../run/find-model.ts";
import { runPaths } from "../run/folder.ts";
import { writeReport } from "../run/report/report.ts";
import { printSummary } from "./summary.ts";

export function report(run: string): void {
  const folder = runFolder(run);
  if (!fs.existsSync(runPaths(folder).metrics))
    throw usageError(
      `${folder} is an exported model: it has no journals to make a report from.`,
      "Read the report.md that came along, or name the run itself.",
    );
  writeReport(folder);
  printSummary(folder);
}

/** The folder of a run, given its name or its path; `null` if there is none. */
export const findRun = (run: string): string | null =>
  [run, join("runs", run)].find((path) => fs.existsSync(runPaths(path).info)) ?? null;

/** @throws UserError */
function runFolder(run: string): string {
  const folder = findRun(run);
  if (folder !== null) return folder;
  const known = listRuns();
  const remedy =
    known.length === 0
      ? "Make one with: sputnik train recipes/smoke.yaml"
      : `Known runs: ${known.join(", ")}.`;
  throw usageError(`There is no run "${run}".`, remedy);
}
