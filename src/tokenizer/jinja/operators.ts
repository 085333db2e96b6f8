/** Python's operators on a template's values, and Jinja's tests (jinja2/tests.py): the names that may follow `is`. */
import { percent, toText } from "./text.ts";
import {
  asNumber,
  Callable,
  compare,
  contains,
  Float,
  isEqual,
  isNumber,
  keyOf,
  Lazy,
  Markup,
  missing,
  plain,
  slice,
  TemplateRuntimeError,
  Tuple,
  tuple,
  typeName,
  Undefined,
  type Value,
  View,
} from "./values.ts";

type Spend = (length: number) => void;

const COMPARISONS: Record<string, (a: Value, b: Value) => boolean> = {
  "==": isEqual,
  "!=": (a, b) => !isEqual(a, b),
  "<": (a, b) => compare(a, b) < 0,
  "<=": (a, b) => compare(a, b) <= 0,
  ">": (a, b) => compare(a, b) > 0,
  ">=": (a, b) => compare(a, b) >= 0,
  in: (a, b) => contains(b, a),
  "not in": (a, b) => !contains(b, a),
};

/** @throws TemplateRuntimeError for operands that Python refuses */
export function binary(operator: string, a: Value, b: Value, spend: Spend): Value {
  if (Object.hasOwn(COMPARISONS, operator)) return COMPARISONS[operator](a, b);
  if (operator !== "~") return arithmetic(operator, a, b, spend);
  // Marked or not, these are joined as they are: a chat is no HTML.
  const text = toText(a) + toText(b);
  spend(text.length);
  return text;
}

const ESCAPES: Record<string, string> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  "'": "&#39;",
  '"': "&#34;",
};

