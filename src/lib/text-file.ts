/**
 * Text files in UTF-8 or UTF-16, with and without byte-order marks, with every kind of line end. An error says what a file
 * is that holds no text. Files are read in pieces: memory grows with the lines that a caller keeps, not with the file.
 */
import { isUtf8 } from "node:buffer";
import fs from "node:fs";
import { openToRead } from "./disk.ts";
import { isUserError, UserError } from "./errors.ts";
import { foreignContent } from "./foreign-content.ts";

interface TextFault {
  file: string;
  /** From 1; `null` if the fault lies in no line. */
  line: number | null;
  found: string;
  remedy: string;
}

/** The error for a file that is not the text it should be. */
function textError(file: string, line: number | null, found: string, remedy: string): UserError {
  const where = line === null ? file : `${file}, line ${line}`;
  return new UserError({ kind: "text-file", where, what: found, found, remedy, data: { file, line } });
}

/** What an error of this module says; `null` for any other error. */
export function textFault(error: unknown): TextFault | null {
  if (!isUserError(error, "text-file")) return null;
  const { file, line } = error.data as Pick<TextFault, "file" | "line">;
  return { file, line, found: error.found ?? "", remedy: error.remedy ?? "" };
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
  /** The file may be HTML or XML. Otherwise a page is refused: it came in place of a download. */
  markup?: boolean;
  /** Characters that a line may have. */
  longestLine?: number;
}

/** A longer row is an accident: the longest context of a model today has fewer characters. */
const LONGEST_LINE = 2 ** 24;
const PIECE = 2 ** 20;
const HEAD = 4096;

/** A file's text, with "\n" at the ends of its lines. @throws UserError if it is no text */
export function readText(file: string, { markup = false }: ReadOptions = {}): string {
  try {
    const lines = readLines(file, { markup, longestLine: Number.POSITIVE_INFINITY });
    return Array.from(lines, ({ text }) => text).join("\n");
  } catch (error) {
    // V8's longest string has 2^29 - 24 characters.
    if (!(error instanceof RangeError)) throw error;
    throw textError(file, null, "more than 500 million characters", "Split the file.");
  }
}

/**
 * The text of these bytes without a byte-order mark; line ends stay as they are. @param file its name in messages
 * @throws UserError for bytes that are no text
 */
export function decodeText(file: string, bytes: Uint8Array): string {
  const head = bytes.subarray(0, HEAD);
  const foreign = foreignContent(head, { markup: true });
  if (foreign !== null) throw textError(file, null, foreign.found, foreign.remedy);
  const encoding = encodingOf(head);
  let text: string;
  try {
    text = new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    throw textError(file, null, `text that is not ${encoding.toUpperCase()}`, "Save it as UTF-8.");
  }
  return checked(file, { number: 1, text, last: true }, Number.POSITIVE_INFINITY).text;
}

/**
 * A file line by line; the last line is what follows the last line end, often nothing.
 * @throws UserError for a file that is missing, no regular file, no text, or has a line longer than `longestLine`
 */
export function* readLines(
  file: string,
  { markup = false, longestLine = LONGEST_LINE }: ReadOptions = {},
): Generator<Line> {
  const fd = openToRead(file, (found) => {
    const said = found === "no such file" ? "there is no such file" : found;
    return textError(file, null, said, "Check the path.");
  });
  try {
    const piece = Buffer.alloc(PIECE);
    const head = piece.subarray(0, fs.readSync(fd, piece, 0, HEAD, 0));
    const foreign = foreignContent(head, { markup });
    if (foreign !== null) throw textError(file, null, foreign.found, foreign.remedy);
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
      // Only new text is searched for line ends: a line may have hundreds of pieces.
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
    throw textError(
      file,
      number,
      "a NUL character, so this is no text",
      "Is it the right file? If so, copy or download it again.",
    );
  // Joined files have marks in the middle.
  return { number, text: text.startsWith("\uFEFF") ? text.replace(/^\uFEFF+/, "") : text, last };
}

const tooLong = (file: string, line: number, longest: number): UserError =>
  textError(
    file,
    line,
    `more than ${longest.toLocaleString("en")} characters in one line`,
    "Are its line ends missing? Write one row a line.",
  );

/** The encoding by the byte-order mark, or by the zero bytes of ASCII in UTF-16; otherwise UTF-8. */
function encodingOf(head: Uint8Array): "utf-8" | "utf-16le" | "utf-16be" {
  const [a = 1, b = 1, c = 1, d = 1] = head;
  if (a === 0xff && b === 0xfe) return "utf-16le";
  if (a === 0xfe && b === 0xff) return "utf-16be";
  if (a !== 0 && b === 0 && c !== 0 && d === 0) return "utf-16le";
  return a === 0 && b !== 0 && c === 0 && d !== 0 ? "utf-16be" : "utf-8";
}

/** Reads the file again to find the line of the first byte that is not UTF-8. */
function notDecodable(file: string, encoding: string): UserError {
  if (encoding !== "utf-8")
    return textError(file, null, `half a character of ${encoding.toUpperCase()}`, "Copy the file again.");
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
      return textError(
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
  return textError(file, null, "text that is not UTF-8", "Save it as UTF-8.");
}

/** One line for a terminal: control characters appear as their codes, and a long text is cut. */
export function visible(text: string, longest = 120): string {
  const shown = text.replace(
    /[\p{Cc}\p{Cf}\p{Co}\u2028\u2029]/gu,
    (character) => `\\u${(character.codePointAt(0) as number).toString(16).padStart(4, "0")}`,
  );
  return shown.length <= longest ? shown : `${shown.slice(0, longest)}...`;
}
