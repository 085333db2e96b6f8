/**
 * A stage whose inputs did not change is not run again. Its key is a hash of its options, its seed, the contents of the
 * files that they name, and the keys of the stages that it builds on. Another run in the same folder of runs whose stage has
 * the same key has the same product: a model, rows or an evaluation.
 */
import { createHash } from "node:crypto";
import fs from "node:fs";
import { basename, dirname, join } from "node:path";
import type { EvaluationRecord } from "../events.ts";
import type { BillFile, ReusedStage } from "../ledger/bill.ts";
import { makeFolder } from "../lib/disk.ts";
import { readJournal } from "../lib/journal.ts";
import type { ResolvedRecipe, ResolvedStage } from "../recipe/resolve.ts";
import { START, trains } from "../recipe/schema.ts";
import { type FinishedStage, type MetricsLine, type RunFolder, readJson, runPaths } from "./folder.ts";
import type { RunInfo } from "./info.ts";

/** Options whose value may be the name of an earlier stage. */
const STAGE_NAMES = new Set(["stage", "from"]);
/** Options whose value may be a path. */
const PATHS = new Set(["file", "path", "test", "folder", "module", "from", "adapter"]);
/** Bytes of a file above which its size and time of change stand for its content. */
const LARGE = 64 * 2 ** 20;

const hash = (...parts: unknown[]): string =>
  createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 32);

/** The key of each stage of a recipe, in their order. @param versions of the code that computes */
export function stageKeys(recipe: ResolvedRecipe, versions: RunInfo["versions"]): string[] {
  const { model, tokenizer, task, seed } = recipe;
  const base = hash(versions, contentOf({ tokenizer, task }, new Map()));
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
    if (other === folder || !fs.existsSync(runPaths(other).stages)) continue;
    const found = readJson<FinishedStage[]>(runPaths(other).stages)?.find((one) => one.key === key);
    if (found === undefined || !fs.existsSync(productPath(other, found.name, stage))) continue;
    const cost = { ...(found.reused ?? costOf(other, found.name)), stage: stage.name };
    return { folder: other, name: found.name, cost };
  }
  return null;
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

/**
 * Takes the product of a stage over from another run: its model or its rows, its metrics, its evaluation.
 * @returns what it cost there; `null` where no run has it
 */
export function reuseStage(folder: RunFolder, stage: ResolvedStage, key: string): ReusedStage | null {
  const product = findProduct(folder.folder, stage, key);
  if (product === null) return null;
  const from = runPaths(product.folder);
  if (stage.kind === "evaluate") {
    const same = readJournal<EvaluationRecord>(from.evaluations).find(({ label }) => label === stage.label);
    if (same === undefined) return null;
    folder.appendEvaluation(same);
    return product.cost;
  }
  if (stage.kind === "sample")
    folder.appendRows(stage.name, readJournal<object>(productPath(product.folder, product.name, stage)));
  else {
    makeFolder(folder.paths.models);
    fs.cpSync(productPath(product.folder, product.name, stage), join(folder.paths.models, stage.name), {
      recursive: true,
    });
  }
  for (const line of readJournal<MetricsLine>(from.metrics))
    if (line.stage === product.name) folder.appendMetrics({ ...line, stage: stage.name });
  return product.cost;
}
