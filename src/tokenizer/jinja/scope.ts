/** Where a template's names are found. */
import type { Node } from "./syntax.ts";
import {
  Callable,
  isEqual,
  Loop,
  type Named,
  TemplateRuntimeError,
  tuple,
  Undefined,
  type Value,
} from "./values.ts";

export const CONSTANTS: Readonly<Record<string, Value>> = {
  ...{ true: true, True: true, false: false, False: false, none: null, None: null },
};

/** Names of one block; what is set in a loop or a macro stays in it. */
export class Scope {
  readonly names = new Map<string, Value>();
  readonly parent: Scope | null;
  constructor(parent: Scope | null) {
    this.parent = parent;
  }
  find(name: string): Value {
    for (let scope: Scope | null = this; scope !== null; scope = scope.parent) {
      const value = scope.names.get(name);
      if (value !== undefined) return value;
    }
    return new Undefined(name);
  }
}

/** Whether a name is used anywhere in a part of the tree. */
function mentions(part: unknown, name: string): boolean {
  if (typeof part !== "object" || part === null) return false;
  if (part instanceof Map) return mentions([...part.keys(), ...part.values()], name);
  const { type, value } = part as { type?: unknown; value?: unknown };
  if (type === "Identifier") return value === name;
  return Object.values(part).some((one) => mentions(one, name));
}

/** `loop` in the turns over `items`, at a depth of recursive loops. */
export function loopVariables(
  items: readonly Value[],
  depth: number,
  again: Loop["again"],
): (turn: number) => Loop {
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

/**
 * Puts a macro's arguments into its scope and returns the defaults that are still to be evaluated there, in order.
 * What is left over goes to `varargs`, `kwargs` and `caller`, for a macro that uses them.
 */
export function macroBinder(
  name: string,
  parameters: readonly Node[],
  body: readonly Node[],
): (args: readonly Value[], named: Named, scope: Scope) => [string, Node][] {
  const uses = (special: string): boolean => mentions([parameters, body], special);
  const [varargs, kwargs, caller] = [uses("varargs"), uses("kwargs"), uses("caller")];
  return (args, named, scope) => {
    const left = new Map(named);
    if (caller && left.has("caller")) {
      scope.names.set("caller", left.get("caller") as Value);
      left.delete("caller");
    }
    const defaults: [string, Node][] = [];
    for (const [i, parameter] of parameters.entries()) {
      const hasDefault = parameter.type === "KeywordArgumentExpression";
      const { value: word } = (hasDefault ? parameter.key : parameter) as { value: string };
      const value = i < args.length ? args[i] : left.get(word);
      if (i >= args.length) left.delete(word);
      if (value !== undefined) scope.names.set(word, value);
      else if (hasDefault) defaults.push([word, parameter.value as Node]);
      else scope.names.set(word, new Undefined(`parameter ${word} was not provided`));
    }
    if (kwargs) scope.names.set("kwargs", new Map(left));
    else
      for (const word of left.keys())
        throw new TemplateRuntimeError(`macro '${name}' takes no keyword argument '${word}'`);
    if (varargs) scope.names.set("varargs", tuple(args.slice(parameters.length)));
    else if (args.length > parameters.length)
      throw new TemplateRuntimeError(`macro '${name}' takes not more than ${parameters.length} argument(s)`);
    return defaults;
  };
}
