/** The methods of Python's texts, dictionaries and lists that a sandbox allows: none changes its value. */
import { format, toText } from "./text.ts";
import {
  asNumber,
  Callable,
  characterCount,
  isEqual,
  isNumber,
  isTrue,
  iterate,
  keyOf,
  type Named,
  PYTHON_SPACE,
  plain,
  TemplateRuntimeError,
  Tuple,
  tuple,
  typeName,
  type Value,
  View,
  view,
} from "./values.ts";

/** The arguments of a call; `spend` gets the length of what the call builds. */
export interface Call {
  args: readonly Value[];
  named: Named;
  spend: (length: number) => void;
}
type Method<Self> = (self: Self, call: Call) => Value;

export const argument = ({ args, named }: Call, at: number, name: string): Value | undefined =>
  at < args.length ? args[at] : named.get(name);

function textAt(call: Call, at: number, name: string, otherwise?: string): string {
  const value = argument(call, at, name) ?? otherwise;
  if (typeof value === "string") return value;
  throw new TemplateRuntimeError(
    `argument ${name} must be str, not ${value === undefined ? "missing" : typeName(value)}`,
  );
}

function numberAt(call: Call, at: number, name: string, otherwise: number): number {
  const value = argument(call, at, name) ?? otherwise;
  if (isNumber(value)) return Math.trunc(asNumber(value));
  throw new TemplateRuntimeError(`argument ${name} must be int, not ${typeName(value)}`);
}

/** Characters that `strip` takes off: any blank, or those of a text. */
export function stripped(text: string, given: Value | undefined, sides: "left" | "right" | "both"): string {
  const isOff =
    given === undefined || given === null
      ? (character: string) => SPACE.test(character)
      : (character: string) => toText(given).includes(character);
  const characters = [...text];
  let [from, to] = [0, characters.length];
  if (sides !== "right") while (from < to && isOff(characters[from])) from++;
  if (sides !== "left") while (to > from && isOff(characters[to - 1])) to--;
  return characters.slice(from, to).join("");
}
const SPACE = new RegExp(`[${PYTHON_SPACE}]`, "u");
const SPACES = new RegExp(`[${PYTHON_SPACE}]+`, "u");

/** Python's `splitlines`. */
export function splitLines(text: string, keepEnds = false): string[] {
  const lines = text.split(keepEnds ? KEPT_BREAKS : BREAKS);
  if (lines.at(-1) === "") lines.pop();
  return lines;
}
const ALONE = "\\n\\v\\f\\x1C-\\x1E\\x85\\u2028\\u2029";
const BREAKS = new RegExp(`\\r\\n|[${ALONE}\\r]`);
const KEPT_BREAKS = new RegExp(`(?<=\\r\\n|[${ALONE}]|\\r(?!\\n))`);

export const capitalized = (text: string): string => {
  const [first = "", ...rest] = text;
  return first.toUpperCase() + rest.join("").toLowerCase();
};
const titled = (text: string): string =>
  text.toLowerCase().replace(/(\P{L}|^)(\p{L})/gu, (_, before, letter) => before + letter.toUpperCase());

/** `str.split`: by a separator, or by runs of blanks with none at the ends. */
function split(text: string, call: Call, fromRight: boolean): Value {
  const separator = argument(call, 0, "sep") ?? null;
  const most = numberAt(call, 1, "maxsplit", -1);
  if (separator === "") throw new TemplateRuntimeError("empty separator");
  if (separator !== null && typeof separator !== "string")
    throw new TemplateRuntimeError(`must be str or None, not ${typeName(separator)}`);
  const parts =
    separator === null
      ? stripped(text, null, "both")
          .split(SPACES)
          .filter((part) => part !== "")
      : text.split(separator);
  // After `most` splits the last part keeps the blanks at its end.
  if (most < 0 || parts.length <= most + (separator === null ? 0 : 1)) return parts;
  if (separator !== null)
    return fromRight
      ? [parts.slice(0, parts.length - most).join(separator), ...parts.slice(parts.length - most)]
      : [...parts.slice(0, most), parts.slice(most).join(separator)];
  // The part that is not split keeps its blanks.
  let rest = stripped(text, null, fromRight ? "right" : "left");
  const taken: string[] = [];
  for (let i = 0; i < most; i++) {
    const part = fromRight ? (parts[parts.length - 1 - i] as string) : (parts[i] as string);
    taken.push(part);
    rest = fromRight
      ? stripped(rest.slice(0, rest.length - part.length), null, "right")
      : stripped(rest.slice(part.length), null, "left");
  }
  return fromRight ? [rest, ...taken.reverse()] : [...taken, rest];
}

