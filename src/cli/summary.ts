/** How a run ended: for a program as one JSON document, for a person as the head of its report. */
import fs from "node:fs";
import color from "picocolors";
import { runPaths } from "../recipe/run-folder.ts";
import { readRun } from "../recipe/run-reader.ts";
import type { RunOutcome } from "../recipe/run.ts";
import { renderMarkdown } from "./markdown.ts";

export function summarise(folder: string, outcome: RunOutcome) {
  const { info, metrics, evaluations, bill } = readRun(folder);
  const { report } = runPaths(folder);
  const last = metrics.at(-1);
  return {
    name: info.name,
    folder,
    outcome,
    seed: info.seed,
    versions: info.versions,
    sessions: info.sessions.length,
    last: last === undefined ? null : { stage: last.stage, step: last.step, totalSteps: last.totalSteps, metrics: last.metrics },
    evaluations: evaluations.map(({ examples: _, ...exam }) => exam),
    bill: bill === null ? null : { ...bill, sessions: undefined },
    report: fs.existsSync(report) ? report : null,
  };
}

/** The report without its curves and appendices. */
export function printSummary(folder: string): void {
  const { report } = runPaths(folder);
  console.log(`\n${renderMarkdown(headOf(fs.readFileSync(report, "utf8")))}\n`);
  console.log(`${color.dim("report")}  ${report}`);
  console.log(`${color.dim("talk  ")}  sputnik chat ${folder}`);
}

/** Sections that a terminal shows; curves and the recipe are for the file. */
const SHOWN = new Set(["Exams", "Answers", "Bill"]);

function headOf(markdown: string): string {
  const sections = markdown.split(/^(?=## )/m);
  return sections.filter((section, i) => i === 0 || SHOWN.has(/^## (.*)$/m.exec(section)?.[1] ?? "")).join("");
}
