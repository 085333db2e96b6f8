/** `report.md`: what a run did, from the files of its folder alone. */
import fs from "node:fs";
import { join } from "node:path";
import { bracket } from "../../eval/compare.ts";
import type { EvaluationRecord } from "../../events.ts";
import type { Bill, BillFile, Unpaid } from "../../ledger/bill.ts";
import { onDisk, replaceFile } from "../../lib/disk.ts";
import { stageInfos } from "../../recipe/resolve.ts";
import { runPaths } from "../folder.ts";
import { type RunData, readRun } from "../reader.ts";
import { answersSection } from "./completions.ts";
import { effortFigure, type Figure, passFigure, stageFigures, stepNames, validityFigure } from "./figures.ts";
import { fenced, inlineText } from "./markdown-text.ts";
import { gainVerdict, percent, stageVerdict } from "./verdict.ts";

/** Writes report.md and figures/*.svg; returns the report's path. Throws UserError. */
export const writeReport = (folder: string): string => saveReport(readRun(folder), folder);

/** The report of a finished run, which a kill between the run's end and its report left without one. */
export function ensureReport(folder: string): void {
  if (!fs.existsSync(runPaths(folder).report)) writeReport(folder);
}

/** The same in any folder: an export leaves the run's own as it is, to which a person may have added. */
export function saveReport(run: RunData, folder: string): string {
  const paths = runPaths(folder);
  const { markdown, figures } = renderReport(run);
  onDisk(paths.figures, () => {
    // Never through a link, which may lead anywhere.
    if (fs.lstatSync(paths.figures, { throwIfNoEntry: false })?.isSymbolicLink()) fs.rmSync(paths.figures);
    fs.mkdirSync(paths.figures, { recursive: true });
  });
  for (const { file, svg } of figures) replaceFile(join(paths.figures, file), svg);
  replaceFile(paths.report, markdown);
  return paths.report;
}

/** The same without touching the disk. */
export function renderReport(run: RunData): { markdown: string; figures: Figure[] } {
  const curves = stageInfos(run.recipe).map((stage) => ({
    stage,
    figures: stageFigures(
      stage,
      run.metrics.filter((line) => line.stage === stage.name),
    ),
  }));
  const byPosition = validityFigure(run);
  const passAtK = passFigure(run);
  const byEffort = effortFigure(run);
  const sections = [
    `# ${run.info.name}`,
    inlineText(run.recipe.description ?? ""),
    summary(run),
    "## Evaluations",
    evaluationTable(run.evaluations),
    ...curves.flatMap(({ stage, figures }) =>
      figures.length === 0 ? [] : [`## Stage ${stage.name} (${stage.kind})`, ...figures.map(embed)],
    ),
    ...passSection(run.evaluations, passAtK),
    ...positionSection(run.evaluations, byPosition),
    ...(byEffort.length === 0 ? [] : ["## Thinking effort", ...byEffort.map(embed)]),
    "## Completions",
    answersSection(run),
    "## Bill",
    billSection(run.bill),
    "## How to make it again",
    reproduction(run),
    "## Recipe",
    fenced(run.recipeText, "yaml"),
  ];
  const markdown = `${sections.filter((section) => section !== "").join("\n\n")}\n`;
  const figures = [...curves.flatMap(({ figures }) => figures), ...passAtK, ...byPosition, ...byEffort];
  return { markdown, figures };
}

function summary(run: RunData): string {
  const compared = bracket(run.evaluations);
  const gain =
    compared === null
      ? "There are no two evaluations to compare, so this report claims no gain."
      : gainVerdict(...compared);
  const admissions = run.recipe.stages.flatMap((stage) => stageVerdict(stage, run));
  return [gain, ...admissions.map((sentence) => `- ${sentence}`)].join("\n\n");
}

function evaluationTable(evaluations: EvaluationRecord[]): string {
  if (evaluations.length === 0) return "No evaluation was made.";
  const rows = evaluations.map((evaluation) => [
    inlineText(evaluation.label),
    inlineText(evaluation.task),
    `${evaluation.problems} x ${evaluation.samplesPerProblem}`,
    String(evaluation.temperature),
    percent(evaluation.passAt1),
    `${percent(evaluation.interval[0])} to ${percent(evaluation.interval[1])}`,
    evaluation.majAtK === null ? "-" : percent(evaluation.majAtK),
    evaluation.thoughtValidity === null ? "-" : percent(evaluation.thoughtValidity),
    evaluation.readable === undefined ? "-" : percent(evaluation.readable),
    evaluation.language == null ? "-" : percent(evaluation.language),
    evaluation.meanTokens.toFixed(1),
    percent(evaluation.truncated),
    share(evaluation, "unparsed"),
    share(evaluation, "unscored"),
  ]);
  const head = [
    ...["evaluation", "task", "problems x completions", "temperature", "pass@1", "95 % interval", "maj@k"],
    ...[
      `true ${stepNames(evaluations)}`,
      "readable",
      "own language",
      "mean tokens",
      "truncated",
      "unread",
      "unscored",
    ],
  ];
  return markdownTable(head, rows);
}

/** Of all completions; records of older versions do not say. */
function share({ counts }: EvaluationRecord, kind: "unparsed" | "unscored"): string {
  if (counts === undefined) return "-";
  const all = counts.right + counts.wrong + counts.unparsed + counts.unscored;
  return all === 0 ? "-" : percent(counts[kind] / all);
}

