/** Python's operators on a template's values. */
import { percent, toText } from "./text.ts";
import {
  asNumber,
  compare,
  contains,
  Float,
  isEqual,
  isNumber,
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

/** @throws TemplateRuntimeError for operands that Python refuses */
export function binary(operator: string, a: Value, b: Value, spend: Spend): Value {
  switch (operator) {
    case "==":
      return isEqual(a, b);
    case "!=":
      return !isEqual(a, b);
    case "<":
      return compare(a, b) < 0;
    case "<=":
      return compare(a, b) <= 0;
    case ">":
      return compare(a, b) > 0;
    case ">=":
      return compare(a, b) >= 0;
    case "in":
      return contains(b, a);
    case "not in":
      return !contains(b, a);
    case "~": {
      // Marked or not: a chat is no HTML, so these are joined as they are.
      const text = toText(a) + toText(b);
      spend(text.length);
      return text;
    }
    default:
      return arithmetic(operator, a, b, spend);
  }
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
