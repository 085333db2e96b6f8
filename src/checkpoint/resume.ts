/**
 * Checkpoints of a training run: `step-000123/` with the model, the optimizer's tensors and the state.
 *
 * A checkpoint is written into a hidden folder beside the others, made durable, and renamed into place. A process that is
 * killed at any moment leaves the old checkpoints, or the old ones and a complete new one. The manifest, a list of the
 * files with sizes and hashes, is written last: a folder without it, or at odds with it, is no checkpoint.
 */
import { createHash } from "node:crypto";
import fs from "node:fs";
import { isAbsolute, join, sep } from "node:path";
import { z } from "zod";
import { makeFolder, onDisk, syncFolder, writeDurably } from "../lib/disk.ts";
import { readText, visible } from "../lib/text-file.ts";
import { mismatch } from "./errors.ts";
import { type Model, saveModel } from "./folder.ts";
import { exactJson, readJson } from "./json.ts";
import { type Parameter, withSafetensors, writeSafetensors } from "./safetensors.ts";

export interface TrainingState {
  /** Optimizer moments and other arrays of f32. */
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
export const MANIFEST = "manifest.json";
const TEMPORARY = ".tmp-";
const NAME = /^step-(\d{6,})(\.old)?$/;

/**
 * Saves `dir/step-000123` and returns its path. An existing checkpoint of the same step is replaced.
 * @throws UserError if the disk is full or the state is not exact JSON; earlier checkpoints are untouched
 */
export function saveCheckpoint(dir: string, step: number, content: TrainingState): string {
  const target = join(dir, checkpointName(step));
  const temporary = join(dir, `${TEMPORARY}${checkpointName(step)}`);
  const replaced = `${target}.old`;
  makeFolder(dir);
  try {
    // A run has one writer: a folder of this name was left by a killed one.
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
    try {
      fs.rmSync(temporary, { recursive: true, force: true });
      if (fs.existsSync(replaced) && !fs.existsSync(target)) fs.renameSync(replaced, target);
    } catch {
      // The first error is the one to report; the remains are hidden or still valid.
    }
    throw error;
  }
  fs.rmSync(replaced, { recursive: true, force: true });
  return target;
}

function fill(folder: string, step: number, { tensors, state, model }: TrainingState): void {
  const stateFile = join(folder, STATE);
  writeDurably(stateFile, exactJson(stateFile, { format: 1, step, state }));
  const arrays = new Map([...tensors].map(([name, tensor]) => [name, { dtype: "F32" as const, ...tensor }]));
  writeSafetensors(join(folder, TENSORS), arrays);
  const saved = model === undefined ? [] : saveModel(join(folder, MODEL), model);
  writeManifest(folder, step, [STATE, TENSORS, ...saved.map((file) => `${MODEL}/${file}`)]);
  onDisk(folder, () => syncFolder(folder));
}

/**
 * @returns the state as saved, the tensors, and the folder for `loadModel` (`null` if no model was saved)
 * @throws UserError if the checkpoint is incomplete or damaged
 */
export function loadCheckpoint(path: string): {
  step: number;
  state: unknown;
  tensors: Map<string, Parameter>;
  modelFolder: string | null;
} {
  const problem = checkManifest(path);
  if (problem !== null) throw mismatch(path, "a complete checkpoint", problem, "Resume from an earlier one.");
  const { step, state } = readJson(join(path, STATE)) as { step: number; state: unknown };
  const tensors = withSafetensors(
    join(path, TENSORS),
    (file) => new Map([...file.header.tensors.keys()].map((name) => [name, file.readFloat32(name)])),
  );
  const modelFolder = join(path, MODEL);
  return { step, state, tensors, modelFolder: fs.existsSync(modelFolder) ? modelFolder : null };
}

/** The newest complete checkpoint of a run, or `null`. A damaged one is skipped with a warning that names it. */
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
 * Keeps the newest `keep` complete checkpoints and removes older ones and the remains of a killed writer.
 * Damaged ones do not count, and newer damaged ones stay for inspection. Returns the removed paths.
 */
export function pruneCheckpoints(dir: string, keep: number): string[] {
  if (!Number.isSafeInteger(keep) || keep < 1)
    throw new RangeError(`keep: expected 1 or more, found ${keep}`);
  const saved = list(dir);
  const complete = saved.filter(({ path }) => checkManifest(path, { quick: true }) === null);
  const oldest = complete[keep - 1];
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

/** Newest first. A replaced checkpoint (`.old`) comes after its successor: it counts if a kill interrupted the swap. */
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

/** The name of a checkpoint's folder. @throws RangeError if `step` is no whole number */
export function checkpointName(step: number): string {
  if (!Number.isSafeInteger(step) || step < 0)
    throw new RangeError(`step: expected a whole number, found ${step}`);
  return `step-${String(step).padStart(6, "0")}`;
}

const manifestSchema = z.looseObject({
  format: z.literal(1),
  step: z.number(),
  files: z.array(z.object({ path: z.string().min(1), bytes: z.int().nonnegative(), sha256: z.string() })),
});
type Manifest = z.output<typeof manifestSchema>;

/** Writes the manifest of the given files, paths relative to `folder`. */
export function writeManifest(folder: string, step: number, paths: readonly string[]): void {
  const files = paths.map((path) => {
    const file = join(folder, path);
    return { path, bytes: fs.statSync(file).size, sha256: hashFile(file) };
  });
  const manifest: Manifest = { format: 1, step, files };
  writeDurably(join(folder, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`);
}

/**
 * What is wrong with a checkpoint folder, in words, or `null` if it is complete.
 * `quick` compares sizes but not content.
 */
export function checkManifest(folder: string, { quick = false }: { quick?: boolean } = {}): string | null {
  let manifest: Manifest;
  try {
    manifest = manifestSchema.parse(JSON.parse(readText(join(folder, MANIFEST))));
  } catch {
    return `no readable ${MANIFEST}`;
  }
  for (const { path, bytes, sha256 } of manifest.files) {
    const shown = visible(path);
    if (!isInside(folder, path)) return `${MANIFEST} names a file outside of the checkpoint: ${shown}`;
    const file = join(folder, path);
    const found = fs.statSync(file, { throwIfNoEntry: false });
    if (found === undefined) return `${shown} is missing`;
    // A device has no end.
    if (!found.isFile()) return `${shown} is not a file`;
    if (found.size !== bytes) return `${shown}: expected ${bytes} bytes, found ${found.size}`;
    if (!quick && hashFile(file) !== sha256) return `${shown}: its content has changed`;
  }
  return null;
}

/** Whether a path of a manifest leads to a place in the folder, also through links. */
function isInside(folder: string, path: string): boolean {
  if (path.includes("\0") || isAbsolute(path) || path.split(/[\\/]/).includes("..")) return false;
  const file = join(folder, path);
  if (!fs.existsSync(file)) return true;
  return fs.realpathSync(file).startsWith(fs.realpathSync(folder) + sep);
}

function hashFile(file: string): string {
  const hash = createHash("sha256");
  const buffer = Buffer.alloc(4 * 1024 * 1024);
  const handle = fs.openSync(file, "r");
  try {
    for (;;) {
      const read = fs.readSync(handle, buffer);
      if (read === 0) return hash.digest("hex");
      hash.update(buffer.subarray(0, read));
    }
  } finally {
    fs.closeSync(handle);
  }
}
