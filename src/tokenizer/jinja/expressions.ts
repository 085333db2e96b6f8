/**
 * Jinja's expressions (jinja2/parser.py, method for method), compiled to functions of a scope. A `TagReader` reads the
 * tokens of one tag.
 */
import { test } from "./filters.ts";
import { binary, sign, sliced } from "./operators.ts";
import type { Arguments, Assign, Evaluate, Filtering, Parameter, Scope } from "./run.ts";
import { toText } from "./text.ts";
import { type Token, TokenReader } from "./tokens.ts";
import {
  Float,
  isTrue,
  iterate,
  keyOf,
  Loop,
  Namespace,
  plain,
  TemplateRuntimeError,
  tuple,
  Undefined,
  type Value,
} from "./values.ts";

const CONSTANTS: Readonly<Record<string, Value>> = {
  ...{ true: true, True: true, false: false, False: false, none: null, None: null },
};
const COMPARISONS = ["==", "!=", "<", "<=", ">", ">="];
const OPERATORS = [["+", "-"], ["~"], ["*", "/", "//", "%"], ["**"]];
/** Names that follow a test's name without being its argument. */
const NO_ARGUMENT = ["else", "or", "and", "is", "if", "in", "not", "recursive"];

const noArguments: Arguments = () => ({ args: [], named: new Map() });

export class TagReader extends TokenReader {
  readonly #mention: (name: string) => void;
  /** The call that was read last, for `call` tags. */
  lastCall: { evaluate: Evaluate; callee: Evaluate; given: Arguments } | null = null;

  /** `mention` hears of the names that the expressions look up. */
  constructor(tokens: readonly Token[], mention: (name: string) => void) {
    super(tokens);
    this.#mention = mention;
  }

  /** An expression, or several with commas as a tuple; `condition`: whether `a if b else c` may be one. */
  tuple(condition = true): Evaluate {
    const items: Evaluate[] = [];
    do {
      if (items.length > 0 && (this.atEnd || this.is(")") || this.is("recursive"))) return tupleOf(items);
      items.push(condition ? this.expression() : this.#or());
    } while (this.skip(","));
    return items.length === 1 ? items[0] : tupleOf(items);
  }

  expression(): Evaluate {
    const value = this.#or();
    if (!this.skip("if")) return value;
    const test = this.#or();
    const otherwise = this.skip("else") ? this.expression() : noElse;
    return (scope) => (isTrue(test(scope)) ? value(scope) : otherwise(scope));
  }

  #or(): Evaluate {
    return this.#logical("or", () => this.#logical("and", () => this.#not()));
  }

