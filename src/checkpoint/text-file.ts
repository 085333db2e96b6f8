/**
 * Text files that people have: UTF-8 and UTF-16 with and without byte-order marks, every kind of line end. What is no
 * text is named for what it is. Files are read in pieces, so that their size is bounded by what is kept of them.
 */
import { isUtf8 } from "node:buffer";
import fs from "node:fs";
import { systemCode } from "../lib/disk.ts";
import { foreignContent } from "./foreign-content.ts";

/** A file that is not the text it should be. `line` counts from 1, and is `null` where the whole file is meant. */
export class TextFileError extends Error {
  override name = "TextFileError";
  readonly file: string;
  readonly line: number | null;
  readonly found: string;
  readonly remedy: string;

  constructor(file: string, line: number | null, found: string, remedy: string) {
    super(`${file}${line === null ? "" : `, line ${line}`}: ${found}. ${remedy}`);
    this.file = file;
    this.line = line;
    this.found = found;
    this.remedy = remedy;
  }
}

export interface Line {
  /** From 1. */
  number: number;
  /** Without its end, and without a byte-order mark. */
  text: string;
  /** The file ends within this line: no line end follows. */
  last: boolean;
}

export interface ReadOptions {
  /** HTML and XML are what is expected here, and no page in place of a download. */
  markup?: boolean;
  /** Characters that a line may have. */
  longestLine?: number;
}

/** A row of this length is an accident: the longest context of a model today has fewer characters. */
export const LONGEST_LINE = 2 ** 24;
const PIECE = 2 ** 20;
const HEAD = 4096;

/** All of a file's text, with "\n" at the ends of its lines. @throws TextFileError */
export function readText(file: string, { markup = false }: ReadOptions = {}): string {
  try {
    const lines = readLines(file, { markup, longestLine: Number.POSITIVE_INFINITY });
    return Array.from(lines, ({ text }) => text).join("\n");
  } catch (error) {
    // V8's longest string has 2^29 - 24 characters.
    if (!(error instanceof RangeError)) throw error;
    throw new TextFileError(file, null, "more than 500 million characters", "Split the file.");
  }
}

/**
 * A text as it is, its line ends too, without a byte-order mark. @param file its name in messages
 * @throws TextFileError for bytes that are no text
 */
export function decodeText(file: string, bytes: Uint8Array): string {
  const head = bytes.subarray(0, HEAD);
  const foreign = foreignContent(head, { markup: true });
  if (foreign !== null) throw new TextFileError(file, null, foreign.found, foreign.remedy);
  const encoding = encodingOf(head);
  let text: string;
  try {
    text = new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    throw new TextFileError(file, null, `text that is not ${encoding.toUpperCase()}`, "Save it as UTF-8.");
  }
  return checked(file, { number: 1, text, last: true }, Number.POSITIVE_INFINITY).text;
}

/**
 * Line by line; the last one is what follows the last line end, often nothing.
 * @throws TextFileError for a file that is missing, no regular file, no text, or has a line beyond `longestLine`
 */
export function* readLines(
  file: string,
  { markup = false, longestLine = LONGEST_LINE }: ReadOptions = {},
): Generator<Line> {
  const fd = openFile(file);
  try {
    const piece = Buffer.alloc(PIECE);
    const head = piece.subarray(0, fs.readSync(fd, piece, 0, HEAD, 0));
    const foreign = foreignContent(head, { markup });
    if (foreign !== null) throw new TextFileError(file, null, foreign.found, foreign.remedy);
    const encoding = encodingOf(head);
    const decoder = new TextDecoder(encoding, { fatal: true });
    let [number, rest, at, held] = [1, "", 0, ""];
    for (;;) {
      const bytes = fs.readSync(fd, piece, 0, PIECE, at);
      at += bytes;
      let more: string;
      try {
        more = decoder.decode(piece.subarray(0, bytes), { stream: bytes > 0 });
      } catch {
        throw notDecodable(file, encoding);
      }
      // What came before is not looked through again: a line may have hundreds of pieces.
      const text = held + more;
      // A "\r" at the end of a piece may be half of a line end.
      held = bytes > 0 && text.endsWith("\r") ? "\r" : "";
      const lines = text.slice(0, text.length - held.length).split(/\r\n|\r|\n/);
      lines[0] = rest + lines[0];
      rest = lines.pop() as string;
      for (const line of lines)
        yield checked(file, { number: number++, text: line, last: false }, longestLine);
      if (bytes === 0) {
        yield checked(file, { number, text: rest, last: true }, longestLine);
        return;
      }
      if (rest.length > longestLine) throw tooLong(file, number, longestLine);
    }
  } finally {
    fs.closeSync(fd);
  }
}

