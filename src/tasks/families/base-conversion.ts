/** A whole number from one base to another: 101010 in base 2 is 2a in base 16. */
import type { Random } from "../../lib/random.ts";
import { family } from "./family.ts";
import { bare, lowerCase } from "./readers.ts";

export interface BaseConversion {
  /** In small letters, without leading zeros. */
  numeral: string;
  from: number;
  to: number;
}

const DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz";

const between = (low: number, high: number) => Array.from({ length: high - low + 1 }, (_, i) => low + i);

/** The bases of each level, and its largest number. */
const LEVELS: readonly { bases: readonly number[]; largest: number; text: string }[] = [
  { bases: [2, 8, 10], largest: 1023, text: "bases 2, 8 and 10, numbers up to 1,023" },
  { bases: [2, 8, 10, 16], largest: 4095, text: "also base 16, numbers up to 4,095" },
  { bases: between(2, 16), largest: 65_535, text: "bases 2 to 16, numbers up to 65,535" },
  { bases: between(2, 36), largest: 9_999_999, text: "bases 2 to 36, numbers up to 9,999,999" },
];

export const baseConversion = family<"base-conversion", BaseConversion>({
  kind: "base-conversion",
  levels: LEVELS.map(({ text }) => text),
  example: {
    data: { numeral: "23", from: 10, to: 4 },
    thought: "23 = 5 * 4 + 3, 5 = 1 * 4 + 1, 1 = 0 * 4 + 1",
  },
  draw,
  question: ({ numeral, from, to }) =>
    `Convert ${numeral} from base ${from} to base ${to}. ${Math.max(from, to) > 10 ? "The letters a to z are the digits above 9. " : ""}Answer with the digits alone.`,
  read(text, { to }) {
    const numeral = lowerCase(bare(text));
    if (!/^(?:0|[1-9a-z][0-9a-z]*)$/.test(numeral)) return { ok: false, reason: "not digits alone" };
    const wrong = [...numeral].find((digit) => DIGITS.indexOf(digit) >= to);
    return wrong === undefined
      ? { ok: true, canonical: numeral }
      : { ok: false, reason: `${wrong} is no digit in base ${to}` };
  },
  solve({ numeral, from, to }) {
    let value = 0;
    for (const digit of numeral) value = value * from + DIGITS.indexOf(digit);
    let written = "";
    for (; value > 0; value = Math.floor(value / to)) written = DIGITS[value % to]! + written;
    return written;
  },
});

/** The generator has the number itself, and JavaScript writes it in both bases. */
function draw(random: Random, level: number): { data: BaseConversion; answer: string } | null {
  const { bases, largest } = LEVELS[level - 1]!;
  const [from, to] = [random.pick(bases), random.pick(bases)];
  const value = random.integer(4, largest);
  const [numeral, answer] = [value.toString(from), value.toString(to)];
  return numeral === answer ? null : { data: { numeral, from, to }, answer };
}
