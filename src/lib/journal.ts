/**
 * An append-only file of JSON lines that survives a kill. NaN and both infinities are stored as `null`,
 * so that every line stays JSON that any reader understands; readers show a gap there.
 */
import fs from "node:fs";
import { onDisk, writeAll } from "./disk.ts";
import { userError } from "./errors.ts";

const NEWLINE = 10;
const CHUNK = 65_536;

export class Journal<T> {
  readonly path: string;
  readonly #file: number;
  #length: number;

  /**
   * Opens or creates the file and drops a last line that a kill tore. @throws UserError for a link: a run writes into
   * its own folder, and one that a stranger made may lead to what is a person's
   */
  constructor(path: string) {
    this.path = path;
    const there = fs.lstatSync(path, { throwIfNoEntry: false });
    if (there !== undefined && !there.isFile())
      throw userError(
        "run-folder",
        `${path} is ${there.isSymbolicLink() ? "a link" : "no file"}, and is not written through.`,
        "Put a file in its place, or remove it.",
      );
    // Append mode cannot write elsewhere than the end; reading it back is for the repair.
    this.#file = onDisk(path, () => fs.openSync(path, "a+"));
    this.#length = this.#cut(fs.fstatSync(this.#file).size);
  }

  /** One line. After a failed write the file is as it was before. */
  append(value: T): void {
    const line = Buffer.from(`${JSON.stringify(value)}\n`);
    onDisk(this.path, () => {
      try {
        writeAll(this.#file, line);
      } catch (error) {
        fs.ftruncateSync(this.#file, this.#length);
        throw error;
      }
      this.#length += line.length;
    });
  }

  /** Bytes so far, all of them on the disk: what a checkpoint records. */
  position(): number {
    onDisk(this.path, () => fs.fsyncSync(this.#file));
    return this.#length;
  }

  /**
   * Forgets what was written after a checkpoint, so that resumed steps do not appear twice. Returns how
   * many bytes of the position are missing: above 0 only after a power cut or if somebody edited the file.
   */
  truncateTo(position: number): number {
    const missing = Math.max(0, position - this.#length);
    this.#length = this.#cut(Math.min(position, this.#length));
    return missing;
  }

  close(): void {
    fs.closeSync(this.#file);
  }

  /** Shortens the file to the end of the last whole line within `limit` bytes. */
  #cut(limit: number): number {
    return onDisk(this.path, () => {
      let end = limit;
      const chunk = Buffer.alloc(Math.min(CHUNK, limit));
      search: while (end > 0) {
        const start = Math.max(0, end - chunk.length);
        const read = fs.readSync(this.#file, chunk, 0, end - start, start);
        for (let i = read - 1; i >= 0; i--) {
          if (chunk[i] !== NEWLINE) continue;
          end = start + i + 1;
          break search;
        }
        end = start;
      }
      if (end !== fs.fstatSync(this.#file).size) fs.ftruncateSync(this.#file, end);
      return end;
    });
  }
}

/**
 * Every whole line, in order; what follows the last line end, as in a run that is being written, is left out. In pieces:
 * a long run's samples are more than fit one string. @throws UserError naming the line
 */
export function readJournal<T>(path: string): T[] {
  if (!fs.existsSync(path)) return [];
  const values: T[] = [];
  for (const line of wholeLines(path)) {
    try {
      values.push(JSON.parse(line) as T);
    } catch {
      throw userError(
        "run-folder",
        `${path}:${values.length + 1} is not a line of JSON.`,
        "Remove the line; the others are kept.",
      );
    }
  }
  return values;
}

/** The lines of a file that end, without their ends. */
export function* wholeLines(path: string): Generator<string> {
  // A pipe or a device, to which a stranger's folder may lead, has no end.
  if (!fs.statSync(path).isFile())
    throw userError("run-folder", `${path} is no file.`, "Restore it, or remove it.");
  const file = fs.openSync(path, "r");
  try {
    let pieces: Buffer[] = [];
    for (;;) {
      const chunk = Buffer.allocUnsafe(16 * CHUNK);
      const read = fs.readSync(file, chunk);
      if (read === 0) return;
      let start = 0;
      const filled = chunk.subarray(0, read);
      for (let end = filled.indexOf(NEWLINE); end !== -1; end = filled.indexOf(NEWLINE, start)) {
        pieces.push(filled.subarray(start, end));
        yield Buffer.concat(pieces).toString();
        pieces = [];
        start = end + 1;
      }
      pieces.push(filled.subarray(start));
    }
  } finally {
    fs.closeSync(file);
  }
}
