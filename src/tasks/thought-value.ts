/**
 * The exact value of one side of an equation:
 *
 *     sum     = product { ("+" | "-") product }
 *     product = factor { ("*" | "/") factor }
 *     factor  = "-" factor | "√" factor | operand [ "^" integer ]
 *     operand = number | "(" sum ")"
 *
 * Fractions are not reduced, since a comparison needs no lowest terms: the time is linear in the length.
 */
import { EXPRESSION_LIMITS } from "./expression.ts";
import type { Token } from "./thought-tokens.ts";

/** n/d; the denominator may be negative, and is 0 where there is no value: 7/0, or a number such as 007. */
export interface Ratio {
  n: bigint;
  d: bigint;
}

/** Bits of a power or of the operand of a root; larger ones are not computed. */
const POWER_BITS = 128;
const NO_VALUE: Ratio = { n: 0n, d: 0n };

/** The value of these tokens, and whether they have an operation; `null` if this grammar does not cover them. */
export function sideValue(tokens: readonly Token[]): { value: Ratio; operation: boolean } | null {
  const reader = new Reader(tokens);
  const value = reader.sum();
  return value === null || !reader.atEnd() ? null : { value, operation: reader.operation };
}

/** Whether both have a value, and the same. */
export function areEqual(a: Ratio, b: Ratio): boolean {
  return a.d !== 0n && b.d !== 0n && a.n * b.d === b.n * a.d;
}

class Reader {
  operation = false;
  readonly #tokens: readonly Token[];
  #at = 0;
  #depth = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  atEnd(): boolean {
    return this.#at === this.#tokens.length;
  }

  sum(): Ratio | null {
    let total = this.#product();
    for (let sign = this.#operator("+-"); total !== null && sign !== null; sign = this.#operator("+-")) {
      const next = this.#product();
      if (next === null) return null;
      const term = sign === "-" ? -next.n : next.n;
      total = { n: total.n * next.d + term * total.d, d: total.d * next.d };
    }
    return total;
  }

  #product(): Ratio | null {
    let total = this.#factor();
    for (let sign = this.#operator("*/"); total !== null && sign !== null; sign = this.#operator("*/")) {
      const next = this.#factor();
      if (next === null) return null;
      // Division by 0 or by no value has no value.
      total =
        sign === "*" || next.d === 0n
          ? { n: total.n * next.n, d: total.d * next.d }
          : { n: total.n * next.d, d: total.d * next.n };
    }
    return total;
  }

  #factor(): Ratio | null {
    const signs: string[] = [];
    for (let sign = this.#peek("-√"); sign !== null; sign = this.#peek("-√")) {
      signs.push(sign);
      this.#at++;
    }
    let value = this.#power();
    for (const sign of signs.reverse()) {
      if (value === null) return null;
      if (sign === "√") this.operation = true;
      value = sign === "-" ? { n: -value.n, d: value.d } : root(value);
    }
    return value;
  }

  #power(): Ratio | null {
    const base = this.#operand();
    if (base === null || this.#operator("^") === null) return base;
    // A side ends in an operand, so a token follows the sign.
    const exponent = this.#tokens[this.#at++]!.text;
    if (!/^\d{1,3}$/.test(exponent)) return null;
    const power = BigInt(exponent);
    if (BigInt(bits(base)) * power > POWER_BITS) return null;
    return { n: base.n ** power, d: base.d ** power };
  }

  #operand(): Ratio | null {
    const token = this.#tokens[this.#at++];
    if (token?.kind === "number") return number(token.text);
    if (token?.kind !== "(" || ++this.#depth > EXPRESSION_LIMITS.depth) return null;
    const value = this.sum();
    this.#depth--;
    return this.#tokens[this.#at++]?.kind === ")" ? value : null;
  }

  /** The next operator if it is one of these, not yet read. */
  #peek(signs: string): string | null {
    const token = this.#tokens[this.#at];
    return token?.kind === "operator" && signs.includes(token.text) ? token.text : null;
  }

  #operator(signs: string): string | null {
    const sign = this.#peek(signs);
    if (sign === null) return null;
    this.operation = true;
    this.#at++;
    return sign;
  }
}

function number(text: string): Ratio {
  const [whole, decimals = ""] = text.split(".") as [string, string?];
  const digits = whole + decimals;
  const odd = digits.length > EXPRESSION_LIMITS.digits || (whole.length > 1 && whole.startsWith("0"));
  return odd ? NO_VALUE : { n: BigInt(digits), d: 10n ** BigInt(decimals.length) };
}

function bits({ n, d }: Ratio): number {
  return 4 * Math.max(n.toString(16).length, d.toString(16).length);
}

/** Exactly, or `null`: √(n/d) = √(n d) / d. */
function root(value: Ratio): Ratio | null {
  if (bits(value) > POWER_BITS) return null;
  const square = value.n * value.d;
  // Of a negative one the guess stays, and is no root.
  let guess = square;
  for (let next = (guess + 1n) / 2n; next < guess; next = (guess + square / guess) / 2n) guess = next;
  return guess * guess === square ? { n: guess, d: value.d } : null;
}
