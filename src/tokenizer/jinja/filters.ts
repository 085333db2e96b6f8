/** Jinja's filters (jinja2/filters.py), those that make sense in a chat, with transformers' `tojson`. */
import { argument, type Call, capitalized, method, replaceText, splitLines, stripped } from "./methods.ts";
import { escaped, TESTS } from "./operators.ts";
import { jsonOptions, percent, real, rounded, toJson, toText, whole } from "./text.ts";
import {
  asNumber,
  characterCount,
  compare,
  Float,
  Group,
  isEqual,
  isNumber,
  isTrue,
  iterate,
  Lazy,
  Markup,
  missing,
  type Named,
  TemplateRuntimeError,
  type Tuple,
  tuple,
  typeName,
  Undefined,
  type Value,
} from "./values.ts";

/** What a filter may use of the run. */
export interface FilterCall extends Call {
  /** By attribute, then by item, as `value.name` does; `value[name]` does it the other way round. */
  attribute: (value: Value, name: Value) => Value;
  filter: (name: string, value: Value, call: { args: Value[]; named: Named }) => Value;
}

const flag = (call: Call, at: number, name: string): boolean => isTrue(argument(call, at, name) ?? false);
const ignoringCase = (value: Value): Value => (typeof value === "string" ? value.toLowerCase() : value);

/** A value's part by a path such as `function.name` or `0`; the value itself without one. */
function part(value: Value, path: Value | undefined, { attribute }: FilterCall, otherwise?: Value): Value {
  if (path === undefined || path === null) return value;
  const steps = typeof path === "string" ? path.split(".") : [path];
  let found = value;
  for (const step of steps) {
    found = attribute(found, typeof step === "string" && /^\d+$/.test(step) ? Number(step) : step);
    if (found instanceof Undefined && otherwise !== undefined) found = otherwise;
  }
  return found;
}

function sorted(values: readonly Value[], key: (value: Value) => Value, reverse: boolean): Value[] {
  const keyed = values.map((value) => ({ value, key: key(value) }));
  keyed.sort((a, b) => (reverse ? compare(b.key, a.key) : compare(a.key, b.key)));
  return keyed.map(({ value }) => value);
}

const sortKey =
  (call: FilterCall, path: Value | undefined, caseSensitive: boolean) =>
  (value: Value): Value => {
    const paths = typeof path === "string" ? path.split(",") : [path];
    const keys = paths.map((one) => {
      const found = part(value, one, call);
      return caseSensitive ? found : ignoringCase(found);
    });
    return keys.length === 1 ? keys[0] : tuple(keys);
  };

/** A value that is not true is an empty list for filters that select. */
const over = (value: Value): readonly Value[] => (isTrue(value) ? iterate(value) : []);

function reversed(value: Value): Lazy {
  const items = [...iterate(value)].reverse();
  return new Lazy(() => items);
}

/** `select("odd")`, `rejectattr("role", "equalto", "user")`: the items that pass the test, or do not. */
function select(wanted: boolean, byAttribute: boolean): Filter {
  return (value, call) => {
    const path = byAttribute ? call.args[0] : undefined;
    const rest = byAttribute ? call.args.slice(1) : call.args;
    const [name, ...args] = rest;
    const holds = name === undefined ? isTrue : (item: Value): boolean => test(toText(name))(item, args);
    return new Lazy(() => over(value).filter((item) => holds(part(item, path, call)) === wanted));
  };
}

export function test(name: string): (value: Value, args: readonly Value[]) => boolean {
  if (Object.hasOwn(TESTS, name)) return TESTS[name];
  throw new TemplateRuntimeError(`No test named '${name}'.`);
}

function extreme(sign: number): Filter {
  return (value, call) => {
    const key = sortKey(call, argument(call, 1, "attribute"), flag(call, 0, "case_sensitive"));
    const values = iterate(value);
    if (values.length === 0) return new Undefined("No aggregated item, sequence was empty.");
    return values.reduce((best, one) => (sign * compare(key(one), key(best)) > 0 ? one : best));
  };
}

/** A text without the blanks around it, as Python reads numbers. */
const bare = (value: Value): Value => (typeof value === "string" ? stripped(value, null, "both") : value);

function numberOf(call: FilterCall, at: number, name: string, otherwise: number): number {
  const found = argument(call, at, name);
  return found !== undefined && found !== null && isNumber(found) ? asNumber(found) : otherwise;
}

function indented(value: Value, call: FilterCall): Value {
  if (typeof value !== "string")
    throw new TemplateRuntimeError(`indent takes a text, not a value of type ${typeName(value)}`);
  const width = argument(call, 0, "width") ?? 4;
  if (isNumber(width)) call.spend(Math.max(0, asNumber(width)));
  const blanks =
    typeof width === "string" ? width : isNumber(width) ? " ".repeat(Math.max(0, asNumber(width))) : "";
  // The filter adds a line break, so that an empty last line counts.
  const lines = splitLines(`${value}\n`);
  call.spend(lines.length * blanks.length);
  const all = flag(call, 2, "blank");
  const rest = lines.slice(1).map((line) => (all || line !== "" ? blanks + line : line));
  return [(flag(call, 1, "first") ? blanks : "") + (lines[0] ?? ""), ...rest].join("\n");
}

