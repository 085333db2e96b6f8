/**
 * `runs/NAME/`, all that is kept of a run: recipe.yaml as run, run.json, metrics.jsonl, samples.jsonl,
 * evaluations.jsonl, bill.jsonl, checkpoints/, adapters/, models/, rows/, answers/,
 * stages.json, bill.json, report.md. Killing the process at any moment leaves it
 * readable; resuming from a checkpoint cuts the journals back to where that checkpoint saw them, all
 * but the bill's: what ran has been paid.
 */
import fs from "node:fs";
import { dirname, join, resolve } from "node:path";
import { stringify } from "yaml";
import type { EvaluationRecord, GroupRecord, Metrics } from "../events.ts";
import { type BillEntry, type BillFile, entriesOf, type ReusedStage } from "../ledger/bill.ts";
import { differences } from "../lib/differences.ts";
import { makeFolder, onDisk, replaceFile } from "../lib/disk.ts";
import { userError } from "../lib/errors.ts";
import { Journal, readJournal } from "../lib/journal.ts";
import { readText } from "../lib/text-file.ts";
import { loadRecipe } from "../recipe/load.ts";
import { RUN_NAME, RUN_NAME_RULE } from "../recipe/name.ts";
import type { Recipe } from "../recipe/schema.ts";
import { describeRun, hashRecipe, type RunInfo } from "./info.ts";
import { acquireLock, type Lock } from "./lock.ts";

/** A line of metrics.jsonl. */
export interface MetricsLine {
  stage: string;
  /** Steps done in this stage, from 1. */
  step: number;
  totalSteps: number;
  metrics: Metrics;
}

/** A line of samples.jsonl. */
export interface SamplesLine {
  stage: string;
  step: number;
  groups: GroupRecord[];
}

/** An entry of stages.json: a stage that the run finished. */
export interface FinishedStage {
  name: string;
  /** Of all that its product follows from (see reuse.ts). */
  key: string;
  /** Where another run had its product. */
  reused?: ReusedStage;
}

/** Bytes of each journal; a checkpoint stores it, and a resume hands it back. */
export interface JournalPosition {
  metrics: number;
  samples: number;
  evaluations: number;
  /** Of what stages sampled, by stage; absent where none has. */
  rows?: Record<string, number>;
}

export interface RunOptions {
  /** The recipe's name where it is left out. */
  name?: string;
  /** Begin again. An earlier run of this name is kept under another one. */
  fresh?: boolean;
  /** Take over finished stages of the runs beside it; false where it is left out. A resumed run does as it began. */
  reuse?: boolean;
  /** The folder of all runs, "runs" where it is left out. */
  root?: string;
  /** The recipe's file as written, kept with its comments. */
  recipeText?: string;
  /** Where it was read, which its relative paths begin from. */
  recipeFile?: string;
}

/** Paths of a run's files, for writers and readers alike. */
export function runPaths(folder: string) {
  const at = (file: string): string => join(folder, file);
  return {
    recipe: at("recipe.yaml"),
    info: at("run.json"),
    metrics: at("metrics.jsonl"),
    samples: at("samples.jsonl"),
    evaluations: at("evaluations.jsonl"),
    checkpoints: at("checkpoints"),
    adapters: at("adapters"),
    models: at("models"),
    rows: at("rows"),
    answers: at("answers"),
    stages: at("stages.json"),
    bill: at("bill.json"),
    charges: at("bill.jsonl"),
    report: at("report.md"),
    figures: at("figures"),
    lock: at("lock.json"),
  };
}

/** An open run: this process alone writes to it until `close`. */
export class RunFolder {
  readonly folder: string;
  readonly name: string;
  readonly paths: ReturnType<typeof runPaths>;
  /** The folder held a run of this recipe before; look for its last checkpoint. */
  readonly resumed: boolean;
  /** Where `fresh` put the earlier run, or `null`. */
  readonly movedTo: string | null;
  #info: RunInfo;
  readonly #lock: Lock;
  readonly #metrics: Journal<MetricsLine>;
  readonly #samples: Journal<SamplesLine>;
  readonly #evaluations: Journal<EvaluationRecord>;
  readonly #charges: Journal<BillEntry>;
  /** Training data that stages made, by stage. */
  readonly #rows = new Map<string, Journal<object>>();

  constructor(folder: string, info: RunInfo, lock: Lock, resumed: boolean, movedTo: string | null) {
    this.folder = folder;
    this.name = info.name;
    this.paths = runPaths(folder);
    this.resumed = resumed;
    this.movedTo = movedTo;
    this.#info = info;
    this.#lock = lock;
    this.#metrics = new Journal(this.paths.metrics);
    this.#samples = new Journal(this.paths.samples);
    this.#evaluations = new Journal(this.paths.evaluations);
    this.#charges = new Journal(this.paths.charges);
  }

  get info(): RunInfo {
    return this.#info;
  }

  appendMetrics(line: MetricsLine): void {
    this.#metrics.append(line);
  }

