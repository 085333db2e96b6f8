/**
 * Removes from foreign text (of a model, a template, a recipe, the Hub, a file's name) all characters that control a
 * terminal: control characters, C1 included, since terminals read U+009B as ESC [, and characters that change the direction
 * of text or are invisible (Trojan Source, arXiv 2111.00169). Single characters, since a sequence may come in pieces.
 */
const STEERS =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this is about
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]/gu;

/** Keeps newlines and tabs. Removes carriage returns, after which a terminal writes over the line. */
export const printable = (text: string): string => text.replace(STEERS, "");

/** As `printable`, for a file or a pipe, whose lines may end with CR LF. */
export const pipeable = (text: string): string => text.replace(STEERS, (c) => (c === "\r" ? c : ""));

/** JSON for a terminal or a program: control characters are escaped as \uXXXX, so nothing is lost. */
export const printableJson = (value: unknown): string =>
  JSON.stringify(value).replace(STEERS, (c) =>
    // JSON escapes UTF-16 units.
    Array.from({ length: c.length }, (_, i) => `\\u${c.charCodeAt(i).toString(16).padStart(4, "0")}`).join(
      "",
    ),
  );
