/**
 * Fetches files so that an interruption costs nothing: bytes go into a partial file that the next try continues,
 * and only a file whose checksum agrees gets its name.
 */
import { createHash } from "node:crypto";
import fs from "node:fs";
import { dirname, join } from "node:path";
import { systemCode, writeAll } from "../lib/disk.ts";
import { describeFile, fileUrl, type HubOptions, request, unreachable } from "./hub.ts";
import { type Checksum, HubError, type HubFile, type HubModel } from "./hub-error.ts";

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
  /** Whether weights are fetched from a server that names no checksum of them. */
  unchecked?: boolean;
  /** Whether files of other content in the folder may be replaced (a cache), or are a person's own. */
  replace?: boolean;
  /** Tries in a row without a single new byte. */
  tries?: number;
  /** Pause before the second try; each further one doubles it. */
  pauseMs?: number;
  /** Longest silence of a connection. */
  silenceMs?: number;
}

export interface Fetched extends HubFile {
  /** It was there already. */
  kept: boolean;
}

/**
 * The files in `folder`, complete and compared with their checksums.
 * @throws HubError for what the Hub refuses, a full disk, a checksum that differs, a file of other content in the way,
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
  const open = files.filter(({ path, sum }) => sum === null && /\.(safetensors|gguf)$/i.test(path));
  if (open.length > 0 && !options.unchecked)
    throw new HubError(
      `The server names no checksum for ${open.map(({ path }) => JSON.stringify(path)).join(", ")}: what arrives could not be compared.`,
      "Use a server that does, such as https://huggingface.co, or accept the sizes alone with --unchecked.",
    );
  fs.mkdirSync(folder, { recursive: true });
  const kept = new Map<HubFile, boolean>();
  for (const file of files) kept.set(file, await isThere(folder, file, options.replace ?? false));
  const missing = files.filter((file) => !kept.get(file));
  checkRoom(folder, model, missing);
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

/** A server's path becomes a name of ours: it must not lead out of the folder. */
function checkInside({ path }: HubFile): void {
  const parts = path.split("/");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (!/[\\:\x00-\x1f]/.test(path) && !parts.some((part) => ["", ".", ".."].includes(part))) return;
  throw new HubError(
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
  throw new HubError(
    `${path} is already there, with other content.`,
    "Give a new or an empty folder, or remove the file.",
  );
}

/** The name carries the checksum, else the commit, so that bytes of another version are never continued. */
const partialOf = (folder: string, { commit }: HubModel, { path, sum }: HubFile): string =>
  join(folder, `${path}.${(sum?.hex ?? commit).slice(0, 12)}.part`);

const sizeOf = (path: string): number => fs.statSync(path, { throwIfNoEntry: false })?.size ?? 0;

function checkRoom(folder: string, model: HubModel, files: HubFile[]): void {
  const missing = (file: HubFile): number => file.bytes - sizeOf(partialOf(folder, model, file));
  const needed = files.reduce((total, file) => total + missing(file), 0);
  const { bavail, bsize } = fs.statfsSync(folder);
  if (needed <= bavail * bsize) return;
  const giga = (bytes: number): string => (bytes / 1e9).toFixed(1);
  throw new HubError(
    `${folder} needs room for ${giga(needed)} GB more, and has ${giga(bavail * bsize)} GB.`,
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
  fs.mkdirSync(dirname(partial), { recursive: true });
  if (sizeOf(partial) > file.bytes) fs.rmSync(partial);
  if (file.bytes === 0) fs.writeFileSync(partial, "");
  for (let failures = 0; sizeOf(partial) < file.bytes; ) {
    const before = sizeOf(partial);
    report(before);
    try {
      await fetchRest(partial, model, file, options);
      if (sizeOf(partial) === before)
        throw new HubError(`${file.path} ends too soon.`, "Run the command again.", { transient: true });
    } catch (error) {
      failures = sizeOf(partial) > before ? 1 : failures + 1;
      if (!(error instanceof HubError && error.transient) || failures >= tries) throw error;
      await new Promise((resolve) => setTimeout(resolve, pauseMs * 2 ** (failures - 1)));
    }
  }
  if (!(await agrees(partial, file))) {
    // Which of its bytes are wrong cannot be known, so none is worth keeping.
    fs.rmSync(partial);
    throw new HubError(
      `${file.path} arrived with another checksum than the Hub's ${file.sum?.hex}; it was removed.`,
      "Run the command again. If it happens twice, a proxy or mirror changes the file: use another network or HF_ENDPOINT.",
    );
  }
  fs.renameSync(partial, join(folder, file.path));
  report(file.bytes);
}

/** Appends what is missing, as far as the connection lasts. */
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
    const range: Record<string, string> = bytes > 0 ? { range: `bytes=${bytes}-` } : {};
    const response = await request(
      url,
      options,
      { name: model.name },
      { headers: range, signal: silence.signal },
    );
    // A server without ranges sends it all again.
    if (response.status !== 206 || !response.headers.get("content-range")?.startsWith(`bytes ${bytes}-`))
      bytes = 0;
    handle = fs.openSync(partial, bytes > 0 ? "r+" : "w");
    for await (const chunk of response.body ?? []) {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), silenceMs);
      writeAll(handle, chunk, bytes);
      bytes += chunk.byteLength;
      if (bytes > file.bytes)
        throw new HubError(`${file.path} is longer than the Hub says.`, "Run the command again.");
      report(bytes);
    }
  } catch (error) {
    if (error instanceof HubError) throw error;
    if (systemCode(error) === "ENOSPC" || systemCode(error) === "EDQUOT")
      throw new HubError(
        `The disk of ${partial} is full.`,
        "Free some space and run the same command again: it goes on where it stopped.",
        { cause: error },
      );
    // Other refusals of the system are about the place, not about the network.
    throw systemCode(error) === null ? unreachable(url, error) : error;
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

/** Of a file's bytes; git puts a header with the size before them. */
export async function checksum(path: string, kind: Checksum["kind"]): Promise<string> {
  const hash = createHash(kind === "git" ? "sha1" : "sha256");
  if (kind === "git") hash.update(`blob ${sizeOf(path)}\0`);
  for await (const chunk of fs.createReadStream(path, { highWaterMark: 1 << 20 }))
    hash.update(chunk as Buffer);
  return hash.digest("hex");
}
