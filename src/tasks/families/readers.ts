/** Readers of answers that several families share: a number, a word of a known set, a list of words. */
import { parseNumber } from "../number.ts";
import type { Reading } from "./family.ts";

/** One number in any of the forms of number.ts; canonical is its fraction in lowest terms, "42" or "-7/2". */
export function readNumber(text: string): Reading {
  const parsed = parseNumber(text);
  return parsed.ok ? { ok: true, canonical: parsed.value.toFraction() } : parsed;
}

/** One of the words, in small or capital letters of ASCII; canonical is the word as `words` has it. */
export function readWord(text: string, words: readonly string[]): Reading {
  const found = words.find((word) => sameLetters(word, bare(text)));
  return found === undefined
    ? { ok: false, reason: "not one of the words that can be an answer" }
    : { ok: true, canonical: found };
}

/** Words of ASCII letters with commas between them; canonical has small letters and ", ". */
export function readWords(text: string): Reading {
  const list = bare(text);
  return /^[a-zA-Z]+(?:[ \t\r\n]*,[ \t\r\n]*[a-zA-Z]+)*$/.test(list)
    ? {
        ok: true,
        canonical: lowerCase(list)
          .split(/[ \t\r\n]*,[ \t\r\n]*/)
          .join(", "),
      }
    : { ok: false, reason: "not a list of words with commas" };
}

/** Without bold or code marks around it, and without one full stop at its end. */
export function bare(text: string): string {
  return text
    .replace(/^(?:\*\*|`)/, "")
    .replace(/\.?(?:\*\*|`)?$/, "")
    .replace(/\.$/, "");
}

/** `toLowerCase` also changes letters that merely look alike, such as the Kelvin sign. */
export function lowerCase(text: string): string {
  return text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}

function sameLetters(a: string, b: string): boolean {
  return lowerCase(a) === lowerCase(b);
}