/** Its text for HTML, once. */
export const escaped = (value: Value): Markup =>
  value instanceof Markup
    ? value
    : new Markup(toText(value).replace(/[&<>'"]/g, (character) => ESCAPES[character]));

const isText = (value: Value): boolean => typeof value === "string" || value instanceof Markup;

function joined(a: Value, b: Value, spend: Spend): Value {
  const marked = a instanceof Markup || b instanceof Markup;
  const text = marked ? escaped(a).text + escaped(b).text : toText(a) + toText(b);
  spend(text.length);
  return marked ? new Markup(text) : text;
}

function arithmetic(operator: string, first: Value, second: Value, spend: Spend): Value {
  if (operator === "+" && isText(first) && isText(second)) return joined(first, second, spend);
  const [a, b] = [plain(first), plain(second)];
  if (operator === "%" && typeof a === "string") {
    const text = percent(a, b, spend);
    spend(text.length);
    return text;
  }
  for (const value of [a, b]) if (value instanceof Undefined) throw missing(value);
  if (isNumber(a) && isNumber(b)) return numeric(operator, a, b);
  if (operator === "+") {
    if (Array.isArray(a) && Array.isArray(b) && typeName(a) === typeName(b) && !(a instanceof View)) {
      spend(ENTRY * (a.length + b.length));
      return a instanceof Tuple ? tuple([...a, ...b]) : [...a, ...b];
    }
  }
  const [times, other] = isNumber(a) ? [a, b] : [b, a];
  if (operator === "*" && isNumber(times) && !(times instanceof Float)) {
    const count = Math.max(0, asNumber(times));
    if (typeof other === "string") {
      spend(count * other.length);
      return other.repeat(count);
    }
    if (Array.isArray(other) && !(other instanceof View)) {
      spend(ENTRY * count * other.length);
      const items = Array.from({ length: count }, () => [...other]).flat();
      return other instanceof Tuple ? tuple(items) : items;
    }
  }
  throw new TemplateRuntimeError(
    `unsupported operand type(s) for ${operator}: '${typeName(a)}' and '${typeName(b)}'`,
  );
}

/** Characters that an entry of a list weighs as much as. */
const ENTRY = 8;

function numeric(operator: string, left: number | boolean | Float, right: number | boolean | Float): Value {
  const [a, b] = [asNumber(left), asNumber(right)];
  if (b === 0 && ["/", "//", "%"].includes(operator)) throw new TemplateRuntimeError("division by zero");
  const operators: Record<string, () => number> = {
    "+": () => a + b,
    "-": () => a - b,
    "*": () => a * b,
    "/": () => a / b,
    "//": () => Math.floor(a / b),
    "%": () => a - b * Math.floor(a / b),
    "**": () => a ** b,
  };
  const result = operators[operator]?.();
  if (result === undefined) throw new TemplateRuntimeError(`unknown operator ${operator}`);
  const isFloat =
    left instanceof Float || right instanceof Float || operator === "/" || (operator === "**" && b < 0);
  return isFloat ? new Float(result) : result;
}

export function sign(operator: string, value: Value): Value {
  if (value instanceof Undefined) throw missing(value);
  if (!isNumber(value))
    throw new TemplateRuntimeError(`bad operand type for unary ${operator}: '${typeName(value)}'`);
  const number = operator === "-" ? -asNumber(value) : asNumber(value);
  return value instanceof Float ? new Float(number) : number + 0;
}

/** `value[start:stop:step]`, of a text or a list. */
export function sliced(value: Value, ends: readonly Value[], spend: Spend): Value {
  const [start, stop, step] = ends.map((one) => {
    if (one === null || (isNumber(one) && !(one instanceof Float)))
      return one === null ? null : asNumber(one);
    throw new TemplateRuntimeError("slice indices must be integers or None");
  });
  if (value instanceof Undefined) throw missing(value);
  if (typeof value === "string") {
    const text = slice([...value], start, stop, step).join("");
    spend(text.length);
    return text;
  }
  if (!Array.isArray(value) || (value instanceof View && !value.isIndexed))
    throw new TemplateRuntimeError(`'${typeName(value)}' object is not subscriptable`);
  const items = slice(value, start, stop, step);
  spend(items.length);
  return value instanceof Tuple ? tuple(items) : items;
}

export type Test = (value: Value, args: readonly Value[]) => boolean;

const remainder = (value: Value, by: Value): number => {
  if (isNumber(value) && isNumber(by) && asNumber(by) !== 0) return asNumber(value) % asNumber(by);
  throw new TemplateRuntimeError(
    isNumber(value) && isNumber(by)
      ? "integer modulo by zero"
      : `unsupported operand type(s) for %: '${typeName(value)}' and '${typeName(by)}'`,
  );
};
const isContainer = (value: Value): boolean =>
  typeof value === "string" || Array.isArray(value) || value instanceof Map;
export const TESTS: Record<string, Test> = {
  boolean: (value) => typeof value === "boolean",
  callable: (value) => value instanceof Callable,
  defined: (value) => !(value instanceof Undefined),
  divisibleby: (value, [by]) => remainder(value, by) === 0,
  even: (value) => remainder(value, 2) === 0,
  escaped: () => false,
  false: (value) => value === false,
  float: (value) => value instanceof Float,
  integer: (value) => typeof value === "number",
  iterable: (value) => isContainer(value) || value instanceof Undefined || value instanceof Lazy,
  lower: (value) =>
    toText(value) !== toText(value).toUpperCase() && toText(value) === toText(value).toLowerCase(),
  mapping: (value) => value instanceof Map,
  none: (value) => value === null,
  number: isNumber,
  odd: (value) => Math.abs(remainder(value, 2)) === 1,
  // Texts and small numbers that are equal are one object in Python.
  sameas: (value, [other]) =>
    typeof value === "object" && value !== null
      ? value === other
      : typeName(value) === typeName(other) && keyOf(value) === keyOf(other),
  sequence: (value) =>
    (isContainer(value) && !(value instanceof View && !value.isIndexed)) || value instanceof Undefined,
  string: (value) => typeof value === "string",
  true: (value) => value === true,
  undefined: (value) => value instanceof Undefined,
  upper: (value) =>
    toText(value) !== toText(value).toLowerCase() && toText(value) === toText(value).toUpperCase(),
};

const COMPARING_TESTS: Record<string, readonly string[]> = {
  ...{ "==": ["eq", "equalto"], "!=": ["ne"], "<": ["lt", "lessthan"], "<=": ["le"] },
  ...{ ">": ["gt", "greaterthan"], ">=": ["ge"], in: [] },
};
for (const [operator, names] of Object.entries(COMPARING_TESTS))
  for (const name of [operator, ...names])
    TESTS[name] = (value, [other]) => COMPARISONS[operator](value, other);
