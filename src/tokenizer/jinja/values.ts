/** A template's values, which behave like Python's: their types, truth, equality, order and membership. */

/** Inside a regular expression's class: what Python's `str.isspace` and `\s` mean. */
export const PYTHON_SPACE =
  "\\t-\\r\\x1C-\\x20\\x85\\xA0\\u1680\\u2000-\\u200A\\u2028\\u2029\\u202F\\u205F\\u3000";

/** Integers are JavaScript's numbers; a float is marked, since `1.0` is written otherwise than `1`. */
export class Float {
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
}

/** An array whose `slice`, `map` and the like return plain lists. */
class Fixed extends Array<Value> {
  static override get [Symbol.species](): ArrayConstructor {
    return Array;
  }
}

export class Tuple extends Fixed {}

/** A pair of `groupby`, whose parts have names. */
export class Group extends Tuple {}

/** A `range`, or the `keys`, `values` or `items` of a dictionary, which cannot be indexed. */
export class View extends Fixed {
  kind = "";
  /** Its text, if that is no list of its items. */
  text: string | null = null;
  get isIndexed(): boolean {
    return this.kind === "range";
  }
}

export function view(kind: string, items: readonly Value[], text: string | null = null): View {
  return Object.assign(View.from(items) as View, { kind, text });
}

export function tuple(items: readonly Value[]): Tuple {
  return Tuple.from(items) as Tuple;
}

