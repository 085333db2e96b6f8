/**
 * Checkpoints of a training run: `step-000123/` with the model, the optimizer's tensors and the state.
 *
 * A checkpoint is built in a hidden sibling folder, made durable, and renamed into place, so a process that
 * is killed at any moment leaves the old ones, or the old ones and the new one, never half of one.
 */
import fs from "node:fs";
import { join } from "node:path";
import { makeFolder, onDisk, syncFolder, writeDurably } from "../lib/disk.ts";
import { CheckpointError } from "./errors.ts";
import { type Model, saveModel } from "./folder.ts";
import { exactJson, readJson } from "./json.ts";
import { checkManifest, writeManifest } from "./manifest.ts";
import { type Parameter, withSafetensors, writeSafetensors } from "./safetensors.ts";

export interface TrainingState {
  /** Optimizer moments and whatever else is an array of f32. */
  tensors: ReadonlyMap<string, Parameter>;
  /** Plain JSON: random states, data cursor, rollout buffer (ids, log-probabilities, rewards), metrics position. */
  state: unknown;
  model?: Model;
}

export interface SavedCheckpoint {
  step: number;
  path: string;
}

const STATE = "state.json";
const TENSORS = "tensors.safetensors";
const MODEL = "model";
const TEMPORARY = ".tmp-";
const NAME = /^step-(\d{6,})(\.old)?$/;

/**
 * Saves `dir/step-000123` and returns its path. An existing checkpoint of the same step is replaced.
 * @throws CheckpointError if the disk is full or the state is not exact JSON; nothing saved before is touched.
 */
export function saveCheckpoint(dir: string, step: number, content: TrainingState): string {
  const target = join(dir, checkpointName(step));
  const temporary = join(dir, `${TEMPORARY}${checkpointName(step)}`);
  const replaced = `${target}.old`;
  makeFolder(dir);
  try {
    // A run has one writer: what carries this name was left by a killed one.
    fs.rmSync(temporary, { recursive: true, force: true });
    makeFolder(temporary);
    fill(temporary, step, content);
    onDisk(target, () => {
      if (fs.existsSync(target)) {
        fs.rmSync(replaced, { recursive: true, force: true });
        fs.renameSync(target, replaced);
      }
      fs.renameSync(temporary, target);
      syncFolder(dir);
    });
  } catch (error) {
    undo(temporary, target, replaced);
    throw error;
  }
  fs.rmSync(replaced, { recursive: true, force: true });
  return target;
}

function fill(folder: string, step: number, { tensors, state, model }: TrainingState): void {
  const stateFile = join(folder, STATE);
  const json = exactJson(stateFile, { format: 1, step, state });
  writeDurably(stateFile, json);
  const arrays = new Map([...tensors].map(([name, tensor]) => [name, { dtype: "F32" as const, ...tensor }]));
  writeSafetensors(join(folder, TENSORS), arrays);
  const files = [STATE, TENSORS];
  if (model !== undefined) {
    const saved = saveModel(join(folder, MODEL), model);
    files.push(...saved.map((file) => `${MODEL}/${file}`));
  }
  writeManifest(folder, step, files);
  onDisk(folder, () => syncFolder(folder));
}

function undo(temporary: string, target: string, replaced: string): void {
  try {
    fs.rmSync(temporary, { recursive: true, force: true });
    if (fs.existsSync(replaced) && !fs.existsSync(target)) fs.renameSync(replaced, target);
  } catch {
    // The first error is the one to report; what is left here is hidden or still valid.
  }
}

/**
 * @returns the state as saved, the tensors, and the folder for `loadModel` (`null` if no model was saved).
 * @throws CheckpointError if the checkpoint is not whole.
 */
export function loadCheckpoint(path: string): {
  step: number;
  state: unknown;
  tensors: Map<string, Parameter>;
  modelFolder: string | null;
} {
  const problem = checkManifest(path);
  if (problem !== null)
    throw new CheckpointError({
      file: path,
      expected: "a whole checkpoint",
      found: problem,
      remedy: "Resume from an earlier one.",
    });
  const { step, state } = readJson(join(path, STATE)) as { step: number; state: unknown };
  const tensors = withSafetensors(
    join(path, TENSORS),
    (file) => new Map([...file.header.tensors.keys()].map((name) => [name, file.readFloat32(name)])),
  );
  const modelFolder = join(path, MODEL);
  return { step, state, tensors, modelFolder: fs.existsSync(modelFolder) ? modelFolder : null };
}

/** The newest whole checkpoint of a run, or `null`. One that is damaged is skipped and named in a warning. */
export function latestCheckpoint(
  dir: string,
  warn: (message: string) => void = console.warn,
): SavedCheckpoint | null {
  for (const { step, path } of list(dir)) {
    const problem = checkManifest(path);
    if (problem === null) return { step, path };
    warn(`skipped damaged checkpoint ${path}: ${problem}`);
  }
  return null;
}

/**
 * Keeps the newest `keep` whole checkpoints and removes what is older, and what a killed writer left.
 * Damaged ones do not count, and newer damaged ones stay for inspection. Returns the removed paths.
 */
export function pruneCheckpoints(dir: string, keep: number): string[] {
  if (!Number.isSafeInteger(keep) || keep < 1)
    throw new RangeError(`keep: expected 1 or more, found ${keep}`);
  const saved = list(dir);
  const whole = saved.filter(({ path }) => checkManifest(path, { quick: true }) === null);
  const oldest = whole[keep - 1];
  const removed = oldest === undefined ? [] : saved.slice(saved.indexOf(oldest) + 1).map(({ path }) => path);
  for (const path of removed) {
    // Renamed first, so that a killed removal leaves no half checkpoint to warn about.
    const doomed = join(dir, `${TEMPORARY}removed-${process.pid}`);
    fs.renameSync(path, doomed);
    fs.rmSync(doomed, { recursive: true, force: true });
  }
  for (const name of names(dir))
    if (name.startsWith(TEMPORARY)) fs.rmSync(join(dir, name), { recursive: true, force: true });
  return removed;
}

/** Newest first. A replaced one (`.old`) stands behind its successor: it counts if the swap was cut short. */
function list(dir: string): SavedCheckpoint[] {
  return names(dir)
    .flatMap((name) => {
      const match = NAME.exec(name);
      return match === null ? [] : [{ step: Number(match[1]), path: join(dir, name) }];
    })
    .sort((a, b) => b.step - a.step || a.path.length - b.path.length);
}

function names(dir: string): string[] {
  return fs.existsSync(dir) ? fs.readdirSync(dir) : [];
}

/** A checkpoint's folder. @throws RangeError for what is no step */
export function checkpointName(step: number): string {
  if (!Number.isSafeInteger(step) || step < 0)
    throw new RangeError(`step: expected a whole number, found ${step}`);
  return `step-${String(step).padStart(6, "0")}`;
}