export function replaceText(
  text: string,
  from: string,
  to: string,
  most: number,
  spend: Call["spend"],
): string {
  const pieces = from === "" ? ["", ...text, ""] : text.split(from);
  const count = most < 0 ? pieces.length - 1 : Math.min(most, pieces.length - 1);
  spend(text.length + count * to.length);
  const head = pieces.slice(0, count + 1).join(to);
  return count === pieces.length - 1 ? head : `${head}${from}${pieces.slice(count + 1).join(from)}`;
}

/** `text[start:end]` by the second and third argument, and how many characters precede it. */
function searched(text: string, call: Call): { part: string; before: number } {
  if (call.args.length < 2) return { part: text, before: 0 };
  const characters = [...text];
  const { length } = characters;
  const place = (index: number): number => Math.min(length, index < 0 ? Math.max(0, index + length) : index);
  const [start, end] = [place(numberAt(call, 1, "start", 0)), place(numberAt(call, 2, "end", length))];
  return { part: characters.slice(start, end).join(""), before: start };
}

function affix(name: "startsWith" | "endsWith"): Method<string> {
  return (text, call) => {
    const { part } = searched(text, call);
    const wanted = call.args[0];
    const any = wanted instanceof Tuple ? [...wanted] : [wanted ?? null];
    return any.some((one) => {
      if (typeof one === "string") return part[name](one);
      throw new TemplateRuntimeError(`first arg must be str or a tuple of str, not ${typeName(one)}`);
    });
  };
}

const find = (text: string, call: Call, last: boolean): number => {
  const wanted = textAt(call, 0, "sub");
  const { part, before } = searched(text, call);
  const at = last ? part.lastIndexOf(wanted) : part.indexOf(wanted);
  return at < 0 ? -1 : before + characterCount(part.slice(0, at));
};
const found = (at: number): number => {
  if (at >= 0) return at;
  throw new TemplateRuntimeError("substring not found");
};
const every =
  (pattern: RegExp): Method<string> =>
  (text) =>
    text !== "" && pattern.test(text);
function padded(left: (room: number, width: number) => number, filler?: string): Method<string> {
  return (text, call) => {
    const width = numberAt(call, 0, "width", 0);
    const room = width - characterCount(text);
    if (room <= 0) return text;
    call.spend(room);
    const fill = filler ?? textAt(call, 1, "fillchar", " ");
    const before = left(room, width);
    return fill.repeat(before) + text + fill.repeat(room - before);
  };
}
function parted(last: boolean): Method<string> {
  return (text, call) => {
    const separator = textAt(call, 0, "sep");
    const at = last ? text.lastIndexOf(separator) : text.indexOf(separator);
    if (at < 0) return tuple(last ? ["", "", text] : [text, "", ""]);
    return tuple([text.slice(0, at), separator, text.slice(at + separator.length)]);
  };
}