function truncated(value: Value, call: FilterCall): Value {
  const [length, leeway] = [numberOf(call, 0, "length", 255), numberOf(call, 3, "leeway", 5)];
  if (typeof value !== "string" && lengthOf(value) <= length + leeway) return value;
  const characters = [...toText(value)];
  const end = toText(argument(call, 2, "end") ?? "...");
  if (characters.length <= length + leeway) return characters.join("");
  const cut = characters.slice(0, length - [...end].length).join("");
  if (flag(call, 1, "killwords")) return cut + end;
  const blank = cut.lastIndexOf(" ");
  return (blank < 0 ? cut : cut.slice(0, blank)) + end;
}

/** `title`: letters after a blank, a hyphen or an opening bracket. */
const titled = (text: string): string =>
  text
    .split(/([-\s({[<]+)/u)
    .map((word) => capitalized(word))
    .join("");

function grouped(values: readonly Value[], size: number, fill: Value | undefined): Value[] {
  const groups: Value[][] = [];
  for (let at = 0; at < values.length; at += size) groups.push(values.slice(at, at + size));
  const last = groups.at(-1);
  if (fill !== undefined && fill !== null && last !== undefined) while (last.length < size) last.push(fill);
  return groups;
}

export type Filter = (value: Value, call: FilterCall) => Value;

export const FILTERS: Record<string, Filter> = {
  abs: (value) => {
    if (!isNumber(value)) throw new TemplateRuntimeError(`bad operand type for abs(): '${typeName(value)}'`);
    return value instanceof Float ? new Float(Math.abs(value.value)) : Math.abs(Number(value));
  },
  // Never an item: `{"a": 1} | attr("a")` is undefined.
  attr: (value, { args: [name = null], spend, attribute }) =>
    typeof name === "string" && value instanceof Map
      ? (method(value, name, spend) ?? new Undefined(`dict object has no attribute '${name}'`))
      : attribute(value, name),
  batch: (value, call) =>
    new Lazy(() => grouped(iterate(value), countOf(call, 0, "linecount"), argument(call, 1, "fill_with"))),
  capitalize: (value) => capitalized(toText(value)),
  center: (value, call) =>
    viaMethod(toText(value), "center", { ...call, args: [argument(call, 0, "width") ?? 80] }),
  count: (value) => lengthOf(value),
  default: (value, call) =>
    value instanceof Undefined || (flag(call, 1, "boolean") && !isTrue(value))
      ? (argument(call, 0, "default_value") ?? "")
      : value,
  dictsort: (value, call) => {
    if (!(value instanceof Map))
      throw new TemplateRuntimeError(`'${typeName(value)}' object has no attribute 'items'`);
    const at = argument(call, 1, "by") === "value" ? 1 : 0;
    const items: Value[] = [...value].map((pair) => tuple(pair));
    const caseSensitive = flag(call, 0, "case_sensitive");
    const key = (item: Value): Value => {
      const found = (item as Tuple)[at];
      return caseSensitive ? found : ignoringCase(found);
    };
    return sorted(items, key, flag(call, 2, "reverse"));
  },
  escape: escaped,
  first: (value) => at(iterate(value), 0, "No first item, sequence was empty."),
  float: (value, call) => real(bare(value), argument(call, 0, "default") ?? new Float(0)),
  format: (value, { args, named, spend }) =>
    percent(toText(value), named.size > 0 ? named : tuple(args), spend),
  groupby: (value, call) => {
    const path = argument(call, 0, "attribute");
    const key = (item: Value): Value => ignoringCase(part(item, path, call, argument(call, 1, "default")));
    const groups: { key: Value; first: Value; items: Value[] }[] = [];
    for (const item of sorted(iterate(value), key, false)) {
      const last = groups.at(-1);
      if (last !== undefined && isEqual(last.key, key(item))) last.items.push(item);
      else groups.push({ key: key(item), first: part(item, path, call), items: [item] });
    }
    return groups.map(({ first, items }) => {
      return Group.of(first, items);
    });
  },
  indent: indented,
  int: (value, call) => whole(bare(value), argument(call, 0, "default") ?? 0, numberOf(call, 1, "base", 10)),
  items: (value) => {
    if (value instanceof Undefined) return new Lazy(() => []);
    if (value instanceof Map) return new Lazy(() => [...value].map((pair) => tuple(pair)));
    throw new TemplateRuntimeError("Can only get item pairs from a mapping.");
  },
  join: (value, call) => {
    const between = toText(argument(call, 0, "d") ?? "");
    const texts = iterate(value).map((item) => toText(part(item, argument(call, 1, "attribute"), call)));
    call.spend(texts.reduce((sum, text) => sum + text.length + between.length, 0));
    return texts.join(between);
  },
  last: (value) => at(iterate(value), -1, "No last item, sequence was empty."),
  length: (value) => lengthOf(value),
  list: (value) => [...iterate(value)],
  lower: (value) => toText(value).toLowerCase(),
  map: (value, call) => {
    const path = call.named.get("attribute");
    if (call.args.length === 0 && path !== undefined)
      return new Lazy(() => over(value).map((item) => part(item, path, call, call.named.get("default"))));
    const [name, ...args] = call.args;
    if (name === undefined) throw new TemplateRuntimeError("map requires a filter argument");
    return new Lazy(() =>
      over(value).map((item) => call.filter(toText(name), item, { args, named: call.named })),
    );
  },
  max: extreme(1),
  min: extreme(-1),
  reject: select(false, false),
  rejectattr: select(false, true),
  replace: (value, call) => {
    const count = argument(call, 2, "count") ?? null;
    const [from, to] = [argument(call, 0, "old"), argument(call, 1, "new")];
    if (from === undefined || to === undefined)
      throw new TemplateRuntimeError("replace needs an old and a new text");
    const most = count !== null && isNumber(count) ? asNumber(count) : -1;
    return replaceText(toText(value), toText(from), toText(to), most, call.spend);
  },
  reverse: (value) => (typeof value === "string" ? [...value].reverse().join("") : reversed(value)),
  round: (value, call) =>
    rounded(value, numberOf(call, 0, "precision", 0), argument(call, 1, "method") ?? "common"),
  safe: (value) => new Markup(toText(value)),
  select: select(true, false),
  selectattr: select(true, true),
  slice: (value, call) => {
    const values = iterate(value);
    const count = countOf(call, 0, "slices");
    const fill = argument(call, 1, "fill_with") ?? null;
    const [each, more] = [Math.floor(values.length / count), values.length % count];
    const parts = Array.from({ length: count }, (_, i) => {
      const from = i * each + Math.min(i, more);
      const items = values.slice(from, from + each + (i < more ? 1 : 0));
      return fill !== null && i >= more && more > 0 ? [...items, fill] : items;
    });
    return new Lazy(() => parts);
  },
  sort: (value, call) =>
    sorted(
      iterate(value),
      sortKey(call, argument(call, 2, "attribute"), flag(call, 1, "case_sensitive")),
      flag(call, 0, "reverse"),
    ),
  string: (value) => (value instanceof Markup ? value : toText(value)),
  sum: (value, call) => {
    const numbers = iterate(value).map((item) => part(item, argument(call, 0, "attribute"), call));
    let [sum, isFloat] = [0, false];
    for (const one of [argument(call, 1, "start") ?? 0, ...numbers]) {
      if (one instanceof Undefined) throw missing(one);
      if (!isNumber(one))
        throw new TemplateRuntimeError(`unsupported operand type(s) for +: 'int' and '${typeName(one)}'`);
      sum += asNumber(one);
      isFloat ||= one instanceof Float;
    }
    return isFloat ? new Float(sum) : sum;
  },
  title: (value) => titled(toText(value)),
  tojson: (value, call) =>
    toJson(
      value,
      jsonOptions((at, name) => argument(call, at, name)),
      call.spend,
    ),
  trim: (value, call) => stripped(toText(value), argument(call, 0, "chars"), "both"),
  truncate: truncated,
  unique: (value, call) => {
    const key = sortKey(call, argument(call, 1, "attribute"), flag(call, 0, "case_sensitive"));
    const seen: Value[] = [];
    const items = iterate(value).filter((item) => {
      const one = key(item);
      if (seen.some((known) => isEqual(known, one))) return false;
      seen.push(one);
      return true;
    });
    return new Lazy(() => items);
  },
  upper: (value) => toText(value).toUpperCase(),
  wordcount: (value) => toText(value).match(/[\p{L}\p{N}_]+/gu)?.length ?? 0,
};
FILTERS.d = FILTERS.default;
FILTERS.e = FILTERS.escape;
FILTERS.forceescape = FILTERS.escape;

TESTS.filter = (name) => Object.hasOwn(FILTERS, toText(name));
TESTS.test = (name) => Object.hasOwn(TESTS, toText(name));

const at = (items: readonly Value[], index: number, otherwise: string): Value => {
  const item = items.at(index);
  return item === undefined ? new Undefined(otherwise) : item;
};

/** Names of the filters that return a marked text as it is. */
export const KEEPS_MARKUP = /^(default|d|escape|e|forceescape|safe|string)$/;

function lengthOf(value: Value): number {
  if (value instanceof Map) return value.size;
  if (value instanceof Undefined) return 0;
  if (typeof value === "string") return characterCount(value);
  if (Array.isArray(value)) return value.length;
  throw new TemplateRuntimeError(`object of type '${typeName(value)}' has no len()`);
}

function countOf(call: FilterCall, at: number, name: string): number {
  const count = argument(call, at, name);
  if (count !== undefined && isNumber(count) && asNumber(count) >= 1) {
    call.spend(asNumber(count));
    return asNumber(count);
  }
  throw new TemplateRuntimeError(`${name} is a whole number from 1`);
}

function viaMethod(value: string, name: string, { args, named, spend }: Call): Value {
  return method(value, name, spend)?.call([...args], named) ?? value;
}
