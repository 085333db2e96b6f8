/** A template's texts and tags (jinja2/parser.py, with transformers' `generation` tag), compiled to one function. */
import { TagReader } from "./expressions.ts";
import { type Segment, segments, TemplateSyntaxError } from "./lexer.ts";
import {
  type Assign,
  Break,
  Continue,
  type Evaluate,
  type Execute,
  type Filtering,
  type Loops,
  macro,
  Scope,
} from "./run.ts";
import { toText } from "./text.ts";
import { tokenize } from "./tokens.ts";
import { isTrue, iterate } from "./values.ts";

/** @throws TemplateSyntaxError */
export function compileTemplate(source: string): Execute {
  return new Compiler(source).template();
}

class Compiler {
  readonly #segments: Iterator<Segment>;
  /** The names that each open macro mentions, the innermost last. */
  readonly #mentioned: Set<string>[] = [new Set()];
  #line = 1;

  constructor(source: string) {
    this.#segments = segments(source);
  }

  template(): Execute {
    return this.#block([]).run;
  }

  /** The segments up to a tag that begins with one of `ends`, and that tag; without `ends`, all segments left. */
  #block(ends: readonly string[]): { run: Execute; end: string; tag: TagReader } {
    const parts: Execute[] = [];
    const run: Execute = (scope) => {
      for (const part of parts) part(scope);
    };
    for (;;) {
      const { value, done } = this.#segments.next();
      if (done) {
        if (ends.length > 0) throw new TemplateSyntaxError(this.#line, "the template ends inside a block");
        return { run, end: "", tag: new TagReader([], () => {}) };
      }
      const { line, text, tag } = value as Segment;
      if (text !== "") parts.push((scope) => scope.run.write(text));
      if (tag === null) continue;
      this.#line = line;
      try {
        const reader = new TagReader(tokenize(tag.inside), (name) => this.#mentioned.at(-1)?.add(name));
        if (tag.kind === "{{") {
          parts.push(at(line, written(reader.tuple())));
          reader.end();
          continue;
        }
        const name = reader.name();
        if (ends.includes(name)) return { run, end: name, tag: reader };
        parts.push(at(line, this.#statement(name, reader)));
      } catch (error) {
        if (error instanceof TemplateSyntaxError || error instanceof RangeError) throw error;
        throw new TemplateSyntaxError(line, (error as Error).message);
      }
    }
  }

  /** The block up to the tag `end`, which has no more than its name. */
  #body(end: string): Execute {
    const { run, tag } = this.#block([end]);
    tag.end();
    return run;
  }

  #statement(name: string, tag: TagReader): Execute {
    switch (name) {
      case "if":
        return this.#if(tag);
      case "for":
        return this.#for(tag);
      case "set":
        return this.#set(tag);
      case "macro":
        return this.#macro(tag);
      case "call":
        return this.#call(tag);
      case "with":
        return this.#with(tag);
      case "filter": {
        const filters = tag.filters();
        tag.end();
        const body = this.#body("endfilter");
        return (scope) => scope.run.write(toText(filters(scope, scope.inside(body))));
      }
      case "print": {
        const values = [written(tag.expression())];
        while (tag.skip(",")) values.push(written(tag.expression()));
        tag.end();
        return (scope) => {
          for (const value of values) value(scope);
        };
      }
      case "autoescape":
        // Chats are no HTML: there is nothing to turn off, and `autoescape true` is refused.
        if (!tag.skip("false")) tag.expect("False");
        return this.#inner("endautoescape");
      case "generation":
        return this.#inner("endgeneration");
      case "block":
        tag.name();
        return this.#inner("endblock");
      case "break":
      case "continue":
        tag.end();
        return () => {
          throw name === "break" ? new Break() : new Continue();
        };
    }
    throw new Error(`unknown tag '${name}'`);
  }

  /** A block that is only a new scope. */
  #inner(end: string): Execute {
    const { run } = this.#block([end]);
    return (scope) => run(new Scope(scope.run, scope));
  }

  #if(tag: TagReader): Execute {
    const test = tag.tuple(false);
    tag.end();
    const { run, end, tag: next } = this.#block(["elif", "else", "endif"]);
    let otherwise: Execute = () => {};
    if (end === "elif") otherwise = at(this.#line, this.#if(next));
    else {
      next.end();
      if (end === "else") otherwise = this.#body("endif");
    }
    return (scope) => (isTrue(test(scope)) ? run : otherwise)(scope);
  }

  #for(tag: TagReader): Execute {
    const target = tag.target();
    tag.expect("in");
    const over = tag.tuple(false);
    const filter = tag.skip("if") ? tag.expression() : null;
    const recursive = tag.skip("recursive");
    tag.end();
    const { run, end, tag: next } = this.#block(["else", "endfor"]);
    next.end();
    const otherwise: Execute = end === "else" ? this.#body("endfor") : () => {};
    const loops: Loops = { target, filter, body: run, otherwise, recursive };
    return (scope) => scope.run.loop(iterate(over(scope)), loops, scope);
  }

  #set(tag: TagReader): Execute {
    const target = tag.target();
    if (tag.skip("=")) {
      const value = tag.tuple();
      tag.end();
      return (scope) => target(scope, value(scope));
    }
    const filters: Filtering = tag.skip("|") ? tag.filters() : (_, text) => text;
    tag.end();
    const body = this.#body("endset");
    return (scope) => target(scope, filters(scope, scope.inside(body)));
  }

  #macro(tag: TagReader): Execute {
    const name = tag.name();
    const mentioned = new Set<string>();
    const parameters = this.#mentioning(mentioned, () => tag.parameters());
    tag.end();
    const body = this.#mentioning(mentioned, () => this.#body("endmacro"));
    return (scope) => scope.names.set(name, macro({ name, parameters, body, mentioned }, scope));
  }

  /** Calls a macro that may call its `caller`, which is this block. */
  #call(tag: TagReader): Execute {
    const mentioned = new Set<string>();
    const parameters = tag.is("(") ? this.#mentioning(mentioned, () => tag.parameters()) : [];
    const evaluate = tag.expression();
    tag.end();
    const call = tag.lastCall;
    if (call?.evaluate !== evaluate) throw new Error("expected a call");
    const body = this.#mentioning(mentioned, () => this.#body("endcall"));
    return (scope) => {
      const { args, named } = call.given(scope);
      named.set("caller", macro({ name: "caller", parameters, body, mentioned }, scope));
      scope.run.write(toText(scope.run.call(call.callee(scope), { args, named })));
    };
  }

  /** Collects the names that `read` mentions, for the enclosing macro too. */
  #mentioning<T>(names: Set<string>, read: () => T): T {
    this.#mentioned.push(names);
    const result = read();
    this.#mentioned.pop();
    for (const name of names) this.#mentioned.at(-1)?.add(name);
    return result;
  }

  /** `with a = 1, b = 2`: the values are those of the names outside. */
  #with(tag: TagReader): Execute {
    const given: [Assign, Evaluate][] = [];
    while (!tag.atEnd) {
      if (given.length > 0) tag.expect(",");
      const target = tag.target();
      tag.expect("=");
      given.push([target, tag.expression()]);
    }
    const body = this.#body("endwith");
    return (scope) => {
      const inner = new Scope(scope.run, scope);
      for (const [target, value] of given) target(inner, value(scope));
      body(inner);
    };
  }
}

/** Notes the tag's line, for errors. */
const at =
  (line: number, part: Execute): Execute =>
  (scope) => {
    scope.run.line = line;
    part(scope);
  };

const written =
  (value: Evaluate): Execute =>
  (scope) =>
    scope.run.write(toText(value(scope)));