  #logical(word: "or" | "and", operand: () => Evaluate): Evaluate {
    const left = operand();
    if (!this.skip(word)) return left;
    const right = this.#logical(word, operand);
    return (scope) => {
      const value = left(scope);
      return isTrue(value) === (word === "or") ? value : right(scope);
    };
  }

  #not(): Evaluate {
    if (!this.skip("not")) return this.#comparison();
    const value = this.#not();
    return (scope) => !isTrue(value(scope));
  }

  /** `a < b < c` is `a < b and b < c`. */
  #comparison(): Evaluate {
    const first = this.#joined();
    const others: [string, Evaluate][] = [];
    for (let operator = this.#comparing(); operator !== null; operator = this.#comparing())
      others.push([operator, this.#joined()]);
    if (others.length === 0) return first;
    return (scope) => {
      let left = first(scope);
      let holds: Value = true;
      for (const [operator, next] of others) {
        const right = next(scope);
        holds = binary(operator, left, right, scope.run.spend);
        if (!isTrue(holds)) break;
        left = right;
      }
      return holds;
    };
  }

  #comparing(): string | null {
    if (this.is("not") && this.is("in", 1)) {
      this.at += 2;
      return "not in";
    }
    return this.skip("in") ? "in" : this.#operator(COMPARISONS);
  }

  #operator(signs: readonly string[]): string | null {
    const token = this.token;
    if (token?.type !== "operator" || !signs.includes(token.text)) return null;
    this.at++;
    return token.text;
  }

  /** Operands joined by operators, from left to right; the operators of a later row bind more tightly. */
  #joined(row = 0): Evaluate {
    if (row === OPERATORS.length) return this.#unary(true);
    let value = this.#joined(row + 1);
    for (let name = this.#operator(OPERATORS[row]); name !== null; name = this.#operator(OPERATORS[row])) {
      const [operator, left, right] = [name, value, this.#joined(row + 1)];
      value = (scope) => binary(operator, left(scope), right(scope), scope.run.spend);
    }
    return value;
  }

  #unary(filters: boolean): Evaluate {
    const operator = this.#operator(["-", "+"]);
    let value: Evaluate;
    if (operator === null) value = this.#primary();
    else {
      const operand = this.#unary(false);
      value = (scope) => sign(operator, operand(scope));
    }
    value = this.#postfix(value);
    return filters ? this.#filtersAndTests(value) : value;
  }

  #primary(): Evaluate {
    const token = this.token;
    this.at++;
    switch (token?.type) {
      case "string": {
        let { text } = token;
        for (; this.token?.type === "string"; this.at++) text += this.token.text;
        return () => text;
      }
      case "integer":
      case "float": {
        const number = Number(token.text);
        const value = token.type === "float" ? new Float(number) : number;
        return () => value;
      }
      case "name": {
        const { text: name } = token;
        if (Object.hasOwn(CONSTANTS, name)) return () => CONSTANTS[name];
        this.#mention(name);
        return (scope) => scope.find(name);
      }
    }
    if (token?.text === "(") {
      if (this.skip(")")) return tupleOf([]);
      const value = this.tuple();
      this.expect(")");
      return value;
    }
    if (token?.text === "[") {
      const items = this.list("]", () => this.expression());
      return (scope) => items.map((item) => item(scope));
    }
    if (token?.text === "{") {
      const entries = this.list("}", () => this.#entry());
      return (scope) => new Map(entries.map(([key, value]) => [keyOf(key(scope)), value(scope)]));
    }
    this.at--;
    return this.fail(`unexpected ${this.found()}`);
  }

  #entry(): [Evaluate, Evaluate] {
    const key = this.expression();
    this.expect(":");
    return [key, this.expression()];
  }

  #postfix(given: Evaluate): Evaluate {
    let value = given;
    for (;;) {
      if (this.is("(")) value = this.#called(value);
      else if (this.skip(".")) value = this.#attribute(value);
      else if (this.skip("[")) value = this.#subscript(value);
      else return value;
    }
  }

  #called(callee: Evaluate): Evaluate {
    const given = this.#arguments();
    const evaluate: Evaluate = (scope) => scope.run.call(callee(scope), given(scope));
    this.lastCall = { evaluate, callee, given };
    return evaluate;
  }

  #attribute(object: Evaluate): Evaluate {
    const token = this.token;
    if (token?.type !== "name" && token?.type !== "integer")
      return this.fail(`expected a name or a number, found ${this.found()}`);
    this.at++;
    const name = token.type === "name" ? token.text : Number(token.text);
    return (scope) => scope.run.attribute(object(scope), name);
  }

  #subscript(object: Evaluate): Evaluate {
    const parts: (Evaluate | null)[] = [];
    const part = (): Evaluate | null => (this.is(":") || this.is("]") ? null : this.tuple());
    do parts.push(part());
    while (parts.length < 3 && this.skip(":"));
    this.expect("]");
    const [key] = parts;
    if (parts.length > 1)
      return (scope) => {
        const sequence = object(scope);
        const ends = [...parts, null, null].slice(0, 3).map((end) => end?.(scope) ?? null);
        return sliced(sequence, ends, scope.run.spend);
      };
    if (key === null) return this.fail("expected a key");
    return (scope) => scope.run.item(object(scope), key(scope));
  }

  #arguments(): Arguments {
    const fill: ((scope: Scope, given: ReturnType<Arguments>) => void)[] = [];
    let onlyNamed = false;
    this.expect("(");
    this.list(")", () => {
      if (this.skip("*")) {
        const items = this.expression();
        fill.push((scope, { args }) => {
          for (const item of iterate(items(scope))) args.push(item);
        });
      } else if (this.skip("**")) {
        const entries = this.expression();
        fill.push((scope, { named }) => {
          const map = entries(scope);
          if (!(map instanceof Map)) throw new TemplateRuntimeError("argument after ** must be a mapping");
          for (const [key, value] of map) named.set(toText(key), value);
        });
      } else if (this.token?.type === "name" && this.is("=", 1)) {
        onlyNamed = true;
        const name = this.name();
        this.expect("=");
        const value = this.expression();
        fill.push((scope, { named }) => named.set(name, value(scope)));
      } else {
        if (onlyNamed) this.fail("a positional argument follows a named one");
        const value = this.expression();
        fill.push((scope, { args }) => args.push(value(scope)));
      }
    });
    return (scope) => {
      const given = noArguments(scope);
      for (const one of fill) one(scope, given);
      return given;
    };
  }

  #filtersAndTests(given: Evaluate): Evaluate {
    let value = given;
    for (;;) {
      if (this.skip("|")) {
        const [operand, filter] = [value, this.#filter()];
        value = (scope) => filter(scope, operand(scope));
      } else if (this.skip("is")) value = this.#test(value);
      else if (this.is("(")) value = this.#called(value);
      else return value;
    }
  }

  #dottedName(): string {
    let name = this.name();
    while (this.skip(".")) name += `.${this.name()}`;
    return name;
  }

  /** `name` or `name(arguments)`. */
  #filter(): Filtering {
    const name = this.#dottedName();
    const given = this.is("(") ? this.#arguments() : noArguments;
    return (scope, value) => scope.run.filter(name, value, given(scope));
  }

  /** Filters with bars between. */
  filters(): Filtering {
    const first = this.#filter();
    if (!this.skip("|")) return first;
    const rest = this.filters();
    return (scope, value) => rest(scope, first(scope, value));
  }

  #test(value: Evaluate): Evaluate {
    const negated = this.skip("not");
    const name = this.#dottedName();
    let given = noArguments;
    if (this.is("(")) given = this.#arguments();
    else if (this.#beginsArgument()) {
      const argument = this.#postfix(this.#primary());
      given = (scope) => ({ args: [argument(scope)], named: new Map() });
    }
    return (scope) => test(name)(plain(value(scope)), given(scope).args) !== negated;
  }

  #beginsArgument(): boolean {
    const token = this.token;
    if (token === undefined) return false;
    return token.type === "operator"
      ? "[{".includes(token.text)
      : token.type !== "name" || !NO_ARGUMENT.includes(token.text);
  }

  /** What a value is assigned to: a name, a namespace's field, or several in a tuple. */
  target(): Assign {
    const targets: Assign[] = [];
    do {
      if (targets.length > 0 && (this.atEnd || this.is(")") || this.is("in") || this.is("="))) break;
      targets.push(this.#oneTarget());
      if (targets.length === 1 && !this.is(",")) return targets[0];
    } while (this.skip(","));
    return (scope, value) => {
      const items = iterate(value);
      if (items.length !== targets.length)
        throw new TemplateRuntimeError(`${items.length} values to unpack, expected ${targets.length}`);
      for (const [i, assign] of targets.entries()) assign(scope, items[i]);
    };
  }

  #oneTarget(): Assign {
    if (this.skip("(")) {
      const target = this.target();
      this.expect(")");
      return target;
    }
    const name = this.name();
    if (!this.skip(".")) return (scope, value) => scope.names.set(name, value);
    const field = this.name();
    return (scope, value) => {
      const object = scope.find(name);
      if (!(object instanceof Namespace) || object instanceof Loop)
        throw new TemplateRuntimeError("cannot assign attribute on non-namespace object");
      object.fields.set(field, value);
    };
  }

  /** A macro's parameters with their defaults. */
  parameters(): Parameter[] {
    this.expect("(");
    return this.list(")", () => {
      const name = this.name();
      return { name, fallback: this.skip("=") ? this.expression() : null };
    });
  }
}

const noElse: Evaluate = () =>
  new Undefined("the inline if-expression evaluated to false and no else section was defined");

const tupleOf =
  (items: readonly Evaluate[]): Evaluate =>
  (scope) =>
    tuple(items.map((item) => item(scope)));
