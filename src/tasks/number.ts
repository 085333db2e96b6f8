/**
 * A final numeric answer, read whole and valued exactly. Accepted are
 *
 *     42   -3   +3   1,234   0.5   .5   3/4   \frac{3}{4}   (also \dfrac, \tfrac)
 *
 * in ASCII digits without leading zeros; a thousands comma stands before exactly three digits, so lists
 * such as "4,5" are no numbers. Around the number, and without effect on its value, may stand: `$…$` or
 * `\(…\)`, a currency sign in front, a percent sign behind (50% reads as 50, as GSM8K's answers do, and
 * never as 1/2), one full stop at the end. Everything else is refused: unit words ("5 thousand" is not 5),
 * scientific notation, hexadecimal, powers, roots, ±, ratios, mixed numbers, a second number.
 */
import { Fraction } from "fraction.js";
import { trimBlanks } from "./extract.ts";

export const NUMBER_LIMITS = {
  /** Characters, with whatever may stand around the number. */
  length: 200,
} as const;

export type ParsedNumber = { ok: true; value: Fraction } | { ok: false; reason: string };

// Anchored, without nested repetition, and on at most 200 characters: linear enough. \d is ASCII only.
const INTEGER = /^(?:0|[1-9]\d*)$/;
const GROUPED = /^[1-9]\d{0,2}(?:,\d{3})+$/;
const RATIO = /^(\d+) ?\/ ?(\d+)$/;
const LATEX_RATIO = /^\\[dt]?frac ?\{ ?([-−]?)(\d+) ?\} ?\{ ?([-−]?)(\d+) ?\}$/;
const CURRENCY = /^(?:\\?\$|€|£)/;
const SIGN = /^[-−+]/;

/** Never throws. */
export function parseNumber(text: string): ParsedNumber {
  if (text.length > NUMBER_LIMITS.length) {
    return { ok: false, reason: `answer longer than ${NUMBER_LIMITS.length} characters` };
  }
  let body = withoutMathMarks(trimBlanks(text));
  if (/[\d%}]\.$/.test(body)) body = body.slice(0, -1);
  body = body.replace(/ ?\\?%$/, "");
  let sign = "";
  // "-$5" and "$-5" are both usual; two signs are not.
  for (const pattern of [SIGN, CURRENCY, SIGN]) {
    const found = pattern.exec(body)?.[0];
    if (found === undefined || (pattern === SIGN && sign !== "")) continue;
    if (pattern === SIGN) sign = found;
    body = body.slice(found.length);
  }
  const value = unsigned(body);
  if (typeof value === "string") return { ok: false, reason: value };
  return { ok: true, value: sign === "" || sign === "+" ? value : value.neg() };
}

/** A value, or the reason why there is none. */
function unsigned(body: string): Fraction | string {
  const integer = wholeNumber(body);
  if (integer !== null) return new Fraction(integer);
  const point = body.indexOf(".");
  if (point !== -1) {
    const whole = point === 0 ? 0n : wholeNumber(body.slice(0, point));
    const decimals = body.slice(point + 1);
    if (whole !== null && /^\d+$/.test(decimals)) {
      const scale = 10n ** BigInt(decimals.length);
      return new Fraction(whole * scale + BigInt(decimals), scale);
    }
  }
  const ratio = RATIO.exec(body);
  if (ratio) return quotient("", ratio[1]!, "", ratio[2]!);
  const latex = LATEX_RATIO.exec(body);
  if (latex) return quotient(latex[1]!, latex[2]!, latex[3]!, latex[4]!);
  return body === "" ? "empty answer" : "answer is not one plain number";
}

function wholeNumber(digits: string): bigint | null {
  if (INTEGER.test(digits)) return BigInt(digits);
  return GROUPED.test(digits) ? BigInt(digits.replaceAll(",", "")) : null;
}

function quotient(signAbove: string, above: string, signBelow: string, below: string): Fraction | string {
  if (!INTEGER.test(above) || !INTEGER.test(below)) return "answer is not one plain number";
  if (below === "0") return "division by zero";
  const value = new Fraction(BigInt(above), BigInt(below));
  return (signAbove === "") === (signBelow === "") ? value : value.neg();
}

function withoutMathMarks(text: string): string {
  for (const [open, close] of [
    ["$", "$"],
    ["\\(", "\\)"],
  ] as const) {
    if (text.length > open.length + close.length && text.startsWith(open) && text.endsWith(close)) {
      return trimBlanks(text.slice(open.length, -close.length));
    }
  }
  return text;
}

/** "7/2", "-3": for messages, cut where a completion made it huge. */
export function showNumber(value: Fraction): string {
  return clip(value.toFraction(), 40);
}

/** The text, cut to `length` characters and marked where it was longer. */
export function clip(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length)}…` : text;
}