/** The result of a lookup that found nothing. */
export class Undefined {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

export class Namespace {
  readonly fields: Map<string, Value>;
  constructor(fields: Map<string, Value>) {
    this.fields = fields;
  }
}

/** What `loop` is in a loop: its numbers, and for one that is recursive the way to run it again over other items. */
export class Loop extends Namespace {
  readonly again: ((items: Value) => string) | null;
  constructor(fields: Map<string, Value>, again: Loop["again"]) {
    super(fields);
    this.again = again;
  }
}

export type Named = Map<string, Value>;

/** A text marked by `safe`: text joined to it is escaped for HTML, in chats too. */
export class Markup {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

export const plain = (value: Value): Value => (value instanceof Markup ? value.text : value);

/** The result of `map`, `select` and their like, a generator: it is read once, and has no length and no text. */
export class Lazy {
  private items: () => readonly Value[];
  constructor(items: () => readonly Value[]) {
    this.items = items;
  }
  take(): readonly Value[] {
    const { items } = this;
    this.items = () => [];
    return items();
  }
}

export class Callable {
  readonly call: (args: Value[], named: Named) => Value;
  constructor(call: (args: Value[], named: Named) => Value) {
    this.call = call;
  }
}

export type Value =
  | string
  | number
  | boolean
  | null
  | Float
  | Undefined
  | Namespace
  | Markup
  | Lazy
  | Callable
  | Value[]
  | Map<Value, Value>;

/** An error that Python or Jinja would raise here. */
export class TemplateRuntimeError extends Error {}

export function fromJs(value: unknown): Value {
  switch (typeof value) {
    case "string":
    case "boolean":
      return value;
    case "number":
      return Number.isInteger(value) ? value : new Float(value);
    case "function":
      return new Callable((args) => fromJs(value(...args)));
    case "object":
      if (value === null || value instanceof Callable) return value;
      if (Array.isArray(value)) return value.map(fromJs);
      return new Map(
        Object.entries(value).flatMap(([key, one]): [Value, Value][] =>
          // A field without a value is not there, as in JSON.
          one === undefined ? [] : [[key, fromJs(one)]],
        ),
      );
    default:
      return new Undefined("undefined");
  }
}

export const isNumber = (value: Value): value is number | boolean | Float =>
  typeof value === "number" || typeof value === "boolean" || value instanceof Float;

export const asNumber = (value: number | boolean | Float): number =>
  value instanceof Float ? value.value : Number(value);

export function typeName(value: Value): string {
  if (value === null) return "NoneType";
  if (typeof value === "string") return "str";
  if (typeof value === "boolean") return "bool";
  if (typeof value === "number") return "int";
  if (value instanceof Float) return "float";
  if (value instanceof Tuple) return "tuple";
  if (value instanceof View) return value.kind;
  if (Array.isArray(value)) return "list";
  if (value instanceof Map) return "dict";
  if (value instanceof Undefined) return "Undefined";
  if (value instanceof Markup) return "Markup";
  if (value instanceof Lazy) return "generator";
  return value instanceof Namespace ? "Namespace" : "function";
}

export const missing = ({ name }: Undefined): TemplateRuntimeError =>
  new TemplateRuntimeError(`'${name}' is undefined`);

export function isTrue(value: Value): boolean {
  if (value === null || value instanceof Undefined) return false;
  if (isNumber(value)) return asNumber(value) !== 0;
  if (typeof value === "string" || Array.isArray(value)) return value.length > 0;
  if (value instanceof Markup) return value.text !== "";
  return !(value instanceof Map) || value.size > 0;
}

export function isEqual(left: Value, right: Value): boolean {
  const [a, b] = [plain(left), plain(right)];
  if (isNumber(a) && isNumber(b)) return asNumber(a) === asNumber(b);
  if (a instanceof Undefined && b instanceof Undefined) return true;
  if (Array.isArray(a) && Array.isArray(b))
    return typeName(a) === typeName(b) && a.length === b.length && a.every((item, i) => isEqual(item, b[i]));
  if (a instanceof Map && b instanceof Map)
    return (
      a.size === b.size && [...a].every(([key, item]) => b.has(key) && isEqual(item, b.get(key) as Value))
    );
  return a === b;
}

/** Below, above or equal: -1, 1, 0. @throws TemplateRuntimeError for values without an order */
export function compare(left: Value, right: Value): number {
  const [a, b] = [plain(left), plain(right)];
  if (isNumber(a) && isNumber(b)) return Math.sign(asNumber(a) - asNumber(b));
  if (typeof a === "string" && typeof b === "string") return compareTexts(a, b);
  if (Array.isArray(a) && Array.isArray(b) && typeName(a) === typeName(b)) {
    for (let i = 0; i < Math.min(a.length, b.length); i++)
      if (!isEqual(a[i], b[i])) return compare(a[i], b[i]);
    return Math.sign(a.length - b.length);
  }
  for (const value of [a, b]) if (value instanceof Undefined) throw missing(value);
  throw new TemplateRuntimeError(
    `'<' not supported between instances of '${typeName(a)}' and '${typeName(b)}'`,
  );
}

/** By code points, as Python orders texts. */
function compareTexts(a: string, b: string): number {
  if (a === b) return 0;
  const [left, right] = [[...a], [...b]];
  const at = left.findIndex((character, i) => character !== right[i]);
  if (at < 0) return -1;
  if (right[at] === undefined) return 1;
  return (left[at].codePointAt(0) as number) < (right[at].codePointAt(0) as number) ? -1 : 1;
}

/** Of a text: a pair of surrogates is one. */
export function characterCount(text: string): number {
  let count = 0;
  for (let at = 0; at < text.length; count++) at += (text.codePointAt(at) as number) > 0xffff ? 2 : 1;
  return count;
}

/** The items that `for` loops over. */
export function iterate(value: Value): readonly Value[] {
  if (Array.isArray(value)) return value;
  if (typeof value === "string") return [...value];
  if (value instanceof Map) return [...value.keys()];
  if (value instanceof Undefined) return [];
  if (value instanceof Lazy) return value.take();
  if (value instanceof Markup) return [...value.text];
  throw new TemplateRuntimeError(`'${typeName(value)}' object is not iterable`);
}

export function contains(holder: Value, member: Value): boolean {
  const [container, item] = [plain(holder), plain(member)];
  if (typeof container === "string") {
    if (typeof item === "string") return container.includes(item);
    throw new TemplateRuntimeError(`'in <string>' requires string as left operand, not ${typeName(item)}`);
  }
  if (container instanceof Map) return container.has(keyOf(item));
  return iterate(container).some((one) => isEqual(one, item));
}

/** A dictionary's key: 1, 1.0 and True are one. */
export function keyOf(key: Value): Value {
  const value = plain(key);
  if (isNumber(value)) return asNumber(value);
  if (Array.isArray(value) && !(value instanceof Tuple))
    throw new TemplateRuntimeError("unhashable type: 'list'");
  if (value instanceof Map) throw new TemplateRuntimeError("unhashable type: 'dict'");
  return value;
}

/** `sequence[start:stop:step]`. */
export function slice<T>(
  items: readonly T[],
  start: number | null,
  stop: number | null,
  step: number | null,
): T[] {
  const by = step ?? 1;
  if (by === 0) throw new TemplateRuntimeError("slice step cannot be zero");
  const [low, high] = by > 0 ? [0, items.length] : [-1, items.length - 1];
  const at = (index: number | null, otherwise: number): number =>
    index === null ? otherwise : Math.min(high, Math.max(low, index < 0 ? index + items.length : index));
  const end = at(stop, by > 0 ? high : low);
  const result: T[] = [];
  for (let i = at(start, by > 0 ? low : high); by > 0 ? i < end : i > end; i += by) result.push(items[i]);
  return result;
}
