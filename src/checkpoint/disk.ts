/** Reading parts of a file into place. */
import fs from "node:fs";
import { systemCode } from "../lib/disk.ts";
import { CheckpointError } from "./errors.ts";

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
