/**
 * Arithmetic as people write it, read by its own grammar and valued exactly:
 *
 *     sum     = product { ("+" | "-") product }
 *     product = operand { ("*" | "/") operand }
 *     operand = integer | "(" sum ")"
 *
 * An integer is ASCII digits without a leading zero, so each number has one spelling. Signs are no part
 * of the grammar: "-3", "3*-2" and "+3" are refused. Only spaces, tabs and line breaks may separate
 * tokens; digits on both sides of a space are two numbers, which is an error, never one.
 */
import { Fraction } from "fraction.js";

/** Limits on the time and the size of every value: a text that exceeds one is refused. */
export const EXPRESSION_LIMITS = {
  /** Characters, spaces included. */
  length: 1000,
  /** Parentheses inside parentheses. */
  depth: 50,
  /** Of one number. */
  digits: 30,
} as const;

export type Expression =
  | { ok: true; value: Fraction /** The numbers in their order, as written. */; literals: string[] }
  | { ok: false; reason: string };

/** Other spellings of the four operators: multiplication sign, division sign, minus sign. */
export const OPERATORS: ReadonlyMap<string, string> = new Map([
  ["+", "+"],
  ["-", "-"],
  ["\u2212", "-"],
  ["*", "*"],
  ["\u00d7", "*"],
  ["/", "/"],
  ["\u00f7", "/"],
]);

export function isDigit(character: string | undefined): boolean {
  return character !== undefined && character >= "0" && character <= "9";
}

/** A character in a message: itself where it is plain ASCII, else its code, since it may be invisible. */
export function named(text: string, at: number): string {
  const code = text.codePointAt(at)!;
  const plain = code > 32 && code < 127;
  return plain ? `"${text[at]}"` : `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
}

/** Parses the complete text. Never throws; linear in the text. */
export function expression(text: string): Expression {
  if (text.length > EXPRESSION_LIMITS.length) {
    return { ok: false, reason: `expression longer than ${EXPRESSION_LIMITS.length} characters` };
  }
  const reader = new Reader(text);
  const value = reader.sum();
  if (value === null) return { ok: false, reason: reader.reason };
  if (!reader.atEnd()) return { ok: false, reason: `unexpected ${reader.here()}` };
  return { ok: true, value, literals: reader.literals };
}

/** Recursive descent. A method that fails returns `null` and leaves its reason. */
class Reader {
  readonly literals: string[] = [];
  reason = "";
  readonly #text: string;
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  sum(): Fraction | null {
    let total = this.#product();
    while (total !== null) {
      const minus = this.#operator("-");
      if (!minus && !this.#operator("+")) return total;
      const next = this.#product();
      if (next === null) return null;
      total = minus ? total.sub(next) : total.add(next);
    }
    return null;
  }

  #product(): Fraction | null {
    let total = this.#operand();
    while (total !== null) {
      const divide = this.#operator("/");
      if (!divide && !this.#operator("*")) return total;
      const next = this.#operand();
      if (next === null) return null;
      if (divide && next.n === 0n) return this.#fail("division by zero");
      total = divide ? total.div(next) : total.mul(next);
    }
    return null;
  }

  #operand(): Fraction | null {
    this.#skipBlanks();
    if (isDigit(this.#text[this.#at])) return this.#number();
    if (this.#text[this.#at] !== "(") return this.#fail(`number expected, found ${this.here()}`);
    if (++this.#depth > EXPRESSION_LIMITS.depth) {
      return this.#fail(`parentheses nested deeper than ${EXPRESSION_LIMITS.depth}`);
    }
    this.#at++;
    const value = this.sum();
    if (value === null) return null;
    if (this.#peek() !== ")") return this.#fail(`")" expected, found ${this.here()}`);
    this.#at++;
    this.#depth--;
    return value;
  }

  #number(): Fraction | null {
    const start = this.#at;
    this.#skipDigits();
    const digits = this.#text.slice(start, this.#at);
    if (digits.length > EXPRESSION_LIMITS.digits) {
      return this.#fail(`number longer than ${EXPRESSION_LIMITS.digits} digits`);
    }
    if (digits.length > 1 && digits.startsWith("0"))
      return this.#fail(`number with a leading zero: ${digits}`);
    this.literals.push(digits);
    return new Fraction(BigInt(digits));
  }

  /** Steps over the operator if it comes next, in any of its spellings. */
  #operator(sign: string): boolean {
    const found = OPERATORS.get(this.#peek() ?? "") === sign;
    if (found) this.#at++;
    return found;
  }

  atEnd(): boolean {
    return this.#peek() === undefined;
  }

  /** The next character, for a message. */
  here(): string {
    return this.atEnd() ? "the end" : named(this.#text, this.#at);
  }

  #peek(): string | undefined {
    this.#skipBlanks();
    return this.#text[this.#at];
  }

  #skipBlanks(): void {
    while (this.#at < this.#text.length && " \t\r\n".includes(this.#text[this.#at]!)) this.#at++;
  }

  #skipDigits(): void {
    while (isDigit(this.#text[this.#at])) this.#at++;
  }

  #fail(reason: string): null {
    this.reason = reason;
    return null;
  }
}
