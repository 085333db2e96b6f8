/** Readers of answers that several families share: a number, a word of a known set, a list of words. */
import { parseNumber } from "../number.ts";
import type { Reading } from "./family.ts";

/** One whole number in any form of number.ts but a fraction; canonical is in digits, "42" or "-7". */
export function readWhole(text: string): Reading {
  const parsed = parseNumber(bare(text));
  if (!parsed.ok) return parsed;
  const canonical = parsed.value.toFraction();
  return /\/|frac/.test(text + canonical)
    ? { ok: false, reason: "not a whole number" }
    : { ok: true, canonical };
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
  return text.replace(/^(?:\*\*|`)/, "").replace(/(?:\.?(?:\*\*|`)|(?:\*\*|`)?\.)$/, "");
}

/** `toLowerCase` also changes letters that merely look alike, such as the Kelvin sign. */
export function lowerCase(text: string): string {
  return text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}

function sameLetters(a: string, b: string): boolean {
  return lowerCase(a) === lowerCase(b);
}
