/** Prints the result of a run: one JSON document for a program, the head of the report for a person. */
import fs from "node:fs";
import color from "picocolors";
import { bracket } from "../eval/compare.ts";
import type { EvaluationRecord } from "../events.ts";
import { readText } from "../lib/text-file.ts";
import { runPaths } from "../run/folder.ts";
import { readRun } from "../run/reader.ts";
import type { RunOutcome } from "../run/run.ts";
import { renderMarkdown } from "./markdown.ts";
import { printable } from "./printable.ts";
import { commandLine } from "./screen.ts";

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
    last:
      last === undefined
        ? null
        : { stage: last.stage, step: last.step, totalSteps: last.totalSteps, metrics: last.metrics },
    evaluations: evaluations.map(({ examples: _, ...record }) => record),
    bill: bill === null ? null : { ...bill, sessions: undefined },
    report: fs.existsSync(report) ? report : null,
  };
}

/** The report without its curves and appendices, and one problem's thoughts in the first and the last evaluation. */
export function printSummary(folder: string): void {
  const { report } = runPaths(folder);
  console.log(`\n${renderMarkdown(printable(headOf(readText(report))))}\n`);
  const compared = bracket(readRun(folder).evaluations);
  for (const evaluation of compared ?? []) printThought(evaluation);
  console.log(`${color.dim("report")}  ${report}`);
  console.log(`${color.dim("talk  ")}  ${commandLine(`chat ${folder}`)}`);
}

/** Sections that a terminal shows; curves and the recipe are in the file only. */
const SHOWN = new Set(["Evaluations", "Bill"]);
const THOUGHT_LINES = 12;

function printThought({ label, examples = [] }: EvaluationRecord): void {
  const [example] = examples;
  if (example === undefined) return;
  const [{ completion, verdict }] = example.samples;
  const lines = printable(`${example.prompt}${completion}`).trim().split("\n");
  const cut = lines.length - THOUGHT_LINES;
  const shown = cut <= 0 ? lines : [...lines.slice(0, THOUGHT_LINES), `(${cut} more lines)`];
  console.log(
    `${color.bold(`A thought of the evaluation "${printable(label)}"`)}: ${printable(verdict.reason)}`,
  );
  console.log(`${shown.map((line) => `  ${color.dim(line)}`).join("\n")}\n`);
}

function headOf(markdown: string): string {
  const sections = markdown.split(/^(?=## )/m);
  return sections
    .filter((section, i) => i === 0 || SHOWN.has(/^## (.*)$/m.exec(section)?.[1] ?? ""))
    .join("");
}
