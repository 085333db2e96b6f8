/**
 * The exact value of a final numeric answer. Accepted are
 *
 *     42   -3   +3   1,234   0.5   .5   3/4   \frac{3}{4}   (also \dfrac, \tfrac)
 *
 * in ASCII digits without leading zeros; a thousands comma precedes exactly three digits, so lists
 * such as "4,5" are no numbers, and may be written as LaTeX writes it: `1{,}234`, `1,\!234`, `1\,234`.
 * These may surround the number without effect on its value: mathematics' marks (`$…$`, `$$…$$`, `\(…\)`, `\[…\]`),
 * bold and other type (`**…**`, `\textbf{…}`), LaTeX's spaces, one currency sign before or after it, a percent sign
 * after it (50% is 50, as in GSM8K's answers, and never 1/2), one full stop at the end, and, if the task allows units,
 * one in LaTeX's text: `42\text{ km}`, `90^\circ`.
 * Everything else is refused: unit words ("5 thousand" is not 5), scientific notation, hexadecimal,
 * powers, roots, ±, ratios, mixed numbers, a second number.
 */
import { Fraction } from "fraction.js";

export const NUMBER_LIMITS = {
  /** Characters, with all that may surround the number. */
  length: 200,
} as const;

/** The exact value, or in a few words why the text is not one number. */
export type ParsedNumber = { ok: true; value: Fraction } | { ok: false; reason: string };

// Anchored, without nested repetition, and on a few hundred characters: linear enough. \d is ASCII only.
const INTEGER = /^(?:0|[1-9]\d*)$/;
const GROUPED = /^[1-9]\d{0,2}(?:,\d{3})+$/;
const RATIO = /^(\d+) ?\/ ?(\d+)$/;
const LATEX_RATIO = /^\\[dt]?frac ?\{ ?([-−]?)(\d+) ?\} ?\{ ?([-−]?)(\d+) ?\}$/;
const CURRENCY = /^(?:\\?\$|€|£|¥) ?/;
const CURRENCY_BEHIND = / ?(?:\\?\$|€|£|¥)$/;
const SIGN = /^[-−+]/;
/** LaTeX's ways to write a thousands comma, before exactly three digits. */
const LATEX_COMMA = /(?<=\d)(?:\{,\}|,\\!|\{?\\[,:; ]\}?|~)(?=\d{3}(?!\d))/g;
/** Blanks, and LaTeX's, at either end. */
const SPACES = /^(?:[ \t\r\n~]|\\[,:;! ])+|(?:[ \t\r\n~]|\\[,:;! ])+$/g;
/** Units: letters, blanks and the like inside \text{}, perhaps squared or cubed; degrees. */
const UNIT =
  /(?:\\[,:; ]|[ ~])*(?:\\(?:text|mathrm|textrm|mbox)\{([a-zA-Z ~./]+)\}(?:\^(?:[23]|\{[23]\}))?|\^(?:\\circ|\{\\circ\})|°)$/;

/** Marks that may surround a number without effect on its value, longer ones first. */
const WRAPPERS: readonly (readonly [string, string])[] = [
  ["$$", "$$"],
  ["$", "$"],
  ["\\(", "\\)"],
  ["\\[", "\\]"],
  ["**", "**"],
  ["__", "__"],
  ["*", "*"],
  ["`", "`"],
  ...["text", "textbf", "mathbf", "mathrm"].map((name) => [`\\${name}{`, "}"] as const),
];

/** What may surround a number. */
export interface NumberOptions {
  /** Characters; more is refused. */
  length?: number;
  /** Whether a unit in LaTeX's text may follow. */
  units?: boolean;
}

/** Words that multiply or divide the number before them: "5 thousand" is not 5, nor are "3 eighths" 3. */
const SCALE = [
  "hundreds?|thousands?|[mb]illions?|(?:tr|quadr|quint)illions?|dozens?|lakhs?|crores?|[bm]n|k",
  "halves|thirds|fifths|sixths|sevenths|eighths|ninths|tenths|elevenths|twelfths|twentieths",
  "hundredths|thousandths|[mb]illionths|and (?:an? )?(?:half|third|quarter|fifth)",
].join("|");
/** Words that count only where a unit or a remark is expected: names of things, and words that compute or name a number. */
const OTHERS =
  "tens|scores?|gross|grand|pairs?|half|third|quarters?|tenth|hundredth|squared|cubed|factorial|fold|halved|doubled|tripled|twice|plus|minus|times|over|point|divided|mod|modulo|or|to|by|out of|in base";
const MAGNITUDE = new RegExp(`^[ .(~]*(?:${SCALE}|${OTHERS})\\b`, "i");
/** Millions and billions; a small m is a metre. */
const ABBREVIATED = /^[ .(~]*[MB]\b/;
const SCALED = new RegExp(`^(?:[ \\t\u00a0]+|-)(?:${SCALE})\\b`, "i");

/** Whether the words after a number change its value or name a second number. */
export function changesValue(words: string): boolean {
  return MAGNITUDE.test(words) || ABBREVIATED.test(words);
}

/** The same for prose after a number, with its blank; in prose fewer words count. */
export function isScaled(prose: string): boolean {
  return SCALED.test(prose);
}

/** Never throws. */
export function parseNumber(text: string, options: NumberOptions = {}): ParsedNumber {
  const { length = NUMBER_LIMITS.length, units = false } = options;
  if (text.length > length) return { ok: false, reason: `answer longer than ${length} characters` };
  let body = undressed(text, units).replace(LATEX_COMMA, ",");
  body = body.replace(/ ?\\?%$/, "");
  let sign = "";
  let currency = false;
  // "-$5" and "$-5" are both usual; two signs are not.
  for (const pattern of [SIGN, CURRENCY, SIGN]) {
    const found = pattern.exec(body)?.[0];
    if (found === undefined || (pattern === SIGN && sign !== "")) continue;
    if (pattern === SIGN) sign = found;
    else currency = true;
    body = body.slice(found.length);
  }
  if (!currency) body = body.replace(CURRENCY_BEHIND, "");
  const value = unsigned(body);
  if (typeof value === "string") return { ok: false, reason: value };
  return { ok: true, value: sign === "" || sign === "+" ? value : value.neg() };
}

/** Removes blanks, marks, type, one full stop and perhaps one unit, in any order of nesting. */
function undressed(text: string, units: boolean): string {
  let body = text;
  let stop = false;
  let unit = !units;
  for (;;) {
    body = body.replace(SPACES, "");
    const around = WRAPPERS.find(([open, close]) => isAround(body, open, close));
    const found = unit ? null : UNIT.exec(body);
    if (around) body = body.slice(around[0].length, -around[1].length);
    else if (!stop && /[\d%}*)`$\]]\.$/.test(body)) {
      stop = true;
      body = body.slice(0, -1);
    } else if (found && !changesValue(found[1] ?? "")) {
      unit = true;
      body = body.slice(0, found.index);
    } else return body;
  }
}

function isAround(body: string, open: string, close: string): boolean {
  return body.length > open.length + close.length && body.startsWith(open) && body.endsWith(close);
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

/** "7/2", "-3": for messages, cut where a completion made it huge. */
export function showNumber(value: Fraction): string {
  return clip(value.toFraction(), 40);
}

/** The text, cut to `length` characters and marked where it was longer. */
export function clip(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length)}…` : text;
}
