/**
 * Text that is not ours (a model's, a template's, a recipe's, the Hub's, a file's name) without what steers a terminal:
 * control characters, C1 among them, since terminals take U+009B for ESC [, and what turns the direction of writing or
 * hides in it (Trojan Source, arXiv 2111.00169). Character by character, so that a sequence may come in pieces.
 */
const STEERS =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this is about
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]/gu;

/** Newlines and tabs stay; a carriage return goes, since what follows it would be written over the line. */
export const printable = (text: string): string => text.replace(STEERS, "");

/** For a file or a pipe, whose lines may end with CR LF. */
export const pipeable = (text: string): string => text.replace(STEERS, (c) => (c === "\r" ? c : ""));

/** JSON for a terminal or a program: nothing is lost, what steers is written as \uXXXX. */
export const printableJson = (value: unknown): string =>
  JSON.stringify(value).replace(STEERS, (c) =>
    // As UTF-16, which is what JSON's escapes are.
    Array.from({ length: c.length }, (_, i) => `\\u${c.charCodeAt(i).toString(16).padStart(4, "0")}`).join(
      "",
    ),
  );
