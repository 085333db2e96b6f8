/**
 * The target of an export. It replaces only files that Sputnik wrote and nobody changed; other files are refused, or with
 * `--force` removed where they would become part of the model. New files are written beside the target and renamed.
 */
import fs from "node:fs";
import { basename, dirname, join, resolve, sep } from "node:path";
import { GgufFile, openParts } from "../checkpoint/gguf/file.ts";
import { WROTE } from "../checkpoint/gguf/model.ts";
import { INDEX, SHARD, WEIGHTS } from "../checkpoint/shards.ts";
import { type UserError, usageError } from "../lib/errors.ts";
import { scratchFolder } from "../lib/scratch.ts";
import { readText } from "../lib/text-file.ts";

export interface TargetOptions {
  /** What is exported: a folder or a file, and the run that it comes from. */
  sources: readonly string[];
  force: boolean;
}

/** The files of an export, by their paths in the folder: bytes, and when they were last changed (ms). */
type Manifest = Record<string, { bytes: number; changed: number }>;

/** The manifest in an exported folder. */
export const EXPORTED = "sputnik-export.json";
/** Prefix of the folders that are being written; see `scratchFolder`. */
const PARTIAL = ".sputnik-export-";

/** Names of model files, which a reader would mix with ours. */
const MODEL_FILE =
  /^(config|tokenizer|tokenizer_config|generation_config|special_tokens_map|added_tokens|adapter_config)\.json$|^(chat_template\.jinja|chat_template\.json|tokenizer\.model|vocab\.json|merges\.txt)$|^additional_chat_templates\/[^/]+\.jinja$|^(pytorch_model|adapter_model).*\.(bin|json|safetensors)$/;
const isModelFile = (name: string): boolean =>
  name === WEIGHTS || name === INDEX || SHARD.test(name) || MODEL_FILE.test(name);

/** Lets `write` fill a new folder, which then becomes `target`. @throws UserError where `target` is not ours to write */
export function writeFolder<T>(target: string, options: TargetOptions, write: (folder: string) => T): T {
  const there = real(target);
  refuseSource(target, there, options.sources);
  const stats = fs.statSync(there, { throwIfNoEntry: false });
  if (stats !== undefined && !stats.isDirectory())
    throw usageError(`${target} is a file.`, "Name a new or an empty folder.");
  const before = stats === undefined ? [] : filesIn(there);
  const foreign = foreignFiles(there, before);
  if (foreign.length > 0 && !options.force) throw occupied(target, foreign);
  fs.mkdirSync(there, { recursive: true });
  const { path: partial, remove } = scratchFolder("export", there);
  try {
    const result = write(partial);
    const written = filesIn(partial);
    for (const file of written) {
      const folder = dirname(join(there, file));
      // The name is a folder, or a link leads out of the target.
      if (isFolder(join(there, file)) || real(folder) !== folder) throw occupied(target, [file]);
    }
    const others = new Set(foreign);
    // Without config.json the folder is no model, so that a killed export leaves no broken one.
    fs.rmSync(join(there, "config.json"), { force: true });
    for (const file of before)
      if (!written.includes(file) && (!others.has(file) || isModelFile(file))) fs.rmSync(join(there, file));
    for (const file of [...written.filter((name) => name !== "config.json"), "config.json"]) {
      if (!written.includes(file)) continue;
      fs.mkdirSync(dirname(join(there, file)), { recursive: true });
      fs.renameSync(join(partial, file), join(there, file));
    }
    const manifest = Object.fromEntries(written.map((file) => [file, stateOf(join(there, file))]));
    fs.writeFileSync(join(there, EXPORTED), `${JSON.stringify(manifest, null, 2)}\n`);
    return result;
  } catch (error) {
    throw naming(target, partial, error);
  } finally {
    remove();
    // Removes the folder that a failed export made.
    if (stats === undefined && fs.readdirSync(there).length === 0) fs.rmdirSync(there);
  }
}

/** Lets `write` write a new file, which then becomes `target`. @throws UserError where `target` is not ours to write */
export function writeGgufFile<T>(target: string, options: TargetOptions, write: (file: string) => T): T {
  const there = real(target);
  refuseSource(target, there, options.sources);
  const stats = fs.statSync(there, { throwIfNoEntry: false });
  if (stats !== undefined && !stats.isFile())
    throw usageError(`${target} is not a file.`, "Name a new file whose name ends with .gguf.");
  if (stats !== undefined && !options.force && !isOurGguf(there))
    throw usageError(
      `${target} is there already, and Sputnik did not write it.`,
      "Name a new file, or add --force to replace it.",
    );
  if (!isFolder(dirname(there)))
    throw usageError(`The folder ${dirname(target)} is not there.`, "Make it, or name another.");
  const { path: folder, remove } = scratchFolder("export", dirname(there));
  try {
    const result = write(join(folder, basename(there)));
    fs.renameSync(join(folder, basename(there)), there);
    return result;
  } catch (error) {
    throw naming(target, join(folder, basename(there)), error);
  } finally {
    remove();
  }
}

