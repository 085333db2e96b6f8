/** Values as text, as Python writes them: `str`, `repr`, `json.dumps`, `%` and `format`; numbers rounded, written and read. */
import {
  asNumber,
  characterCount,
  compare,
  Float,
  isNumber,
  isTrue,
  Loop,
  Markup,
  missing,
  Namespace,
  plain,
  TemplateRuntimeError,
  Tuple,
  typeName,
  Undefined,
  type Value,
  View,
} from "./values.ts";

export function toText(value: Value): string {
  if (typeof value === "string") return value;
  if (value instanceof Markup) return value.text;
  return value instanceof Undefined ? "" : toRepr(value);
}

function toRepr(value: Value): string {
  if (value === null) return "None";
  if (typeof value === "string") return reprText(value);
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "number") return reprNumber(value);
  if (value instanceof Float) return reprFloat(value.value);
  if (value instanceof Tuple) return `(${value.map(toRepr).join(", ")}${value.length === 1 ? "," : ""})`;
  if (value instanceof View && value.text !== null) return value.text;
  if (value instanceof View) return `${value.kind}([${value.map(toRepr).join(", ")}])`;
  if (Array.isArray(value)) return `[${value.map(toRepr).join(", ")}]`;
  if (value instanceof Map)
    return `{${[...value].map(([key, one]) => `${toRepr(key)}: ${toRepr(one)}`).join(", ")}}`;
  if (value instanceof Undefined) return "Undefined";
  if (value instanceof Loop)
    return `<LoopContext ${value.fields.get("index")}/${value.fields.get("length")}>`;
  if (value instanceof Namespace) return `<Namespace ${toRepr(value.fields)}>`;
  if (value instanceof Markup) return `Markup(${reprText(value.text)})`;
  // Python writes its address in memory.
  throw new TemplateRuntimeError(`a ${typeName(value)} has no text of its own`);
}

/** A dictionary's keys are plain numbers, floats too. */
const reprNumber = (value: number): string =>
  Number.isInteger(value) ? BigInt(value).toString() : reprFloat(value);

function reprFloat(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  if (Object.is(value, -0)) return "-0.0";
  // Both print the shortest digits that read back; they differ in when an exponent is used.
  const [digits, exponent] = value.toExponential().split("e");
  const power = Number(exponent);
  if (power < -4 || power >= 16)
    return `${digits}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
  const plain =
    power < 0 ? value.toFixed(Math.min(100, digits.replace(/[-.]/g, "").length - 1 - power)) : String(value);
  return plain.includes(".") ? plain : `${plain}.0`;
}

const REPR_ESCAPES: Record<string, string> = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" };
/** What Python calls not printable; a plain blank is. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\p{Zs}]/u;

function reprText(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  let result = "";
  for (const character of text) {
    const code = character.codePointAt(0) as number;
    if (character === quote) result += `\\${quote}`;
    else if (Object.hasOwn(REPR_ESCAPES, character)) result += REPR_ESCAPES[character];
    else if (character !== " " && UNPRINTABLE.test(character))
      result +=
        code < 0x100
          ? `\\x${code.toString(16).padStart(2, "0")}`
          : code < 0x10000
            ? `\\u${code.toString(16).padStart(4, "0")}`
            : `\\U${code.toString(16).padStart(8, "0")}`;
    else result += character;
  }
  return quote + result + quote;
}

export interface JsonOptions {
  ensureAscii: boolean;
  indent: string | null;
  separators: [string, string] | null;
  sortKeys: boolean;
}

/** `json.dumps`; `spend` gets the length of each piece. @throws TemplateRuntimeError for a value without JSON */
export function toJson(value: Value, options: JsonOptions, spend: (length: number) => void): string {
  const { ensureAscii, indent, sortKeys } = options;
  const [item, colon] = options.separators ?? [indent === null ? ", " : ",", ": "];
  const text = (one: string): string => {
    const plain = JSON.stringify(one);
    return ensureAscii
      ? plain.replace(/[\x7F-\uFFFF]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`)
      : plain;
  };
  const number = (one: number | Float): string => {
    if (typeof one === "number") return reprNumber(one);
    const { value } = one;
    if (Number.isNaN(value)) return "NaN";
    return Number.isFinite(value) ? reprFloat(value) : value > 0 ? "Infinity" : "-Infinity";
  };
  const key = (one: Value): string => {
    if (typeof one === "string") return one;
    if (one === null || typeof one === "boolean") return String(one);
    if (typeof one === "number" || one instanceof Float) return number(one);
    throw new TemplateRuntimeError(`keys must be str, int, float, bool or None, not ${typeName(one)}`);
  };
  const list = (open: string, items: string[], close: string, depth: number): string => {
    if (items.length === 0) return open + close;
    if (indent === null) return open + items.join(item) + close;
    const inner = `\n${indent.repeat(depth + 1)}`;
    spend(inner.length * items.length);
    return `${open}${inner}${items.join(item + inner)}\n${indent.repeat(depth)}${close}`;
  };
  const write = (given: Value, depth: number): string => {
    const one = plain(given);
    spend(1);
    if (one === null || typeof one === "boolean") return String(one);
    if (typeof one === "string") {
      spend(one.length);
      return text(one);
    }
    if (typeof one === "number" || one instanceof Float) return number(one);
    if (Array.isArray(one) && !(one instanceof View))
      return list(
        "[",
        one.map((each) => write(each, depth + 1)),
        "]",
        depth,
      );
    if (one instanceof Map) {
      const entries = [...one];
      if (sortKeys) entries.sort(([a], [b]) => compare(a, b));
      return list(
        "{",
        entries.map(([name, each]) => `${text(key(name))}${colon}${write(each, depth + 1)}`),
        "}",
        depth,
      );
    }
    throw new TemplateRuntimeError(`Object of type ${typeName(one)} is not JSON serializable`);
  };
  return write(value, 0);
}