  appendSamples(line: SamplesLine): void {
    this.#samples.append(line);
  }

  appendEvaluation(evaluation: EvaluationRecord): void {
    this.#evaluations.append(evaluation);
  }

  /** The file of what a stage sampled. */
  rowsPath(stage: string): string {
    return join(this.paths.rows, `${stage}.jsonl`);
  }

  /** The file of a teacher's answers, which outlives every stop. */
  answersPath(stage: string): string {
    makeFolder(this.paths.answers);
    return join(this.paths.answers, `${stage}.jsonl`);
  }

  /** Adds rows to what a stage sampled; none at all make an empty file. */
  appendRows(stage: string, rows: readonly object[]): void {
    const journal = this.#rowsOf(stage);
    for (const row of rows) journal.append(row);
  }

  #rowsOf(stage: string): Journal<object> {
    makeFolder(this.paths.rows);
    const journal = this.#rows.get(stage) ?? new Journal<object>(this.rowsPath(stage));
    this.#rows.set(stage, journal);
    return journal;
  }

  /** Call while saving a checkpoint, and store the result in it. What it counts is on the disk. @throws UserError */
  position(): JournalPosition {
    this.#lock.check();
    return {
      metrics: this.#metrics.position(),
      samples: this.#samples.position(),
      evaluations: this.#evaluations.position(),
      ...(this.#rows.size > 0 && {
        rows: Object.fromEntries([...this.#rows].map(([stage, journal]) => [stage, journal.position()])),
      }),
    };
  }

  /**
   * Call on every resume, with the checkpoint's position, or `null` where there is no checkpoint yet: what
   * follows it is dropped and will be written again. Returns a warning if lines are missing, else `null`.
   */
  truncateTo(position: JournalPosition | null): string | null {
    const {
      metrics,
      samples,
      evaluations,
      rows = {},
    } = position ?? { metrics: 0, samples: 0, evaluations: 0 };
    // What a stage sampled after the checkpoint is sampled again.
    for (const file of fs.existsSync(this.paths.rows) ? fs.readdirSync(this.paths.rows) : [])
      rows[file.replace(/\.jsonl$/, "")] ??= 0;
    const lost = Object.entries(rows).map(([stage, bytes]) => this.#rowsOf(stage).truncateTo(bytes));
    const missing =
      lost.reduce((sum, bytes) => sum + bytes, 0) +
      this.#metrics.truncateTo(metrics) +
      this.#samples.truncateTo(samples) +
      this.#evaluations.truncateTo(evaluations);
    if (missing === 0) return null;
    return `${missing} bytes of earlier metrics are missing in ${this.folder}: the curves have a gap there, the model does not.`;
  }

  /** The stages that are done, in their order; those after the checkpoint that a resume began from are dropped. */
  finishedStages(): FinishedStage[] {
    return readJson<FinishedStage[]>(this.paths.stages) ?? [];
  }

  writeFinishedStages(stages: readonly FinishedStage[]): void {
    replaceFile(this.paths.stages, `${JSON.stringify(stages, null, 2)}\n`);
  }

  /** What was charged by this and earlier processes. */
  charges(): BillEntry[] {
    const entries = readJournal<BillEntry>(this.paths.charges);
    const old = readJson<BillFile>(this.paths.bill);
    if (entries.length > 0 || old === null) return entries;
    for (const entry of entriesOf(old)) this.#charges.append(entry);
    return readJournal<BillEntry>(this.paths.charges);
  }

  /** Kept for ever, whatever a resume takes back. */
  appendCharge(entry: BillEntry): void {
    this.#charges.append(entry);
  }

  /** Replaces the sum of all charges: call it as often as you like. */
  writeBill(bill: BillFile): void {
    writeJson(this.paths.bill, bill);
  }

  /** `bill`: the last one. */
  finish(now = new Date().toISOString(), bill: BillFile | null = null): void {
    if (bill !== null) writeJson(this.paths.bill, bill);
    this.#info = { ...this.#info, finishedAt: now };
    writeJson(this.paths.info, this.#info);
  }

  close(): void {
    for (const journal of [this.#metrics, this.#samples, this.#evaluations, this.#charges]) journal.close();
    for (const journal of this.#rows.values()) journal.close();
    this.#lock.release();
  }
}

/**
 * Opens the run of this recipe, or begins it. Throws a UserError if the folder belongs to another
 * recipe or another process, or cannot be written.
 */
export function resumeOrCreate(recipe: Recipe, options: RunOptions = {}): RunFolder {
  const { name = recipe.name, fresh = false, root = "runs", recipeFile } = options;
  const folder = join(root, name);
  const paths = runPaths(folder);
  if (!RUN_NAME.test(name))
    throw userError("run-folder", `A run cannot be called ${JSON.stringify(name)}.`, RUN_NAME_RULE);
  makeFolder(folder);
  let lock = acquireLock(paths.lock, name);
  try {
    let movedTo: string | null = null;
    const strangers = fs.existsSync(paths.info) ? [] : strangersIn(folder, options.recipeText);
    if (strangers.length > 0 && !fresh)
      throw userError(
        "run-folder",
        `${folder} holds no run, but other files: ${strangers.slice(0, 3).join(", ")}.`,
        "Give this run another name with --name, or add --fresh, which keeps that folder under another name.",
      );
    if (fresh && (strangers.length > 0 || fs.existsSync(paths.info))) {
      movedTo = setAside(folder);
      lock.release();
      makeFolder(folder);
      lock = acquireLock(paths.lock, name);
    }
    const recipeFolder = recipeFile === undefined ? undefined : dirname(resolve(recipeFile));
    const now = new Date().toISOString();
    const previous = readJson<RunInfo>(paths.info);
    if (previous !== null) refuseAnother(recipe, previous, folder, name);
    else replaceFile(paths.recipe, options.recipeText ?? stringify(recipe));
    const info =
      previous === null
        ? { ...describeRun(name, recipe, now, recipeFolder), reuse: options.reuse === true }
        : {
            ...previous,
            recipeHash: hashRecipe(recipe),
            ...(recipeFolder !== undefined && { recipeFolder }),
            sessions: [...previous.sessions, now],
          };
    refuseCheckpointsOfAnother(folder);
    // run.json comes last: a folder that has one is complete.
    makeFolder(paths.checkpoints);
    writeJson(paths.info, info);
    return new RunFolder(folder, info, lock, previous !== null, movedTo);
  } catch (error) {
    lock.release();
    throw error;
  }
}

/** A link may lead to checkpoints on another disk, but not to those of another run, which would be resumed and pruned. */
function refuseCheckpointsOfAnother(folder: string): void {
  const { checkpoints } = runPaths(folder);
  if (!fs.existsSync(checkpoints)) return;
  const owner = dirname(fs.realpathSync(checkpoints));
  if (owner === fs.realpathSync(folder) || !fs.existsSync(runPaths(owner).info)) return;
  throw userError(
    "run-folder",
    `${checkpoints} leads to the checkpoints of another run (${owner}).`,
    "Remove the link.",
  );
}

/** What a run that was killed before its run.json could not have left. */
function strangersIn(folder: string, recipeText: string | undefined): string[] {
  const paths = runPaths(folder);
  return fs.readdirSync(folder).filter((name) => {
    const path = join(folder, name);
    if (path === paths.checkpoints) return fs.readdirSync(path).length > 0;
    if (path === paths.recipe)
      return recipeText === undefined || !isFile(path) || readText(path) !== recipeText;
    return !/^(lock\.json.*|(recipe\.yaml|run\.json)\.\d+\.tmp)$/.test(name);
  });
}

const writeJson = (path: string, value: RunInfo | BillFile): void =>
  replaceFile(path, `${JSON.stringify(value, null, 2)}\n`);

/** Renames the folder to the first free NAME.1, NAME.2, ... with its lock removed. */
function setAside(folder: string): string {
  let number = 1;
  while (fs.existsSync(`${folder}.${number}`)) number++;
  const target = `${folder}.${number}`;
  onDisk(folder, () => fs.renameSync(folder, target));
  fs.rmSync(runPaths(target).lock, { force: true });
  return target;
}

function refuseAnother(recipe: Recipe, previous: RunInfo, folder: string, name: string): void {
  const differ = differencesFromRun(folder, previous, recipe);
  if (differ.length === 0) return;
  const shown = differ.slice(0, 5).map((line) => `\n  ${line}`);
  const more = differ.length > shown.length ? `\n  and ${differ.length - shown.length} more` : "";
  throw userError(
    "run-folder",
    `${folder} holds a run of another recipe, so it cannot be resumed with this one:${shown.join("")}${more}\n`,
    `Give this run a name of its own (--name ${name}-2), or start again with --fresh, which keeps the old run as ${folder}.1.`,
  );
}

/** Where a recipe differs from the one that the folder's run has. */
export function differencesFromRun(folder: string, info: RunInfo, recipe: Recipe): string[] {
  if (info.recipeHash === hashRecipe(recipe)) return [];
  // An older version made the hash of other keys and defaults: the recipes themselves are compared.
  return differences(recipeOf(folder), recipe);
}

/** An older version's recipe may no longer be valid: then all of it differs. */
function recipeOf(folder: string): unknown {
  try {
    return loadRecipe(runPaths(folder).recipe);
  } catch {
    return {};
  }
}

const isFile = (path: string): boolean => fs.statSync(path, { throwIfNoEntry: false })?.isFile() === true;

/** `null` where there is none. @throws UserError */
export function readJson<T>(path: string): T | null {
  if (!fs.existsSync(path)) return null;
  // In a stranger's folder it may be a pipe or a device, which never ends.
  const text = readText(path);
  try {
    return JSON.parse(text) as T;
  } catch {
    throw userError("run-folder", `${path} is not valid JSON.`, "Restore it, or start again with --fresh.");
  }
}