/** pass@k by k, for evaluations with several completions to a problem. */
function passSection(evaluations: EvaluationRecord[], figures: Figure[]): string[] {
  const curves = evaluations.filter(({ passAtK = [] }) => passAtK.some(({ k }) => k > 1));
  if (curves.length === 0) return [];
  const ks = [...new Set(curves.flatMap(({ passAtK = [] }) => passAtK.map(({ k }) => k)))].sort(
    (a, b) => a - b,
  );
  const rows = curves.map(({ label, passAtK = [] }) => [
    inlineText(label),
    ...ks.map((k) => {
      const point = passAtK.find((one) => one.k === k);
      if (point === undefined) return "-";
      return `${percent(point.value)} (${percent(point.interval[0])} to ${percent(point.interval[1])})`;
    }),
  ]);
  return [
    "## pass@k",
    "Probability that at least one of k completions is right: the unbiased estimator, averaged over problems, with 95 % intervals.",
    ...figures.map(embed),
    markdownTable(["evaluation", ...ks.map((k) => `k = ${k}`)], rows),
  ];
}

function positionSection(evaluations: EvaluationRecord[], figures: Figure[]): string[] {
  const spans = new Map<string, number>();
  for (const { validityByPosition } of evaluations) {
    for (const { from, to } of validityByPosition) spans.set(`${from}-${to - 1}`, from);
  }
  if (spans.size === 0) return [];
  const columns = [...spans].sort((a, b) => a[1] - b[1]);
  const rows = evaluations.map((evaluation) => [
    inlineText(evaluation.label),
    ...columns.map(([, start]) => {
      const bin = evaluation.validityByPosition.find(({ from }) => from === start);
      return bin === undefined || bin.steps === 0 ? "-" : `${percent(bin.share)} of ${bin.steps}`;
    }),
  ]);
  return [
    "## Truth of the thoughts by position",
    `Share of the ${stepNames(evaluations)} in the thoughts that are true, by their position in the completion (in tokens). A thought that grows past the positions that pretraining showed turns into noise, which the reward cannot see.`,
    ...figures.map(embed),
    markdownTable(["evaluation", ...columns.map(([name]) => name)], rows),
  ];
}

function billSection(bill: BillFile | null): string {
  if (bill === null) return "No bill was written.";
  const row = (name: string, line: Omit<Bill["lines"][number], "stage">): string[] => [
    name,
    (line.flops / 1e12).toFixed(2),
    duration(line.seconds),
    line.tokens.toLocaleString("en-US"),
    line.wattHours === null ? "unknown" : line.wattHours.toFixed(2),
    line.dollars === null ? "unknown" : line.dollars.toFixed(4),
  ];
  const tokens = bill.lines.reduce((sum, line) => sum + line.tokens, 0);
  const rows = [...bill.lines.map((line) => row(line.stage, line)), row("**sum**", { ...bill, tokens })];
  const head = ["stage", "TFLOP", "time", "tokens", "Wh", "dollars"];
  const beside = unpaidLines(bill.unpaid).map((line) => `- ${line}`);
  return [markdownTable(head, rows), bill.method, ...(beside.length > 0 ? [beside.join("\n")] : [])].join(
    "\n\n",
  );
}

/** What the sums leave out: stages that another run had done, and weights from elsewhere. */
function unpaidLines({ reused, inherited, teachers = [] }: Unpaid = { reused: [], inherited: [] }): string[] {
  const dollarsOf = (dollars: number | null) => (dollars === null ? "unknown dollars" : `$${dollars}`);
  return [
    ...teachers.map(
      ({ stage, model, promptTokens, completionTokens, dollars }) =>
        `Paid to a teacher, not in the sum: ${inlineText(model)} read ${promptTokens} tokens and wrote ${completionTokens} for ${inlineText(stage)}, for ${dollarsOf(dollars)}.`,
    ),
    ...reused.map(
      ({ stage, run, flops, seconds }) =>
        `Reused, not in the sum: ${inlineText(stage)} from the run ${inlineText(run)}, where it took ${duration(seconds)} and ${(flops / 1e12).toFixed(2)} TFLOP.`,
    ),
    ...inherited.map(
      ({ what, flops, dollars, source }) =>
        `Inherited, not in the sum: the weights of ${inlineText(what)}, which cost those who trained them ${flops === null ? "unknown FLOPs" : `${flops.toExponential(1)} FLOP`} and ${dollarsOf(dollars)}${source === null ? "" : ` (${inlineText(source)})`}.`,
    ),
  ];
}

function duration(seconds: number): string {
  const whole = Math.round(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  if (hours > 0) return `${hours} h ${minutes} min`;
  return minutes > 0 ? `${minutes} min ${rest} s` : `${seconds.toFixed(1)} s`;
}

function reproduction({ info, folder }: RunData): string {
  const { versions } = info;
  const commands = `npx sputnik train ${folder}/recipe.yaml --fresh\nnpx sputnik chat ${folder}`;
  const ended = info.finishedAt === null ? "not finished" : `finished ${info.finishedAt}`;
  const sessions = info.sessions.length === 1 ? "one session" : `${info.sessions.length} sessions`;
  return [
    "The first command trains it again, the second talks to it.",
    fenced(commands, "sh"),
    `Seed ${info.seed}. Sputnik ${versions.sputnik}, Node ${versions.node}, ONNX Runtime ${versions.onnxruntime}, ${info.platform}, ${info.cpu}. Started ${info.startedAt}, ${ended}, ${sessions}. The same seed on the same machine gives the same numbers; another processor rounds differently and its curves part after a while.`,
  ].join("\n\n");
}

const embed = ({ file, title }: Figure): string => `![${title}](figures/${file})`;

function markdownTable(head: string[], rows: string[][]): string {
  const line = (cells: string[]): string =>
    `| ${cells.map((text) => text.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}