/** A number or a text by a format's last letter: `5.2f`, `03d`, `x`, `>10`. */
function formatted(value: Value, spec: string, pad: (length: number) => void): string {
  const [, fill = " ", align, sign = "", alternate, zero, width = "0", comma, precision, kind = ""] =
    /^(?:(.)?([<>^=]))?([-+ ])?(#)?(0)?(\d+)?(,)?(?:\.(\d+))?([a-zA-Z%])?$/su.exec(spec) ??
    unknown(`Invalid format specifier '${spec}'`);
  pad(Number(width));
  let text: string;
  let before = "";
  if (isNumber(value)) {
    const number = asNumber(value);
    const places = precision === undefined ? 6 : Math.min(100, Number(precision));
    const size = Math.abs(number);
    if (kind === "s" || (kind !== "" && !"fFeEgG%".includes(kind) && value instanceof Float))
      unknown(`Unknown format code '${kind}' for object of type '${typeName(value)}'`);
    if (kind === "f" || kind === "F") text = fixed(size, places);
    else if (kind === "%") text = `${fixed(100 * size, places)}%`;
    else if (kind === "x" || kind === "X" || kind === "o" || kind === "b") {
      text = Math.trunc(size).toString(kind === "o" ? 8 : kind === "b" ? 2 : 16);
      if (kind === "X") text = text.toUpperCase();
      if (alternate) text = `0${kind}${text}`;
    } else if (kind === "e" || kind === "E") text = scientific(size, places, kind);
    else if (kind === "g" || kind === "G") text = general(size, places, kind === "g" ? "e" : "E");
    else if (precision !== undefined) text = String(Number(size.toPrecision(Math.max(1, places))));
    else text = toText(typeof value === "number" ? size : value instanceof Float ? new Float(size) : size);
    if (comma) text = text.replace(/\B(?=(\d{3})+(?!\d))(?<!\.\d*)/g, ",");
    before = number < 0 || Object.is(number, -0) ? "-" : sign === "-" ? "" : sign;
  } else {
    text = toText(value);
    if (precision !== undefined) text = [...text].slice(0, Number(precision)).join("");
  }
  const room = Math.max(0, Number(width) - before.length - characterCount(text));
  const how = align ?? (zero ? "=" : isNumber(value) ? ">" : "<");
  const filler = align === undefined && zero ? "0" : fill;
  if (how === "=") return before + filler.repeat(room) + text;
  const left = how === "<" ? 0 : how === ">" ? room : room >> 1;
  return filler.repeat(left) + before + text + filler.repeat(room - left);
}

function unknown(message: string): never {
  throw new TemplateRuntimeError(message);
}

/** `"%s of %d" % values`. */
export function percent(format: string, given: Value, pad: (length: number) => void): string {
  const values = given instanceof Tuple ? [...given] : [given];
  let at = 0;
  const take = (name: string | undefined): Value => {
    if (name !== undefined) {
      const found = given instanceof Map ? given.get(name) : undefined;
      return found === undefined ? unknown(`KeyError: '${name}'`) : found;
    }
    return at < values.length ? values[at++] : unknown("not enough arguments for format string");
  };
  const text = format.replace(
    /%(?:\((\w+)\))?([-+ #0]*)(\d+)?(?:\.(\d+))?([a-zA-Z%])/g,
    (_, name, flags, width = "", precision, kind) => {
      if (kind === "%") return "%";
      const value = take(name);
      const exact = precision === undefined ? "" : `.${precision}`;
      const align = flags.includes("-") ? "<" : ">";
      if (kind === "s" || kind === "r") {
        const shown = kind === "s" ? toText(value) : toRepr(value);
        return formatted(shown, `${align}${width}${exact}`, pad);
      }
      if (!isNumber(value))
        return unknown(`%${kind} format: a real number is required, not ${typeName(value)}`);
      const whole = "diuxXo".includes(kind);
      const number = whole ? Math.trunc(asNumber(value)) : new Float(asNumber(value));
      const sign = flags.includes("+") ? "+" : flags.includes(" ") ? " " : "";
      const zero = flags.includes("0") && !flags.includes("-") ? "0" : "";
      const side = flags.includes("-") ? "<" : "";
      return formatted(
        number,
        `${side}${sign}${zero}${width}${whole ? "" : exact}${"diu".includes(kind) ? "" : kind}`,
        pad,
      );
    },
  );
  // A dictionary or a list need not be used.
  const single = given === null || ["string", "number", "boolean"].includes(typeof given);
  if (at < values.length && (single || given instanceof Tuple || given instanceof Float))
    unknown("not all arguments converted during string formatting");
  return text;
}

/** `"{} of {name:>5}".format(...)`; no attributes and items, which the sandbox guards. */
export function format(
  pattern: string,
  args: readonly Value[],
  named: ReadonlyMap<string, Value>,
  pad: (length: number) => void,
): string {
  let next = 0;
  return pattern.replace(
    /\{\{|\}\}|\{([^{}!:]*)(?:!([rs]))?(?::([^{}]*))?\}|[{}]/g,
    (whole, name: string | undefined, conversion, spec = "") => {
      if (whole === "{{" || whole === "}}") return whole[0];
      if (name === undefined) return unknown("Single '{' or '}' encountered in format string");
      const value = /^\d*$/.test(name) ? args[name === "" ? next++ : Number(name)] : named.get(name);
      if (value === undefined) return unknown(`nothing to put for {${name}}`);
      return formatted(
        conversion === "r" ? toRepr(value) : conversion === "s" ? toText(value) : value,
        spec,
        pad,
      );
    },
  );
}

/** `json.dumps`' own arguments, as transformers' filter takes them. */
export function jsonOptions(argument: (at: number, name: string) => Value | undefined): JsonOptions {
  const indent = argument(1, "indent") ?? null;
  const separators = argument(2, "separators") ?? null;
  if (separators !== null && !(Array.isArray(separators) && separators.length === 2))
    throw new TemplateRuntimeError("separators are two texts");
  return {
    ensureAscii: isTrue(argument(0, "ensure_ascii") ?? false),
    indent:
      typeof indent === "string"
        ? indent
        : indent !== null && isNumber(indent)
          ? " ".repeat(Math.max(0, asNumber(indent)))
          : null,
    separators: separators === null ? null : [toText(separators[0]), toText(separators[1])],
    sortKeys: isTrue(argument(3, "sort_keys") ?? false),
  };
}

/** Most decimals that JavaScript writes; a number that is half-way between two roundings needs fewer. */
const PLACES = 100;

/** `%.2f` of a number from 0 on: the exact decimal, of two equally near ones the even. */
function fixed(size: number, places: number): string {
  if (size >= 1e21) return BigInt(size) + (places > 0 ? `.${"0".repeat(places)}` : "");
  const text = size.toFixed(places);
  const [, rest] = size.toFixed(PLACES).split(".");
  const last = Number(text.at(-1));
  // JavaScript takes the larger of the two.
  return /^50*$/.test(rest.slice(places)) && last % 2 === 1 ? `${text.slice(0, -1)}${last - 1}` : text;
}

/** `%e` of a number from 0 on. */
function scientific(size: number, places: number, letter: string): string {
  const [digits, power] = size.toExponential(places).split("e");
  return `${digits}${letter}${power[0]}${power.slice(1).padStart(2, "0")}`;
}

/** `%g` of a number from 0 on: so many digits, without zeros at the end. */
function general(size: number, digits: number, letter: string): string {
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
