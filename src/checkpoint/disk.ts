/**
 * File operations that a checkpoint is made of, behind one small interface,
 * so that tests can make any one of them fail.
 */
import fs from "node:fs";
import { dirname } from "node:path";
import { CheckpointError, systemCode } from "./errors.ts";

export type FileSystem = Pick<
  typeof fs,
  "mkdirSync" | "openSync" | "writeSync" | "fsyncSync" | "closeSync" | "renameSync" | "rmSync"
>;

/** Bytes per write: large enough for the disk, small enough to convert and report in pieces. */
const CHUNK_BYTES = 16 * 1024 * 1024;

/**
 * Writes `pieces` one after the other into a new file and waits until the disk has them.
 * @throws CheckpointError with the remedy if the disk is full or the place cannot be written.
 */
export function writeFileDurably(file: string, pieces: Iterable<Uint8Array>, disk: FileSystem = fs): void {
  guarded(file, () => {
    const handle = disk.openSync(file, "w");
    try {
      for (const piece of pieces) writeAll(handle, piece, disk);
      disk.fsyncSync(handle);
    } finally {
      disk.closeSync(handle);
    }
  });
}

/** Makes the names in a folder durable: a rename may otherwise be lost with the power. */
export function syncFolder(folder: string, disk: FileSystem = fs): void {
  // Windows cannot open a folder; its renames are journalled.
  if (process.platform === "win32") return;
  const handle = disk.openSync(folder, "r");
  try {
    disk.fsyncSync(handle);
  } finally {
    disk.closeSync(handle);
  }
}

/** Replaces `file` as a whole: readers see the old content or the new one. */
export function replaceFile(file: string, pieces: Iterable<Uint8Array>, disk: FileSystem = fs): void {
  const temporary = `${file}.tmp`;
  try {
    writeFileDurably(temporary, pieces, disk);
    guarded(file, () => {
      disk.renameSync(temporary, file);
      syncFolder(dirname(file), disk);
    });
  } catch (error) {
    disk.rmSync(temporary, { force: true });
    throw error;
  }
}

/** A descriptor for reading. @throws CheckpointError if the file is missing or closed to us. */
export function openToRead(file: string, expected: string): number {
  try {
    const stat = fs.statSync(file);
    if (stat.isFile()) return fs.openSync(file, "r");
    // A pipe would make us wait for ever.
    const found = stat.isDirectory() ? "a folder" : "a pipe or a device";
    throw new CheckpointError({ file, expected, found, remedy: "Check the path, or copy the file again." });
  } catch (error) {
    if (error instanceof CheckpointError) throw error;
    const missing = systemCode(error) === "ENOENT";
    throw new CheckpointError({
      file,
      expected,
      found: missing ? "no such file" : String(systemCode(error)),
      remedy: "Check the path, or copy the file again.",
      cause: error,
    });
  }
}

/** Exactly these bytes of an open file, in a buffer of their own. @throws CheckpointError if the file ends before. */
export function readBytes(
  file: string,
  handle: number,
  position: number,
  length: number,
): Uint8Array<ArrayBuffer> {
  const result = new Uint8Array(length);
  readInto(file, handle, position, result);
  return result;
}

/** The same, straight into `target`. */
export function readInto(file: string, handle: number, position: number, target: Uint8Array): void {
  const { byteLength } = target;
  let done = 0;
  while (done < byteLength) {
    // The system reads at most 2 GB at once.
    const read = fs.readSync(handle, target, done, Math.min(byteLength - done, 2 ** 30), position + done);
    if (read === 0)
      throw new CheckpointError({
        file,
        expected: `${byteLength} bytes at ${position}`,
        found: `${done}`,
        remedy: "The file was cut short while it was read: try again.",
      });
    done += read;
  }
}

/** Runs `action` and turns the system's refusals into errors for people. */
export function guarded<T>(file: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    const code = systemCode(error);
    const remedy = code === null ? undefined : REMEDIES[code];
    if (remedy === undefined) throw error;
    throw new CheckpointError({ file, ...remedy, cause: error });
  }
}

const FULL = {
  expected: "room on the disk",
  remedy: "Free some space and resume: earlier checkpoints are untouched.",
};
const CLOSED = {
  expected: "a place that may be written",
  remedy: "Choose another folder or change its permissions.",
};
const REMEDIES: Record<string, { expected: string; found: string; remedy: string }> = {
  ENOSPC: { ...FULL, found: "a full disk" },
  EDQUOT: { ...FULL, found: "a used-up quota" },
  EFBIG: { ...FULL, expected: "a smaller file", found: "the file system's size limit" },
  EACCES: { ...CLOSED, found: "no permission" },
  EPERM: { ...CLOSED, found: "no permission" },
  EROFS: { ...CLOSED, found: "a read-only file system" },
};

function writeAll(handle: number, piece: Uint8Array, disk: FileSystem): void {
  let offset = 0;
  while (offset < piece.byteLength) {
    // A write may take less than it was given.
    offset += disk.writeSync(handle, piece, offset, Math.min(CHUNK_BYTES, piece.byteLength - offset));
  }
}
