/** A template's run: the text so far, the names of each block, and lookups in a sandbox that changes no value. */
import { FILTERS, KEEPS_MARKUP } from "./filters.ts";
import { method } from "./methods.ts";
import {
  asNumber,
  Callable,
  Float,
  Group,
  isEqual,
  isNumber,
  isTrue,
  iterate,
  keyOf,
  Loop,
  missing,
  type Named,
  Namespace,
  plain,
  TemplateRuntimeError,
  tuple,
  typeName,
  Undefined,
  type Value,
  View,
} from "./values.ts";

/** A template's parts, compiled: statements, expressions, targets of assignments, filters and the arguments of a call. */
export type Execute = (scope: Scope) => void;
export type Evaluate = (scope: Scope) => Value;
export type Assign = (scope: Scope, value: Value) => void;
export type Filtering = (scope: Scope, value: Value) => Value;
export type Arguments = (scope: Scope) => { args: Value[]; named: Named };

/** Of a macro. */
export interface Parameter {
  name: string;
  /** Its default. */
  fallback: Evaluate | null;
}

export class Break extends Error {}
export class Continue extends Error {}

/** The names of one block; names that are set in a loop or a macro end with it. */
export class Scope {
  readonly names = new Map<string, Value>();
  readonly run: TemplateRun;
  readonly #parent: Scope | null;

  constructor(run: TemplateRun, parent: Scope | null) {
    this.run = run;
    this.#parent = parent;
  }

  find(name: string): Value {
    const value = this.names.get(name);
    if (value !== undefined) return value;
    return this.#parent === null ? new Undefined(name) : this.#parent.find(name);
  }

  /** The text of a block in a new scope. */
  inside(block: Execute): string {
    return this.run.capture(() => block(new Scope(this.run, this)));
  }
}

/** A `for` tag and its block. */
export interface Loops {
  target: Assign;
  filter: Evaluate | null;
  body: Execute;
  otherwise: Execute;
  recursive: boolean;
}

type Given = ReturnType<Arguments>;

export class TemplateRun {
  /** The template's line that runs now. */
  line = 1;
  /** Hears of every character and entry that is built, and may throw. */
  readonly spend: (length: number) => void;
  #out: string[] = [];

  constructor(spend: (length: number) => void) {
    this.spend = spend;
  }

  write(text: string): void {
    this.spend(text.length);
    this.#out.push(text);
  }

  capture(run: () => void): string {
    const [before, own] = [this.#out, [] as string[]];
    this.#out = own;
    try {
      run();
    } finally {
      // A `break` in the block may end a loop outside of it, which still writes to `before`.
      this.#out = before;
    }
    const text = own.join("");
    this.spend(text.length);
    return text;
  }

  loop(all: readonly Value[], loops: Loops, scope: Scope, depth = 0): void {
    const { target, filter, body, otherwise, recursive } = loops;
    const items = all.filter((item) => {
      if (filter === null) return true;
      const inner = new Scope(this, scope);
      target(inner, item);
      return isTrue(filter(inner));
    });
    this.spend(items.length);
    if (items.length === 0) otherwise(new Scope(this, scope));
    const again = (next: Value): string =>
      this.capture(() => this.loop(iterate(next), loops, scope, depth + 1));
    const variables = loopVariables(items, depth, recursive ? again : null);
    for (const [i, item] of items.entries()) {
      const inner = new Scope(this, scope);
      inner.names.set("loop", variables(i));
      target(inner, item);
      try {
        body(inner);
      } catch (error) {
        if (error instanceof Break) return;
        if (!(error instanceof Continue)) throw error;
      }
    }
  }

  /** `object.name`: a method first, then an item; a name with a leading underscore is never a method. */
  readonly attribute = (of: Value, name: Value): Value => {
    const object = plain(of);
    if (object instanceof Undefined) throw missing(object);
    if (typeof name !== "string") return this.item(object, name);
    if (object instanceof Group && (name === "grouper" || name === "list"))
      return object[name === "list" ? 1 : 0];
    if (!name.startsWith("_")) {
      const known = object instanceof Namespace ? object.fields.get(name) : method(object, name, this.spend);
      if (known !== undefined) return known;
    }
    const found = object instanceof Map ? object.get(name) : undefined;
    return found === undefined
      ? new Undefined(`${typeName(object)} object has no attribute '${name}'`)
      : found;
  };

  /** `object[key]`: an item first, then a method. */
  item(of: Value, key: Value): Value {
    const object = plain(of);
    if (object instanceof Undefined) throw missing(object);
    const indexed =
      typeof object === "string" || (Array.isArray(object) && !(object instanceof View && !object.isIndexed));
    if (indexed && isNumber(key) && !(key instanceof Float)) {
      const items = typeof object === "string" ? [...object] : object;
      const item = items.at(asNumber(key));
      return item === undefined
        ? new Undefined(`${typeName(object)} object has no element ${asNumber(key)}`)
        : item;
    }
    const found = object instanceof Map ? object.get(keyOf(key)) : undefined;
    if (found !== undefined) return found;
    return typeof key === "string"
      ? this.attribute(object, key)
      : new Undefined(`${typeName(object)} object has no such element`);
  }

  readonly filter = (name: string, value: Value, { args, named }: Given): Value => {
    if (!Object.hasOwn(FILTERS, name)) throw new TemplateRuntimeError(`No filter named '${name}'.`);
    const { spend, attribute, filter } = this;
    const operand = KEEPS_MARKUP.test(name) ? value : plain(value);
    return this.#counted(FILTERS[name](operand, { args, named, spend, attribute, filter }));
  };

  call(callee: Value, { args, named }: Given): Value {
    if (callee instanceof Loop && callee.again !== null) return callee.again(args[0] ?? null);
    if (callee instanceof Undefined) throw missing(callee);
    if (callee instanceof Callable) return this.#counted(callee.call(args, named));
    throw new TemplateRuntimeError(`'${typeName(callee)}' object is not callable`);
  }

  #counted(value: Value): Value {
    if (typeof value === "string" || Array.isArray(value)) this.spend(value.length);
    return value;
  }
}

