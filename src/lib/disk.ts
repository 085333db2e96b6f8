/**
 * Writing so that a kill or a power cut leaves the old file or the new one, and errors that say what to do.
 * Every operation is called as `fs.NAME`, so that a test can make any one of them fail: see test/lib/faults.ts.
 */
import fs from "node:fs";
import { dirname } from "node:path";
import { systemCode, UserError } from "./errors.ts";

const FULL: Record<string, string> = {
  ENOSPC: "The disk is full",
  EDQUOT: "Your disk quota is used up",
  EFBIG: "The file system takes no larger file",
};
const CLOSED = new Set(["EACCES", "EPERM", "EROFS"]);

/** Runs `action`, which writes `path`. @throws UserError for what the system refuses; other errors as they are */
export function onDisk<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (cause) {
    const code = systemCode(cause);
    if (code === null) throw cause;
    const refused = (what: string, remedy: string): UserError =>
      new UserError({ kind: "disk", what, remedy, data: { path }, cause });
    const full = FULL[code];
    if (full !== undefined)
      throw refused(
        `${full}: ${path} could not be written. What was saved before is untouched`,
        "Free some space, then run the same command again.",
      );
    if (CLOSED.has(code))
      throw refused(
        `${path} may not be written (${code})`,
        "Change its permissions, or choose another folder.",
      );
    const { message } = cause as Error;
    throw refused(`${path} could not be written: ${message}`, "Check the disk and try again.");
  }
}

/** Bytes per write: large enough for the disk, below the 2 GB that the system writes at once. */
const WRITE_BYTES = 16 * 1024 * 1024;

/**
 * Writes all of `bytes`, at `position` or where the last write ended: one call may write less than it was given.
 * @throws the system's error
 */
export function writeAll(handle: number, bytes: Uint8Array, position: number | null = null): void {
  for (let done = 0; done < bytes.byteLength; ) {
    const length = Math.min(WRITE_BYTES, bytes.byteLength - done);
    done += fs.writeSync(handle, bytes, done, length, position === null ? null : position + done);
  }
}

/** What a file consists of: a text, or pieces that are made one after the other. */
export type Content = string | Iterable<Uint8Array>;

/** Writes a new file and waits until the disk has it. @throws UserError */
export function writeDurably(path: string, content: Content): void {
  onDisk(path, () => {
    const handle = fs.openSync(path, "w");
    try {
      const pieces = typeof content === "string" ? [Buffer.from(content)] : content;
      for (const piece of pieces) writeAll(handle, piece);
      fs.fsyncSync(handle);
    } finally {
      fs.closeSync(handle);
    }
  });
}

/** Replaces a file: readers see the old content or the new, and a power cut keeps one of the two. @throws UserError */
export function replaceFile(path: string, content: Content): void {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    writeDurably(temporary, content);
    onDisk(path, () => {
      fs.renameSync(temporary, path);
      syncFolder(dirname(path));
    });
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    throw error;
  }
}

/** Makes a folder with its parents. @throws UserError */
export function makeFolder(path: string): void {
  onDisk(path, () => fs.mkdirSync(path, { recursive: true }));
}

/** Makes the names in a folder durable: a power cut may otherwise undo a rename. @throws the system's error */
export function syncFolder(path: string): void {
  // Windows cannot open a folder; its renames are journalled.
  if (process.platform === "win32") return;
  const handle = fs.openSync(path, "r");
  try {
    fs.fsyncSync(handle);
  } finally {
    fs.closeSync(handle);
  }
}

/**
 * Opens a file for reading. @param mismatch makes the error from what was found in its place
 * @throws what `mismatch` makes, if the file is missing, closed to this process, or no regular file
 */
export function openToRead(path: string, mismatch: (found: string, cause?: unknown) => Error): number {
  let found: string;
  try {
    const stat = fs.statSync(path);
    if (stat.isFile()) return fs.openSync(path, "r");
    // Opening a pipe would wait for ever.
    found = stat.isDirectory() ? "a folder, not a file" : "a pipe or a device, not a file";
  } catch (error) {
    throw mismatch(missing(path, error), error);
  }
  throw mismatch(found);
}

function missing(path: string, error: unknown): string {
  const code = systemCode(error);
  if (code === "EACCES") return "a file that this process may not read";
  if (code !== "ENOENT" && code !== "ENOTDIR") return (error as Error).message;
  try {
    return `a link to ${fs.readlinkSync(path)}, which is not there`;
  } catch {
    return "no such file";
  }
}

/** Bytes per read: the system reads at most 2 GB at once. */
const READ_BYTES = 2 ** 30;

/** Reads from `position` on until `target` is full. @returns the bytes read, fewer only where the file ends */
export function readInto(handle: number, position: number, target: Uint8Array): number {
  let done = 0;
  while (done < target.byteLength) {
    const length = Math.min(READ_BYTES, target.byteLength - done);
    const read = fs.readSync(handle, target, done, length, position + done);
    if (read === 0) break;
    done += read;
  }
  return done;
}