function checked(file: string, { number, text, last }: Line, longestLine: number): Line {
  if (text.length > longestLine) throw tooLong(file, number, longestLine);
  if (text.includes("\0"))
    throw new TextFileError(
      file,
      number,
      "a NUL character, so this is no text",
      "Is it the right file? If so, copy or download it again.",
    );
  // Files that were joined have marks in their middle.
  return { number, text: text.startsWith("\uFEFF") ? text.replace(/^\uFEFF+/, "") : text, last };
}

const tooLong = (file: string, line: number, longest: number): TextFileError =>
  new TextFileError(
    file,
    line,
    `more than ${longest.toLocaleString("en")} characters in one line`,
    "Are its line ends missing? Write one row a line.",
  );

/** What was read must be there to be read again: pipes and devices are not. */
function openFile(file: string): number {
  let found: string;
  try {
    const stat = fs.statSync(file);
    if (stat.isFile()) return fs.openSync(file, "r");
    found = stat.isDirectory() ? "a folder, not a file" : "a pipe or a device, not a file";
  } catch (error) {
    const code = systemCode(error);
    found =
      code === "ENOENT" || code === "ENOTDIR"
        ? (danglingLink(file) ?? "there is no such file")
        : code === "EACCES"
          ? "this process may not read it"
          : (error as Error).message;
  }
  throw new TextFileError(file, null, found, "Check the path.");
}

function danglingLink(file: string): string | null {
  try {
    return `a link to ${fs.readlinkSync(file)}, which is not there`;
  } catch {
    return null;
  }
}

/** By its mark, or by where ASCII has its zeros. UTF-8 else. */
function encodingOf(head: Uint8Array): "utf-8" | "utf-16le" | "utf-16be" {
  const [a = 1, b = 1, c = 1, d = 1] = head;
  if (a === 0xff && b === 0xfe) return "utf-16le";
  if (a === 0xfe && b === 0xff) return "utf-16be";
  if (a !== 0 && b === 0 && c !== 0 && d === 0) return "utf-16le";
  return a === 0 && b !== 0 && c === 0 && d !== 0 ? "utf-16be" : "utf-8";
}

/** The line of the first byte that is not UTF-8, found by reading again. */
function notDecodable(file: string, encoding: string): TextFileError {
  if (encoding !== "utf-8")
    return new TextFileError(
      file,
      null,
      `half a character of ${encoding.toUpperCase()}`,
      "Copy the file again.",
    );
  const bytes = fs.readFileSync(file);
  let line = 1;
  for (let start = 0; start < bytes.length; line++) {
    const next = bytes.indexOf(0x0a, start);
    const end = next < 0 ? bytes.length : next;
    const part = bytes.subarray(start, end);
    if (!isUtf8(part)) {
      const byte = part.findIndex(
        (_, i) => part[i] > 127 && !isUtf8(part.subarray(0, i + 1)) && !isUtf8(part.subarray(0, i + 4)),
      );
      const shown = byte < 0 ? "" : ` (byte 0x${part[byte].toString(16).toUpperCase()})`;
      return new TextFileError(
        file,
        line,
        next < 0 && byte > part.length - 4
          ? `the file ends within a character${shown}`
          : `text that is not UTF-8${shown}`,
        `Copy it again if it was cut, or convert it, if it is Western European: iconv -f WINDOWS-1252 -t UTF-8 ${file} > NEW`,
      );
    }
    start = end + 1;
  }
  return new TextFileError(file, null, "text that is not UTF-8", "Save it as UTF-8.");
}

/** One line for a terminal: what does not print is shown by its code, and long texts are cut. */
export function visible(text: string, longest = 120): string {
  const shown = text.replace(
    /[\p{Cc}\p{Cf}\p{Co}\u2028\u2029]/gu,
    (character) => `\\u${(character.codePointAt(0) as number).toString(16).padStart(4, "0")}`,
  );
  return shown.length <= longest ? shown : `${shown.slice(0, longest)}...`;
}
