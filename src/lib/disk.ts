/**
 * Writing so that a kill or a power cut leaves the old file or the new one, and errors that say what to do.
 * Every operation is called as `fs.NAME`, so that a test can make any one of them fail: see test/lib/faults.ts.
 */
import fs from "node:fs";
import { dirname } from "node:path";

/** A file or folder that could not be written. */
export class DiskError extends Error {
  override name = "DiskError";
  readonly path: string;
  readonly remedy: string;

  constructor(path: string, what: string, remedy: string, cause: unknown) {
    super(`${what} ${remedy}`, { cause });
    this.path = path;
    this.remedy = remedy;
  }
}

/** The system's error code of a failed file operation, e.g. "ENOSPC". */
export function systemCode(error: unknown): string | null {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : null;
}

const FULL: Record<string, string> = {
  ENOSPC: "The disk is full",
  EDQUOT: "Your disk quota is used up",
  EFBIG: "The file system takes no larger file",
};
const CLOSED = new Set(["EACCES", "EPERM", "EROFS"]);

/** Runs `action`, which writes `path`. @throws DiskError for what the system refuses; other errors as they are */
export function onDisk<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    const code = systemCode(error);
    if (code === null) throw error;
    if (FULL[code] !== undefined)
      throw new DiskError(
        path,
        `${FULL[code]}: ${path} could not be written. What was saved before is untouched.`,
        "Free some space, then run the same command again.",
        error,
      );
    if (CLOSED.has(code))
      throw new DiskError(
        path,
        `${path} may not be written (${code}).`,
        "Change its permissions, or choose another folder.",
        error,
      );
    const { message } = error as Error;
    throw new DiskError(
      path,
      `${path} could not be written: ${message}.`,
      "Check the disk and try again.",
      error,
    );
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

/** Writes a new file and waits until the disk has it. @throws DiskError */
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

/** Replaces a file: readers see the old content or the new, and a power cut keeps one of the two. @throws DiskError */
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

/** Makes a folder with its parents. @throws DiskError */
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