/** `loop` in the turns over `items`, at a depth of recursive loops. */
function loopVariables(items: readonly Value[], depth: number, again: Loop["again"]): (turn: number) => Loop {
  let last: Value[] | null = null;
  const changed = new Callable((args) => {
    const same = last !== null && isEqual(tuple(last), tuple(args));
    last = args;
    return !same;
  });
  return (i) =>
    new Loop(
      new Map<string, Value>([
        ["index", i + 1],
        ["index0", i],
        ["revindex", items.length - i],
        ["revindex0", items.length - i - 1],
        ["first", i === 0],
        ["last", i === items.length - 1],
        ["length", items.length],
        ["previtem", i > 0 ? items[i - 1] : new Undefined("there is no previous item")],
        ["nextitem", i + 1 < items.length ? items[i + 1] : new Undefined("there is no next item")],
        ["depth", depth + 1],
        ["depth0", depth],
        ["cycle", new Callable((args) => args[i % args.length])],
        ["changed", changed],
      ]),
      again,
    );
}

export interface MacroParts {
  name: string;
  parameters: readonly Parameter[];
  body: Execute;
  /** Names that the macro looks up. */
  mentioned: ReadonlySet<string>;
}

/**
 * A macro that sees the names of the scope that defines it. Arguments without a parameter go to `varargs`, `kwargs` and
 * `caller`, if the macro mentions these names.
 */
export function macro({ name, parameters, body, mentioned }: MacroParts, outer: Scope): Callable {
  return new Callable((args, named) => {
    const { run } = outer;
    const scope = new Scope(run, outer);
    const left = new Map(named);
    if (mentioned.has("caller") && left.has("caller")) {
      scope.names.set("caller", left.get("caller") as Value);
      left.delete("caller");
    }
    const defaults: [string, Evaluate][] = [];
    for (const [i, { name: word, fallback }] of parameters.entries()) {
      const value = i < args.length ? args[i] : left.get(word);
      if (i >= args.length) left.delete(word);
      if (value !== undefined) scope.names.set(word, value);
      else if (fallback !== null) defaults.push([word, fallback]);
      else scope.names.set(word, new Undefined(`parameter ${word} was not provided`));
    }
    if (mentioned.has("kwargs")) scope.names.set("kwargs", new Map(left));
    else
      for (const word of left.keys())
        throw new TemplateRuntimeError(`macro '${name}' takes no keyword argument '${word}'`);
    if (mentioned.has("varargs")) scope.names.set("varargs", tuple(args.slice(parameters.length)));
    else if (args.length > parameters.length)
      throw new TemplateRuntimeError(`macro '${name}' takes not more than ${parameters.length} argument(s)`);
    for (const [word, fallback] of defaults) scope.names.set(word, fallback(scope));
    const { line } = run;
    const text = run.capture(() => body(scope));
    run.line = line;
    return text;
  });
}
