/** From what a person names (a run, a folder of a run, a checkpoint or a model, a pulled model) to a model's folder. */
import fs from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { pulledModel } from "../checkpoint/download.ts";
import { holdsModel } from "../checkpoint/model.ts";
import { latestCheckpoint } from "../checkpoint/resume.ts";
import type { EvaluationRecord } from "../events.ts";
import { type UserError, usageError } from "../lib/errors.ts";
import { readJournal } from "../lib/journal.ts";
import { loadRecipe } from "../recipe/load.ts";
import { type TaskOptions, taskOptions } from "../tasks/registry.ts";
import { readJson, runPaths } from "./folder.ts";
import type { RunInfo } from "./info.ts";
import { recipeOfRun } from "./reader.ts";

/** A model that `findModel` found. */
export interface FoundModel {
  /** A Hugging Face folder, or a GGUF file. */
  folder: string;
  /** The folder of the run that made it, where its journals can be read; `null` if unknown. */
  run: string | null;
  /** Steps done when it was saved; `null` for a model folder. */
  step: number | null;
  /** On the Hub, for one that was pulled. */
  name?: string;
}

/** The finished checkpoint of recipes/tiny-r1-zero.yaml that comes with the package. */
export const SHIPPED = fileURLToPath(new URL("../../models/tiny-r1-zero", import.meta.url));

/** @throws UserError naming what is there instead. */
export function findModel(target?: string, root = "runs"): FoundModel {
  const folder = target === undefined ? SHIPPED : fs.existsSync(target) ? target : join(root, target);
  if (holdsModel(folder)) {
    const described = fs.existsSync(runPaths(folder).info);
    return { folder, run: described ? folder : null, step: null };
  }
  if (fs.existsSync(join(folder, "manifest.json"))) {
    const model = join(folder, "model");
    const step = Number(/step-(\d+)/.exec(folder)?.[1]);
    if (fs.existsSync(model)) return { folder: model, run: join(folder, "..", ".."), step };
  }
  if (fs.existsSync(runPaths(folder).info)) {
    const skipped: string[] = [];
    const saved = latestCheckpoint(runPaths(folder).checkpoints, (message) => skipped.push(message));
    if (saved !== null) return { folder: join(saved.path, "model"), run: folder, step: saved.step };
    const why = skipped.length > 0 ? skipped.join("; ") : "no checkpoint has been saved yet";
    throw usageError(
      `The run ${folder} has no model to load: ${why}.`,
      "Run its recipe again: the run resumes and saves one.",
    );
  }
  const pulled = target === undefined || fs.existsSync(target) ? null : pulledModel(target);
  if (pulled !== null) return { folder: pulled, run: null, step: null, name: target };
  throw notFound(target, root);
}

function notFound(target: string | undefined, root: string): UserError {
  if (target === undefined) {
    return usageError(
      `The shipped model is missing (${SHIPPED}).`,
      "Name a run, or train one with: sputnik start",
    );
  }
  if (fs.existsSync(target))
    return usageError(
      `${target} holds no model: expected a folder with config.json, a run, a checkpoint or a GGUF file.`,
      "Name one of these.",
    );
  const known = listRuns(root);
  const remedy =
    known.length === 0
      ? "There are no runs here yet. Train one with: sputnik train recipes/smoke.yaml"
      : `Known runs: ${known.join(", ")}. A folder of a run, a checkpoint or a model (config.json), or a GGUF file will do too.`;
  const hub = /^[^/]+\/[^/]+$/.test(target)
    ? `If it is on the Hugging Face Hub: sputnik pull ${target}\n`
    : "";
  return usageError(`There is no run and no model called "${target}".`, `${hub}${remedy}`);
}

export function listRuns(root = "runs"): string[] {
  if (!fs.existsSync(root)) return [];
  return fs
    .readdirSync(root)
    .filter((name) => fs.existsSync(runPaths(join(root, name)).info))
    .sort();
}

/** The task that a model was trained on; Countdown where nobody says. */
export function trainedTask({ run }: FoundModel): TaskOptions {
  const fallback = taskOptions.parse({ kind: "countdown" });
  if (run === null) return fallback;
  const { recipe, info } = runPaths(run);
  if (!fs.existsSync(recipe)) return fallback;
  return recipeOfRun(loadRecipe(recipe), readJson<RunInfo>(info) ?? {}).task;
}

/** Its last evaluation, or `null`. */
export function lastEvaluation({ run }: FoundModel): EvaluationRecord | null {
  return run === null ? null : (readJournal<EvaluationRecord>(runPaths(run).evaluations).at(-1) ?? null);
}