const TEXT: Record<string, Method<string>> = {
  capitalize: capitalized,
  casefold: (text) => text.toLowerCase().replaceAll("ß", "ss"),
  // CPython's rule of where an odd blank goes.
  center: padded((room, width) => (room >> 1) + (room & width & 1)),
  count: (text, call) => replaceCount(searched(text, call).part, textAt(call, 0, "sub")),
  endswith: affix("endsWith"),
  find: (text, call) => find(text, call, false),
  format: (text, { args, named, spend }) => format(text, args, named, spend),
  index: (text, call) => found(find(text, call, false)),
  isascii: (text) => /^\p{ASCII}*$/u.test(text),
  isalnum: every(/^[\p{L}\p{N}]+$/u),
  isalpha: every(/^\p{L}+$/u),
  isdecimal: every(/^\p{Nd}+$/u),
  isdigit: every(/^[\p{Nd}¹²³⁰⁴-⁹₀-₉]+$/u),
  islower: (text) => text !== text.toUpperCase() && text === text.toLowerCase(),
  isnumeric: every(/^\p{N}+$/u),
  isspace: every(new RegExp(`^[${PYTHON_SPACE}]+$`, "u")),
  istitle: (text) => /\p{L}/u.test(text) && titled(text) === text,
  isupper: (text) => text !== text.toLowerCase() && text === text.toUpperCase(),
  join: (text, call) => {
    const items = iterate(call.args[0] ?? null).map((item) => {
      if (typeof item === "string") return item;
      throw new TemplateRuntimeError(`sequence item: expected str instance, ${typeName(item)} found`);
    });
    call.spend(items.reduce((sum, item) => sum + item.length + text.length, 0));
    return items.join(text);
  },
  ljust: padded(() => 0),
  lower: (text) => text.toLowerCase(),
  lstrip: (text, call) => stripped(text, call.args[0], "left"),
  partition: parted(false),
  removeprefix: (text, call) =>
    text.startsWith(textAt(call, 0, "prefix")) ? text.slice(textAt(call, 0, "prefix").length) : text,
  removesuffix: (text, call) => {
    const suffix = textAt(call, 0, "suffix");
    return suffix !== "" && text.endsWith(suffix) ? text.slice(0, -suffix.length) : text;
  },
  replace: (text, call) =>
    replaceText(
      text,
      textAt(call, 0, "old"),
      textAt(call, 1, "new"),
      numberAt(call, 2, "count", -1),
      call.spend,
    ),
  rfind: (text, call) => find(text, call, true),
  rindex: (text, call) => found(find(text, call, true)),
  rjust: padded((room) => room),
  rpartition: parted(true),
  rsplit: (text, call) => split(text, call, true),
  rstrip: (text, call) => stripped(text, call.args[0], "right"),
  split: (text, call) => split(text, call, false),
  splitlines: (text, { args, named }) => splitLines(text, isTrue(args[0] ?? named.get("keepends") ?? false)),
  startswith: affix("startsWith"),
  strip: (text, call) => stripped(text, call.args[0], "both"),
  swapcase: (text) =>
    [...text].map((c) => (c === c.toUpperCase() ? c.toLowerCase() : c.toUpperCase())).join(""),
  title: titled,
  upper: (text) => text.toUpperCase(),
  zfill: (text, call) => {
    const [, sign, digits] = /^([-+]?)([\s\S]*)$/.exec(text) as RegExpExecArray;
    const room = Math.max(0, numberAt(call, 0, "width", 0) - text.length);
    call.spend(room);
    return sign + "0".repeat(room) + digits;
  },
};

const replaceCount = (text: string, part: string): number =>
  part === "" ? characterCount(text) + 1 : text.split(part).length - 1;

/** Methods that change their value. */
function refused(...names: string[]): Record<string, () => never> {
  const refuse = (name: string) => (): never => {
    throw new TemplateRuntimeError(`a template may not change its values: ${name}()`);
  };
  return Object.fromEntries(names.map((name) => [name, refuse(name)]));
}

const MAPPING: Record<string, Method<Map<Value, Value>>> = {
  copy: (map) => new Map(map),
  get: (map, call) => {
    const [key = null] = call.args;
    const value = map.get(keyOf(key));
    return value === undefined ? (argument(call, 1, "default") ?? null) : value;
  },
  items: (map) =>
    view(
      "dict_items",
      [...map].map((pair) => tuple(pair)),
    ),
  keys: (map) => view("dict_keys", [...map.keys()]),
  values: (map) => view("dict_values", [...map.values()]),
  ...refused("clear", "pop", "popitem", "setdefault", "update"),
};
const LIST: Record<string, Method<Value[]>> = {
  copy: (list) => [...list],
  count: (list, { args }) => list.filter((item) => isEqual(item, args[0])).length,
  index: (list, { args }) => found(list.findIndex((item) => isEqual(item, args[0]))),
  ...refused("append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"),
};

/** A value's method, or `undefined` where it has none of that name. */
export function method(self: Value, name: string, spend: Call["spend"]): Callable | undefined {
  const of = <Self extends Value>(table: Record<string, Method<Self>>, value: Self): Callable | undefined =>
    Object.hasOwn(table, name)
      ? new Callable((args, named) => table[name](value, { args: args.map(plain), named, spend }))
      : undefined;
  if (typeof self === "string") return of(TEXT, self);
  if (self instanceof Map) return of(MAPPING, self);
  return Array.isArray(self) && !(self instanceof View) ? of(LIST, self) : undefined;
}
