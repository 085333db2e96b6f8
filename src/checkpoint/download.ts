/**
 * Downloads of models. Bytes go into a partial file that the next try continues, and a file gets its name only after its
 * checksum agrees. Each model has a folder in a cache, by which its name on the Hub finds it again.
 * `@huggingface/hub` downloads too, but it starts a cut file again and compares no checksum.
 */
import { createHash } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import { dirname, join } from "node:path";
import { makeFolder, onDisk, replaceFile, writeAll } from "../lib/disk.ts";
import { isUserError, UserError } from "../lib/errors.ts";
import { isGguf } from "./gguf/file.ts";
import {
  type Checksum,
  describeFile,
  fileUrl,
  HUB_NAME,
  type HubFile,
  type HubModel,
  type HubOptions,
  hubError,
  request,
  unreachable,
} from "./hub.ts";
import { holdsModel } from "./model.ts";

export interface Progress {
  file: string;
  /** Bytes of this file and of all files, so far and in the end. */
  bytes: number;
  total: number;
  allBytes: number;
  allTotal: number;
}

export interface DownloadOptions extends HubOptions {
  onProgress?: (progress: Progress) => void;
  /** Whether to fetch weights from a server that names no checksum. */
  unchecked?: boolean;
  /** Whether files with other content in the folder may be replaced: yes in a cache, no in a person's folder. */
  replace?: boolean;
  /** Tries in a row without a single new byte. */
  tries?: number;
  /** Pause before the second try; it doubles before each further one. */
  pauseMs?: number;
  /** Longest silence of a connection. */
  silenceMs?: number;
}

export interface Fetched extends HubFile {
  /** The file was there already. */
  kept: boolean;
}

/**
 * Downloads the chosen files into `folder`, unless they are there, and compares them with their checksums.
 * @throws UserError for what the Hub refuses, a full disk, a checksum that differs, a file with other content in the way,
 *   or a path that leads out of the folder
 */
export async function downloadFiles(
  folder: string,
  model: HubModel,
  chosen: readonly HubFile[],
  options: DownloadOptions = {},
): Promise<Fetched[]> {
  const files: HubFile[] = [];
  for (const file of chosen) {
    checkInside(file);
    files.push(await describeFile(model, file, options));
  }
  const unsummed = files.filter(({ path, sum }) => sum === null && /\.(safetensors|gguf)$/i.test(path));
  if (unsummed.length > 0 && !options.unchecked)
    throw hubError(
      `The server names no checksum for ${unsummed.map(({ path }) => JSON.stringify(path)).join(", ")}: what arrives could not be compared.`,
      "Use a server that does, such as https://huggingface.co, or accept the sizes alone with --unchecked.",
    );
  makeFolder(folder);
  const kept = new Map<HubFile, boolean>();
  for (const file of files) kept.set(file, await isThere(folder, file, options.replace ?? false));
  const missing = files.filter((file) => !kept.get(file));
  checkSpace(folder, model, missing);
  const allTotal = files.reduce((total, { bytes }) => total + bytes, 0);
  let before = 0;
  for (const file of files) {
    const report = (bytes: number): void =>
      options.onProgress?.({ file: file.path, bytes, total: file.bytes, allBytes: before + bytes, allTotal });
    if (kept.get(file)) report(file.bytes);
    else await fetchFile(folder, model, file, { ...options, report });
    before += file.bytes;
  }
  return files.map((file) => ({ ...file, kept: kept.get(file)! }));
}

/** A server's path becomes a file name here, so it must not lead out of the folder. */
function checkInside({ path }: HubFile): void {
  const parts = path.split("/");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: a path must not have any
  if (!/[\\:\x00-\x1f]/.test(path) && !parts.some((part) => ["", ".", ".."].includes(part))) return;
  throw hubError(
    `The Hub names a file outside the model's folder: ${JSON.stringify(path)}.`,
    "No honest model does: take another copy of it, and check HF_ENDPOINT.",
  );
}

async function isThere(folder: string, file: HubFile, replace: boolean): Promise<boolean> {
  const path = join(folder, file.path);
  const stat = fs.statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return false;
  if (stat.size === file.bytes && (await agrees(path, file))) return true;
  if (replace) return false;
  throw hubError(
    `${path} is already there, with other content.`,
    "Give a new or an empty folder, or remove the file.",
  );
}

/** The name holds the checksum or the commit, so that bytes of another version are never continued. */
const partialOf = (folder: string, { commit }: HubModel, { path, sum }: HubFile): string =>
  join(folder, `${path}.${(sum?.hex ?? commit).slice(0, 12)}.part`);

const sizeOf = (path: string): number => fs.statSync(path, { throwIfNoEntry: false })?.size ?? 0;

function checkSpace(folder: string, model: HubModel, files: readonly HubFile[]): void {
  const left = (file: HubFile): number => file.bytes - sizeOf(partialOf(folder, model, file));
  const needed = files.reduce((total, file) => total + left(file), 0);
  const { bavail, bsize } = fs.statfsSync(folder);
  if (needed <= bavail * bsize) return;
  const giga = (bytes: number): string => (bytes / 1e9).toFixed(1);
  throw hubError(
    `${folder} needs ${giga(needed)} GB more space, and its disk has ${giga(bavail * bsize)} GB.`,
    "Free some space, or choose another disk with --to FOLDER.",
  );
}

