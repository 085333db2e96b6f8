/** Writing to disk so that a kill leaves either the old file or the new one, and errors that help. */
import fs from "node:fs";
import { dirname } from "node:path";
import { UserError } from "../lib/errors.ts";

/** The same failure in words: a full disk, a folder without permission, anything else as it came. */
export function diskError(path: string, error: unknown): UserError {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === "ENOSPC" || code === "EDQUOT") {
    const full = code === "ENOSPC" ? "The disk is full" : "Your disk quota is used up";
    return new UserError({
      kind: "run-folder",
      what: `${full}: ${path} could not be written. Everything up to the last checkpoint is safe.`,
      remedy: "Free some space, then run the same command again: it resumes there.",
      cause: error,
    });
  }
  if (code === "EACCES" || code === "EPERM" || code === "EROFS") {
    return new UserError({
      kind: "run-folder",
      what: `${path} may not be written (${code}).`,
      remedy: "Change its permissions, or run in a folder of your own.",
      cause: error,
    });
  }
  return new UserError({
    kind: "run-folder",
    what: `${path} could not be written: ${message}.`,
    remedy: "Check the disk and try again.",
    cause: error,
  });
}

/** Runs `action` on `path`; file system errors come out as `UserError`. */
export function onDisk<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (error instanceof UserError || (error as NodeJS.ErrnoException).code === undefined) throw error;
    throw diskError(path, error);
  }
}

/** Replaces a file as a whole: readers see the old text or the new, and a power cut keeps one of them. */
export function writeAtomic(path: string, text: string): void {
  onDisk(path, () => {
    const temporary = `${path}.${process.pid}.tmp`;
    try {
      const file = fs.openSync(temporary, "w");
      try {
        writeAll(file, Buffer.from(text));
        fs.fsyncSync(file);
      } finally {
        fs.closeSync(file);
      }
      fs.renameSync(temporary, path);
    } catch (error) {
      fs.rmSync(temporary, { force: true });
      throw error;
    }
    syncFolder(dirname(path));
  });
}

/** A write may be short on a nearly full disk: go on until all is written or the disk says no. */
export function writeAll(file: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) done += fs.writeSync(file, bytes, done);
}

/** Makes a rename durable. Windows cannot open folders; there it is left to the system. */
function syncFolder(path: string): void {
  if (process.platform === "win32") return;
  const folder = fs.openSync(path, "r");
  try {
    fs.fsyncSync(folder);
  } finally {
    fs.closeSync(folder);
  }
}
