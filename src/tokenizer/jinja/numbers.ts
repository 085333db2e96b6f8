/** Numbers as Python rounds, writes and reads them: exact decimal digits, halves to even. */
import { asNumber, Float, isNumber, missing, TemplateRuntimeError, Undefined, type Value } from "./values.ts";

/** Most digits behind the point that JavaScript writes, which is more than a half of any size needs to show itself. */
const PLACES = 100;

/** `%.2f` of a number from 0 on: the exact decimal, of two equally near ones the even. */
export function fixed(size: number, places: number): string {
  if (size >= 1e21) return BigInt(size) + (places > 0 ? `.${"0".repeat(places)}` : "");
  const text = size.toFixed(places);
  const [, rest] = size.toFixed(PLACES).split(".");
  const last = Number(text.at(-1));
  // JavaScript takes the larger of the two.
  return /^50*$/.test(rest.slice(places)) && last % 2 === 1 ? `${text.slice(0, -1)}${last - 1}` : text;
}

/** `%e` of a number from 0 on. */
export function scientific(size: number, places: number, letter: string): string {
  const [digits, power] = size.toExponential(places).split("e");
  return `${digits}${letter}${power[0]}${power.slice(1).padStart(2, "0")}`;
}

/** `%g` of a number from 0 on: so many digits, without zeros at the end. */
export function general(size: number, digits: number, letter: string): string {
  const precision = Math.max(1, digits);
  const power = size === 0 ? 0 : Number(size.toExponential(precision - 1).split("e")[1]);
  const small = power >= -4 && power < precision;
  const text = small ? fixed(size, precision - 1 - power) : scientific(size, precision - 1, letter);
  return text.replace(/(\.\d*?)0+(?=e|$)/i, "$1").replace(/\.(?=e|$)/i, "");
}

/** The filter `round`: an integer stays one by the common method. */
export function rounded(value: Value, places: number, how: Value): Value {
  if (!isNumber(value)) throw new TemplateRuntimeError("round takes a number");
  const number = asNumber(value);
  const scale = 10 ** places;
  if (how === "ceil") return new Float(Math.ceil(number * scale) / scale);
  if (how === "floor") return new Float(Math.floor(number * scale) / scale);
  if (places >= 0) {
    if (!(value instanceof Float)) return number;
    return new Float(Math.sign(number) * Number(fixed(Math.abs(number), Math.min(PLACES, places))));
  }
  const tens = number * scale;
  const down = Math.floor(tens);
  const even = tens - down === 0.5 ? down + (down % 2 === 0 ? 0 : 1) : Math.round(tens);
  const result = Math.round(even / scale);
  return value instanceof Float ? new Float(result) : result;
}

const DECIMAL = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i;
const PREFIXES: Readonly<Record<number, string>> = { 2: "(?:0b)?", 8: "(?:0o)?", 16: "(?:0x)?" };

/** The filter `int`, of a text without blanks around it. */
export function whole(value: Value, otherwise: Value, base: number): Value {
  if (value instanceof Undefined) throw missing(value);
  if (isNumber(value)) return Number.isFinite(asNumber(value)) ? Math.trunc(asNumber(value)) : otherwise;
  if (typeof value !== "string") return otherwise;
  const text = value.replaceAll("_", "");
  const [, sign, digits = ""] =
    new RegExp(`^([-+]?)${PREFIXES[base] ?? ""}([0-9a-z]+)$`, "i").exec(text) ?? [];
  if (digits !== "" && [...digits].every((digit) => Number.parseInt(digit, 36) < base))
    return (sign === "-" ? -1 : 1) * Number.parseInt(digits, base);
  return DECIMAL.test(text) ? Math.trunc(Number(text)) : otherwise;
}

/** The filter `float`, of a text without blanks around it. */
export function real(value: Value, otherwise: Value): Value {
  if (value instanceof Undefined) throw missing(value);
  if (isNumber(value)) return new Float(asNumber(value));
  const text = typeof value === "string" ? value.replaceAll("_", "") : "";
  if (DECIMAL.test(text)) return new Float(Number(text));
  const [, sign, name] = /^([-+]?)(inf|infinity|nan)$/i.exec(text) ?? [];
  if (name === undefined) return otherwise;
  return new Float((sign === "-" ? -1 : 1) * (/^n/i.test(name) ? Number.NaN : Number.POSITIVE_INFINITY));
}