/** Replaces the path of the partial file in an error by the path that the person named. */
function naming(target: string, partial: string, error: unknown): unknown {
  if (error instanceof Error) error.message = error.message.replaceAll(partial, target);
  return error;
}

function isOurGguf(path: string): boolean {
  try {
    const file = new GgufFile(path);
    file.close();
    return file.header.metadata.get(WROTE)?.value === BigInt(file.size);
  } catch {
    return false;
  }
}

/** Files of a folder that no export of ours wrote, or that were changed since. */
function foreignFiles(folder: string, files: readonly string[]): string[] {
  const manifest = readManifest(folder);
  return files.filter((file) => {
    if (file === EXPORTED && manifest !== null) return false;
    const known = manifest !== null && Object.hasOwn(manifest, file) ? manifest[file] : null;
    if (known == null) return true;
    const { bytes, changed } = stateOf(join(folder, file));
    return bytes !== known.bytes || changed !== known.changed;
  });
}

function readManifest(folder: string): Manifest | null {
  try {
    const found: unknown = JSON.parse(readText(join(folder, EXPORTED)));
    return typeof found === "object" && found !== null ? (found as Manifest) : null;
  } catch {
    return null;
  }
}

/** Size and time of the entry itself: links are not followed. */
function stateOf(path: string): Manifest[string] {
  const { size, mtimeMs } = fs.lstatSync(path);
  return { bytes: size, changed: Math.round(mtimeMs) };
}

/** Paths with `/` of all files and links; the remains of a killed export do not count. */
function filesIn(folder: string, prefix = ""): string[] {
  return fs.readdirSync(join(folder, prefix), { withFileTypes: true }).flatMap((entry) => {
    const path = `${prefix}${entry.name}`;
    if (!entry.isDirectory()) return [path];
    return prefix === "" && entry.name.startsWith(PARTIAL) ? [] : filesIn(folder, `${path}/`);
  });
}

/** `target` must not be the source, contain it, or be inside it. Paths are compared as the disk does, through links. */
function refuseSource(target: string, there: string, sources: readonly string[]): void {
  for (const source of new Set(sources.flatMap(allFilesOf).map(real))) {
    const [inner, outer] = [`${there}${sep}`, `${source}${sep}`];
    if (same(there, source)) throw usageError(`${target} is the model itself.`, "Name another place.");
    if (outer.startsWith(inner) || parents(source).some((folder) => same(folder, there)))
      throw usageError(`${target} holds the model itself.`, "Name another place.");
    if (inner.startsWith(outer) || parents(there).some((folder) => same(folder, source)))
      throw usageError(`${target} lies in the model itself.`, "Name another place.");
  }
}

/** The source and all files that belong to it: the other parts of a GGUF file, and the files that its links name. */
function allFilesOf(source: string): string[] {
  if (fs.statSync(source).isDirectory()) {
    const isLinked = (path: string): boolean =>
      !fs.lstatSync(path).isFile() && fs.statSync(path, { throwIfNoEntry: false })?.isFile() === true;
    return [
      source,
      ...fs
        .readdirSync(source)
        .map((name) => join(source, name))
        .filter(isLinked),
    ];
  }
  const parts = openParts(source);
  for (const part of parts) part.close();
  return parts.map(({ file }) => file);
}

function parents(path: string): string[] {
  const up = dirname(path);
  return up === path ? [] : [up, ...parents(up)];
}

function same(one: string, other: string): boolean {
  if (one === other) return true;
  const options = { bigint: true, throwIfNoEntry: false } as const;
  const [a, b] = [fs.statSync(one, options), fs.statSync(other, options)];
  return a !== undefined && b !== undefined && a.dev === b.dev && a.ino === b.ino && a.ino !== 0n;
}

/** The path with links resolved; it need not exist yet. */
function real(path: string): string {
  const full = resolve(path);
  try {
    return fs.realpathSync.native(full);
  } catch {
    const up = dirname(full);
    return up === full ? full : join(real(up), basename(full));
  }
}

const isFolder = (path: string): boolean =>
  fs.lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true;

function occupied(target: string, files: readonly string[]): UserError {
  const more = files.length > 3 ? ` and ${files.length - 3} more` : "";
  return usageError(
    `${target} holds other files, which Sputnik did not write, or which were changed since: ${files.slice(0, 3).join(", ")}${more}.`,
    "Give a new or an empty folder, or add --force: a model there is replaced, other files stay.",
  );
}