type FetchOptions = DownloadOptions & { report: (bytes: number) => void };

async function fetchFile(
  folder: string,
  model: HubModel,
  file: HubFile,
  options: FetchOptions,
): Promise<void> {
  const { tries = 5, pauseMs = 1000, report } = options;
  const partial = partialOf(folder, model, file);
  makeFolder(dirname(partial));
  if (sizeOf(partial) > file.bytes) fs.rmSync(partial);
  if (file.bytes === 0) fs.writeFileSync(partial, "");
  for (let failures = 0; sizeOf(partial) < file.bytes; ) {
    const before = sizeOf(partial);
    report(before);
    try {
      await fetchRest(partial, model, file, options);
      if (sizeOf(partial) === before)
        throw hubError(`${file.path} ends too soon.`, "Run the command again.", { transient: true });
    } catch (error) {
      failures = sizeOf(partial) > before ? 1 : failures + 1;
      if (!(isUserError(error, "hub") && error.data.transient) || failures >= tries) throw error;
      await new Promise((resolve) => setTimeout(resolve, pauseMs * 2 ** (failures - 1)));
    }
  }
  if (!(await agrees(partial, file))) {
    // Nothing tells which bytes are wrong, so all are fetched again.
    fs.rmSync(partial);
    throw hubError(
      `${file.path} arrived with another checksum than the Hub's ${file.sum?.hex}; it was removed.`,
      "Run the command again. If it happens twice, a proxy or mirror changes the file: use another network or HF_ENDPOINT.",
    );
  }
  onDisk(partial, () => fs.renameSync(partial, join(folder, file.path)));
  report(file.bytes);
}

/** Appends the missing bytes, as far as the connection lasts. */
async function fetchRest(
  partial: string,
  model: HubModel,
  file: HubFile,
  options: FetchOptions,
): Promise<void> {
  const { silenceMs = 30_000, report } = options;
  const url = fileUrl(model, file, options);
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), silenceMs);
  let bytes = sizeOf(partial);
  let handle: number | null = null;
  try {
    const headers: Record<string, string> = bytes > 0 ? { range: `bytes=${bytes}-` } : {};
    const response = await request(url, options, model, { headers, signal: silence.signal });
    // A server without ranges sends the entire file again.
    if (response.status !== 206 || !response.headers.get("content-range")?.startsWith(`bytes ${bytes}-`))
      bytes = 0;
    const opened = onDisk(partial, () => fs.openSync(partial, bytes > 0 ? "r+" : "w"));
    handle = opened;
    for await (const chunk of response.body ?? []) {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), silenceMs);
      onDisk(partial, () => writeAll(opened, chunk, bytes));
      bytes += chunk.byteLength;
      if (bytes > file.bytes)
        throw hubError(`${file.path} is longer than the Hub says.`, "Run the command again.");
      report(bytes);
    }
  } catch (error) {
    throw error instanceof UserError ? error : unreachable(url, error);
  } finally {
    clearTimeout(timer);
    if (handle !== null) {
      fs.fsyncSync(handle);
      fs.closeSync(handle);
    }
  }
}

async function agrees(path: string, { bytes, sum }: HubFile): Promise<boolean> {
  if (sum === null) return sizeOf(path) === bytes;
  return (await checksum(path, sum.kind)) === sum.hex;
}

/** The hash of a file's bytes; git puts a header with the size before them. */
export async function checksum(path: string, kind: Checksum["kind"]): Promise<string> {
  const hash = createHash(kind === "git" ? "sha1" : "sha256");
  if (kind === "git") hash.update(`blob ${sizeOf(path)}\0`);
  for await (const chunk of fs.createReadStream(path, { highWaterMark: 1 << 20 }))
    hash.update(chunk as Buffer);
  return hash.digest("hex");
}

/** The folder of a name in the cache (SPUTNIK_CACHE, or the user's own); it holds one folder a commit. */
function nameFolder(name: string): string {
  const { SPUTNIK_CACHE, XDG_CACHE_HOME } = process.env;
  const cache = SPUTNIK_CACHE || join(XDG_CACHE_HOME || join(os.homedir(), ".cache"), "sputnik");
  return join(cache, "models", name.replace("/", "--"));
}

/** A file in a name's folder with the relative path of the model that was pulled last, completely. */
const LAST = "last";

export const pullFolder = ({ name, commit }: HubModel): string => join(nameFolder(name), commit.slice(0, 12));

/** Records that a model in `pullFolder` is complete: the folder, or the GGUF file in it. */
export function rememberPulled(model: HubModel, paths: readonly string[]): void {
  // Any part opens all parts of a split file.
  const place = [model.commit.slice(0, 12), ...paths.filter(isGguf).toSorted().slice(0, 1)].join("/");
  replaceFile(join(nameFolder(model.name), LAST), `${place}\n`);
}

/** The folder or GGUF file of the model of that name that was pulled last; `null` if there is none. */
export function pulledModel(name: string): string | null {
  const last = join(nameFolder(name), LAST);
  if (!HUB_NAME.test(name) || !fs.existsSync(last)) return null;
  const place = join(nameFolder(name), fs.readFileSync(last, "utf8").trim());
  return holdsModel(place) ? place : null;
}
