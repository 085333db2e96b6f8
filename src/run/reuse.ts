/**
 * A stage whose inputs did not change is not run again. Its key is a hash of the code that computes, its options, its seed, the
 * contents of the files that they name, and the keys of the stages that it builds on. Another run in the same folder of runs whose stage has
 * the same key has the same product: a model, rows or an evaluation.
 */
import { createHash, randomUUID } from "node:crypto";
import fs from "node:fs";
import { basename, dirname, join } from "node:path";
import type { EvaluationRecord } from "../events.ts";
import type { BillFile, ReusedStage } from "../ledger/bill.ts";
import { makeFolder } from "../lib/disk.ts";
import { UserError } from "../lib/errors.ts";
import { readJournal } from "../lib/journal.ts";
import type { ResolvedRecipe, ResolvedStage } from "../recipe/resolve.ts";
import { START, trains } from "../recipe/schema.ts";
import { type FinishedStage, type MetricsLine, type RunFolder, readJson, runPaths } from "./folder.ts";
import type { RunInfo } from "./info.ts";

/** Options whose value may be the name of an earlier stage. */
const STAGE_NAMES = new Set(["stage", "from"]);
/** Options whose value may be a path. */
const PATHS = new Set(["file", "path", "test", "folder", "from", "adapter"]);
/** Bytes of a file above which its size and time of change stand for its content. */
const LARGE = 64 * 2 ** 20;

const hash = (...parts: unknown[]): string =>
  createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 32);

/** The folders of src/ that a product follows from; what prints and serves is not among them. */
const COMPUTES = [
  "graph",
  "runtime",
  "models",
  "tokenizer",
  "checkpoint",
  "tasks",
  "sample",
  "data",
  "eval",
  "train",
  "recipe",
];

/** Of the code that computes: a contributor's change of it is no change of the package's version. */
export const codeHash = (root = join(import.meta.dirname, "..")): string =>
  hash(COMPUTES.map((folder) => fileHash(join(root, folder))));

/** The key of each stage of a recipe, in their order. @param code a hash of it; see `codeHash` */
export function stageKeys(recipe: ResolvedRecipe, versions: RunInfo["versions"], code: string): string[] {
  const { model, tokenizer, task, seed } = recipe;
  const base = hash(versions, code, contentOf({ tokenizer, task }, new Map()));
  const keys = new Map([[START, hash(base, seed, contentOf({ model }, new Map()))]]);
  let latest = keys.get(START);
  return recipe.stages.map((stage) => {
    const { name, shape: _, ...options } = stage;
    // The models of a merge are among its options.
    const own = stage.kind === "merge" || ("model" in options && options.model !== undefined);
    const from = "from" in options ? options.from : undefined;
    const parent = own ? base : from === undefined ? latest : keys.get(from);
    const key = hash(parent, contentOf(options, keys));
    keys.set(name, key);
    if (trains(stage)) latest = key;
    return key;
  });
}

/** The value with names of stages replaced by their keys, and paths by what is there. */
function contentOf(value: unknown, keys: ReadonlyMap<string, string>, name = ""): unknown {
  if (Array.isArray(value)) return value.map((item) => contentOf(item, keys, name));
  if (typeof value === "string") {
    if (STAGE_NAMES.has(name) && keys.has(value)) return keys.get(value);
    // It may import other files, so nothing is known to be equal.
    if (name === "module") return randomUUID();
    return PATHS.has(name) && fs.existsSync(value) ? fileHash(value) : value;
  }
  if (typeof value !== "object" || value === null) return value;
  const sorted = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return sorted.map(([inner, item]) => [inner, contentOf(item, keys, inner)]);
}

function fileHash(path: string): string {
  const found = fs.statSync(path);
  if (found.isDirectory())
    return hash(fs.readdirSync(path).map((entry) => [entry, fileHash(join(path, entry))]));
  if (found.size > LARGE) return hash(found.size, found.mtimeMs);
  return createHash("sha256").update(fs.readFileSync(path)).digest("hex");
}

/** The product of a stage that another run finished. */
interface Product {
  /** The other run's folder, and the stage's name there. */
  folder: string;
  name: string;
  cost: ReusedStage;
}

/** The product of a stage with this key in a run beside `folder`; `null` where none has it. */
function findProduct(folder: string, stage: ResolvedStage, key: string): Product | null {
  const root = dirname(folder);
  for (const entry of fs.readdirSync(root).sort()) {
    const other = join(root, entry);
    if (other === folder) continue;
    const found = finishedIn(other).find((one) => one.key === key);
    if (found === undefined || !fs.existsSync(productPath(other, found.name, stage))) continue;
    const cost = { ...(found.reused ?? costOf(other, found.name)), stage: stage.name };
    return { folder: other, name: found.name, cost };
  }
  return null;
}

/** What a folder says that it finished; nothing where that cannot be read: it need not be a run. */
function finishedIn(folder: string): FinishedStage[] {
  try {
    const stages = readJson<unknown>(runPaths(folder).stages);
    return Array.isArray(stages) ? stages.filter((one) => typeof one?.key === "string") : [];
  } catch (error) {
    if (error instanceof UserError || (error as NodeJS.ErrnoException).code !== undefined) return [];
    throw error;
  }
}

function productPath(folder: string, name: string, stage: ResolvedStage): string {
  const paths = runPaths(folder);
  if (stage.kind === "evaluate") return paths.evaluations;
  return stage.kind === "sample" ? join(paths.rows, `${name}.jsonl`) : join(paths.models, name);
}

/** What the stage cost there. */
function costOf(folder: string, name: string): ReusedStage {
  const line = readJson<BillFile>(runPaths(folder).bill)?.lines.find(({ stage }) => stage === name);
  const { flops = 0, seconds = 0, wattHours = null, dollars = null } = line ?? {};
  return { stage: name, run: basename(folder), flops, seconds, wattHours, dollars };
}

/** What was taken over. */
export interface Reuse {
  cost: ReusedStage;
  evaluation?: EvaluationRecord;
}

/**
 * Takes the product of a stage over from another run: its model and adapter, its rows, its metrics, its evaluation.
 * @returns `null` where no run has it
 */
export function reuseStage(folder: RunFolder, stage: ResolvedStage, key: string): Reuse | null {
  const product = findProduct(folder.folder, stage, key);
  if (product === null) return null;
  const from = runPaths(product.folder);
  if (stage.kind === "evaluate") {
    const same = readJournal<EvaluationRecord>(from.evaluations).find(({ label }) => label === stage.label);
    if (same === undefined) return null;
    folder.appendEvaluation(same);
    return { cost: product.cost, evaluation: same };
  }
  if (stage.kind === "sample")
    folder.appendRows(stage.name, readJournal<object>(productPath(product.folder, product.name, stage)));
  else
    for (const kind of ["models", "adapters"] as const) {
      const made = join(from[kind], product.name);
      if (!fs.existsSync(made)) continue;
      makeFolder(folder.paths[kind]);
      fs.cpSync(made, join(folder.paths[kind], stage.name), { recursive: true });
    }
  for (const line of readJournal<MetricsLine>(from.metrics))
    if (line.stage === product.name) folder.appendMetrics({ ...line, stage: stage.name });
  return { cost: product.cost };
}
