/** Runs a template's tree as Jinja 3 would, in a sandbox that changes nothing and counts every character it builds. */
import { FILTERS, KEEPS_MARKUP, test } from "./filters.ts";
import { method } from "./methods.ts";
import { binary, sign, sliced } from "./operators.ts";
import { CONSTANTS, loopVariables, macroBinder, Scope } from "./scope.ts";
import type { Node } from "./syntax.ts";
import { BLOCK, GROUP, RECURSIVE, TUPLE } from "./tags.ts";
import { toText } from "./text.ts";
import {
  asNumber,
  Callable,
  Float,
  Group,
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

class Break extends Error {}
class Continue extends Error {}

export class TemplateRun {
  /** Where it is, of the template's lines. */
  line = 1;
  private out: string[] = [];
  private readonly spend: (length: number) => void;
  private readonly globals: Scope;

  /** `spend` hears of every character and entry that is built, and may throw. */
  constructor(globals: ReadonlyMap<string, Value>, spend: (length: number) => void) {
    this.spend = spend;
    this.globals = new Scope(null);
    for (const [name, value] of globals) this.globals.names.set(name, value);
    this.globals.names.set(GROUP, new Callable(([value]) => value));
    this.globals.names.set(TUPLE, new Callable((items) => tuple(items)));
  }

  define(name: string, value: Value): void {
    this.globals.names.set(name, value);
  }

  render(program: Node): string {
    return this.capture(() => this.block(program.body as Node[], new Scope(this.globals)));
  }

  private capture(run: () => void): string {
    const [before, own] = [this.out, [] as string[]];
    this.out = own;
    try {
      run();
    } finally {
      // A loop outside goes on, or ends: what it wrote before stays.
      this.out = before;
    }
    const text = own.join("");
    this.spend(text.length);
    return text;
  }

  private write(text: string): void {
    this.spend(text.length);
    this.out.push(text);
  }

  private block(nodes: readonly Node[], scope: Scope): void {
    for (const node of nodes) this.statement(node, scope);
  }

  private statement(node: Node, scope: Scope): void {
    switch (node.type) {
      case "Comment":
        this.line = Number(node.value);
        return;
      case "If":
        this.block(
          (isTrue(this.value(node.test as Node, scope)) ? node.body : node.alternate) as Node[],
          scope,
        );
        return;
      case "For":
        this.loop(node, scope);
        return;
      case "Set":
        this.set(node, scope);
        return;
      case "Macro": {
        const { value: name } = node.name as { value: string };
        scope.names.set(name, this.macro(name, node.args as Node[], node.body as Node[], scope));
        return;
      }
      case "CallStatement": {
        const { callee, args } = node.call as Node;
        if ((callee as Node).value === BLOCK) {
          const inner = new Scope(scope);
          for (const [i, { value: name }] of ((node.callerArgs ?? []) as Node[]).entries())
            inner.names.set(name as string, this.value((args as Node[])[i], scope));
          this.block(node.body as Node[], inner);
          return;
        }
        const caller = this.macro("caller", (node.callerArgs ?? []) as Node[], node.body as Node[], scope);
        const [given, named] = this.arguments(args as Node[], scope);
        named.set("caller", caller);
        this.write(toText(this.call(this.value(callee as Node, scope), given, named)));
        return;
      }
      case "Break":
        throw new Break();
      case "Continue":
        throw new Continue();
      default:
        this.write(toText(this.value(node, scope)));
        return;
    }
  }

  private loop(node: Node, scope: Scope): void {
    const { type, test: chosen, lhs } = node.iterable as Node;
    const filter = type === "SelectExpression" ? (chosen as Node) : null;
    const given = (filter === null ? node.iterable : lhs) as Node;
    const recursive = (given.callee as Node | undefined)?.value === RECURSIVE;
    const over = this.value(recursive ? (given.args as Node[])[0] : given, scope);
    this.turns(iterate(over), 0, { node, scope, filter, recursive });
  }

  private turns(
    all: readonly Value[],
    depth: number,
    loop: { node: Node; scope: Scope; filter: Node | null; recursive: boolean },
  ): void {
    const { node, scope, filter, recursive } = loop;
    const items = all.filter((item) => {
      if (filter === null) return true;
      const inner = new Scope(scope);
      this.assign(node.loopvar as Node, item, inner);
      return isTrue(this.value(filter, inner));
    });
    this.spend(items.length);
    if (items.length === 0) this.block(node.defaultBlock as Node[], new Scope(scope));
    const again = (next: Value): string => this.capture(() => this.turns(iterate(next), depth + 1, loop));
    const loops = loopVariables(items, depth, recursive ? again : null);
    for (const [i, item] of items.entries()) {
      const inner = new Scope(scope);
      inner.names.set("loop", loops(i));
      this.assign(node.loopvar as Node, item, inner);
      try {
        this.block(node.body as Node[], inner);
      } catch (error) {
        if (error instanceof Break) return;
        if (!(error instanceof Continue)) throw error;
      }
    }
  }

  private set({ assignee, value, body }: Node, scope: Scope): void {
    let target = assignee as Node;
    if (value !== null) {
      this.assign(target, this.value(value as Node, scope), scope);
      return;
    }
    let text: Value = this.capture(() => this.block(body as Node[], new Scope(scope)));
    const filters: Node[] = [];
    for (; target.type === "FilterExpression"; target = target.operand as Node)
      filters.unshift(target.filter as Node);
    for (const filter of filters) text = this.filtered(filter, text, scope);
    this.assign(target, text, scope);
  }

  private assign(target: Node, value: Value, scope: Scope): void {
    if (target.type === "Identifier") scope.names.set(target.value as string, value);
    else if (target.type === "TupleLiteral") {
      const [names, items] = [target.value as Node[], iterate(value)];
      if (names.length !== items.length)
        throw new TemplateRuntimeError(`${items.length} values to unpack, expected ${names.length}`);
      for (const [i, name] of names.entries()) this.assign(name, items[i], scope);
    } else {
      const object = target.type === "MemberExpression" ? this.value(target.object as Node, scope) : null;
      if (!(object instanceof Namespace) || object instanceof Loop)
        throw new TemplateRuntimeError("cannot assign attribute on non-namespace object");
      object.fields.set((target.property as { value: string }).value, value);
    }
  }

  private macro(name: string, parameters: readonly Node[], body: readonly Node[], outer: Scope): Callable {
    const bind = macroBinder(name, parameters, body);
    return new Callable((args, named) => {
      const scope = new Scope(outer);
      for (const [word, node] of bind(args, named, scope)) scope.names.set(word, this.value(node, scope));
      const { line } = this;
      const text = this.capture(() => this.block(body, scope));
      this.line = line;
      return text;
    });
  }

  private value(node: Node, scope: Scope): Value {
    switch (node.type) {
      case "StringLiteral":
        return node.value as string;
      case "IntegerLiteral":
        return node.value as number;
      case "FloatLiteral":
        return new Float(node.value as number);
      case "ArrayLiteral":
        return (node.value as Node[]).map((one) => this.value(one, scope));
      case "TupleLiteral":
        return tuple((node.value as Node[]).map((one) => this.value(one, scope)));
      case "ObjectLiteral":
        return new Map(
          [...(node.value as Map<Node, Node>)].map(([key, one]) => [
            keyOf(this.value(key, scope)),
            this.value(one, scope),
          ]),
        );
      case "Identifier": {
        const name = node.value as string;
        return Object.hasOwn(CONSTANTS, name) ? CONSTANTS[name] : scope.find(name);
      }
      case "Ternary":
        return this.value(
          (isTrue(this.value(node.condition as Node, scope)) ? node.trueExpr : node.falseExpr) as Node,
          scope,
        );
      case "SelectExpression":
        return isTrue(this.value(node.test as Node, scope))
          ? this.value(node.lhs as Node, scope)
          : new Undefined("the inline if-expression evaluated to false and no else section was defined");
      case "UnaryExpression": {
        const { value: operator } = node.operator as { value: string };
        const operand = this.value(node.argument as Node, scope);
        return operator === "not" ? !isTrue(operand) : sign(operator, operand);
      }
      case "BinaryExpression":
        return this.binary(node, scope);
      case "FilterExpression":
        return this.filtered(node.filter as Node, this.value(node.operand as Node, scope), scope);
      case "CallExpression": {
        const callee = this.value(node.callee as Node, scope);
        const [args, named] = this.arguments(node.args as Node[], scope);
        return this.call(callee, args, named);
      }
      case "MemberExpression":
        return this.member(node, scope);
      default:
        throw new TemplateRuntimeError(`${node.type} is no expression`);
    }
  }

  private binary(node: Node, scope: Scope): Value {
    const { left, right } = node as unknown as { left: Node; right: Node };
    const name = operatorOf(node);
    if (COMPARISONS.includes(name)) return this.comparison(node, scope)[0];
    // `~` binds more tightly than `+`, which the library does not know.
    if (name === "~" && ["+", "-"].includes(operatorOf(left))) {
      const { left: first, right: second } = left as unknown as { left: Node; right: Node };
      const joined = { ...node, left: second, right };
      return this.binary({ ...left, left: first, right: joined }, scope);
    }
    const first = this.value(left, scope);
    if (name === "and" || name === "or")
      return isTrue(first) === (name === "or") ? first : this.value(right, scope);
    return binary(name, first, this.value(right, scope), this.spend);
  }

  /** `a < b < c` is `a < b and b < c`; also the last value, for the next comparison. */
  private comparison(node: Node, scope: Scope): [Value, Value] {
    const { left, right } = node as unknown as { left: Node; right: Node };
    let first: Value;
    if (COMPARISONS.includes(operatorOf(left))) {
      const [holds, last] = this.comparison(left, scope);
      if (!isTrue(holds)) return [holds, null];
      first = last;
    } else first = this.value(left, scope);
    const second = this.value(right, scope);
    return [binary(operatorOf(node), first, second, this.spend), second];
  }

  private member({ object: node, property, computed }: Node, scope: Scope): Value {
    const object = plain(this.value(node as Node, scope));
    if (!computed) return this.attribute(object, (property as { value: string | number }).value);
    if ((property as Node).type !== "SliceExpression")
      return this.item(object, this.value(property as Node, scope));
    const { start, stop, step } = property as Record<string, Node | undefined>;
    const ends = [start, stop, step].map((one) => (one === undefined ? null : this.value(one, scope)));
    return sliced(object, ends, this.spend);
  }

  /** `object.name`: a method first, then an item; names with a leading underscore are nobody's. */
  private readonly attribute = (of: Value, name: Value): Value => {
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
  private item(of: Value, key: Value): Value {
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

  private filtered(filter: Node, value: Value, scope: Scope): Value {
    const called = filter.type === "CallExpression";
    const { value: name } = (called ? filter.callee : filter) as { value: string };
    const [args, named] = called
      ? this.arguments(filter.args as Node[], scope)
      : [[], new Map<string, Value>()];
    return this.filter(name, value, { args, named });
  }

  private readonly filter = (
    name: string,
    value: Value,
    { args, named }: { args: readonly Value[]; named: Named },
  ): Value => {
    const asked = /^is (not )?(.+)$/.exec(name);
    if (asked !== null) return test(asked[2])(plain(value), args) !== (asked[1] !== undefined);
    if (!Object.hasOwn(FILTERS, name)) throw new TemplateRuntimeError(`No filter named '${name}'.`);
    const { spend, attribute, filter } = this;
    const result = FILTERS[name](KEEPS_MARKUP.includes(name) ? value : plain(value), {
      args,
      named,
      spend,
      attribute,
      filter,
    });
    if (typeof result === "string" || Array.isArray(result)) spend(result.length);
    return result;
  };

  private call(callee: Value, args: Value[], named: Named): Value {
    if (callee instanceof Loop && callee.again !== null) return callee.again(args[0] ?? null);
    if (callee instanceof Undefined) throw missing(callee);
    if (callee instanceof Callable) {
      const result = callee.call(args, named);
      if (typeof result === "string" || Array.isArray(result)) this.spend(result.length);
      return result;
    }
    throw new TemplateRuntimeError(`'${typeName(callee)}' object is not callable`);
  }

  private arguments(nodes: readonly Node[], scope: Scope): [Value[], Named] {
    const args: Value[] = [];
    const named: Named = new Map();
    for (const node of nodes) {
      if (node.type === "SpreadExpression") {
        for (const value of iterate(this.value(node.argument as Node, scope))) args.push(value);
      } else if (node.type === "KeywordArgumentExpression")
        named.set((node.key as { value: string }).value, this.value(node.value as Node, scope));
      else if (node.type === "KeywordSpreadExpression") {
        const map = this.value(node.argument as Node, scope);
        if (!(map instanceof Map)) throw new TemplateRuntimeError("argument after ** must be a mapping");
        for (const [key, value] of map) named.set(toText(key), value);
      } else args.push(this.value(node, scope));
    }
    return [args, named];
  }
}

const COMPARISONS = ["<", "<=", ">", ">=", "==", "!=", "in", "not in"];
const operatorOf = ({ type, operator }: Node): string =>
  type === "BinaryExpression" ? (operator as { value: string }).value : "";
