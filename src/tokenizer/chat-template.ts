/**
 * A model's chat template (Jinja, `chat_template` in `tokenizer_config.json`), rendered as transformers does.
 *
 * A template comes with the weights, from anywhere. It is interpreted, never compiled to JavaScript, sees only the
 * values given to it, and is bounded: by time, by the length of what it builds, and by the depth of its macros.
 */
import vm from "node:vm";
import * as jinja from "@huggingface/jinja";

/** Milliseconds that one rendering may take; a long conversation takes a few. */
const TIME_LIMIT_MS = 2000;
/** Characters of any text that a template may build, and entries of any list; both are reached well within the time. */
const MAX_CHARACTERS = 1 << 24;
const MAX_ENTRIES = 1 << 20;

/** A template that cannot be read, fails, asks for too much, or refuses the conversation. */
export class ChatTemplateError extends Error {
  override name = "ChatTemplateError";
  /** Line of the template, where it can be told. */
  readonly line: number | null;
  readonly found: string;
  /** The template itself said no (`raise_exception`): another conversation may do. */
  readonly refused: boolean;
  readonly remedy: string;

  constructor(detail: { line: number | null; found: string; refused?: boolean; remedy: string }) {
    super(`chat template${detail.line === null ? "" : `, line ${detail.line}`}: ${detail.found}`);
    this.line = detail.line;
    this.found = detail.found;
    this.refused = detail.refused ?? false;
    this.remedy = detail.remedy;
  }
}

/** Thrown by the template's own `raise_exception`. */
class Refusal extends Error {}
class TooLarge extends Error {}

/** The part of the library that we use; its own declarations do not resolve under `nodenext`. */
interface Library {
  Environment: new () => { set(name: string, value: unknown): void };
  Interpreter: new (
    environment: unknown,
  ) => {
    run(program: unknown): { value: unknown };
    evaluate(node: unknown, scope: unknown): { value: unknown };
  };
  Template: new (source: string) => { render(values: Record<string, unknown>): string };
  tokenize(source: string, options: { lstrip_blocks: boolean; trim_blocks: boolean }): unknown;
  parse(tokens: unknown): unknown;
}
const { Environment, Interpreter, Template, tokenize, parse } = jinja as unknown as Library;

/** Every value that a template makes passes through `evaluate`: here its size is looked at. */
class BoundedInterpreter extends Interpreter {
  override evaluate(node: unknown, scope: unknown): { value: unknown } {
    const result = super.evaluate(node, scope);
    checkSize(result.value);
    return result;
  }
}

function checkSize(value: unknown): void {
  if (typeof value === "string" && value.length > MAX_CHARACTERS)
    throw new TooLarge(`it builds more than ${MAX_CHARACTERS} characters`);
  if (Array.isArray(value) && value.length > MAX_ENTRIES)
    throw new TooLarge(`it builds more than ${MAX_ENTRIES} entries`);
}

/** Python's range, refused before it fills the memory. */
function range(first: number, last?: number, step = 1): number[] {
  const [start, stop] = last === undefined ? [0, first] : [first, last];
  const count = Math.max(0, Math.ceil((stop - start) / step));
  if (!(count <= MAX_ENTRIES)) throw new TooLarge(`range() of ${count} numbers`);
  return Array.from({ length: count }, (_, i) => start + i * step);
}

const clock = new Template("{{ strftime_now(format) }}");

const GLOBALS: Record<string, unknown> = {
  ...{ true: true, false: false, none: null, True: true, False: false, None: null },
  range,
  strftime_now: (format: string) => clock.render({ format }),
  raise_exception: (text: unknown) => {
    throw new Refusal(String(text));
  },
};

/** Only a script of its own can be stopped by the clock; it calls back into our code. */
const script = new vm.Script("run()");
const timed = <T>(run: () => T): T => script.runInNewContext({ run }, { timeout: TIME_LIMIT_MS }) as T;

export class ChatTemplate {
  readonly source: string;
  private readonly program: unknown;

  /** @throws ChatTemplateError naming the line that cannot be read */
  constructor(source: string) {
    this.source = source;
    try {
      this.program = timed(() => parseTemplate(source));
    } catch (error) {
      throw fault(error, syntaxLine(source, messageOf(error)));
    }
  }

  /** @throws ChatTemplateError where it fails, refuses, or asks for too much time or memory */
  render(values: Record<string, unknown>): string {
    const run = (): string => {
      const environment = new Environment();
      for (const [name, value] of Object.entries({ ...GLOBALS, ...values })) environment.set(name, value);
      return String(new BoundedInterpreter(environment).run(this.program).value);
    };
    try {
      return timed(run);
    } catch (error) {
      throw fault(error, runtimeLine(this.source, messageOf(error)));
    }
  }
}

function parseTemplate(source: string): unknown {
  return parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true }));
}

/** Errors of the stopping clock belong to another context and are no `Error` of ours. */
function messageOf(error: unknown): string {
  return typeof error === "object" && error !== null && "message" in error
    ? String(error.message)
    : String(error);
}

function fault(error: unknown, line: number | null): ChatTemplateError {
  const found = messageOf(error);
  if (error instanceof Refusal)
    return new ChatTemplateError({
      line: null,
      found: `it refuses this conversation: ${found}`,
      refused: true,
      remedy: "Change the messages as it asks: other roles, another order, or no tools.",
    });
  const remedy = "Take the template of another copy of the model, or write chat_template yourself.";
  const timeout = (error as { code?: unknown } | null)?.code === "ERR_SCRIPT_EXECUTION_TIMEOUT";
  if (timeout)
    return new ChatTemplateError({ line: null, found: `it ran for more than ${TIME_LIMIT_MS} ms`, remedy });
  // V8's own limits: the longest string, and the depth of calls.
  if (error instanceof TooLarge || error instanceof RangeError)
    return new ChatTemplateError({ line: null, found: `it asks for too much: ${found}`, remedy });
  return new ChatTemplateError({ line, found, remedy });
}

/** The parser keeps no positions: the line is where the shortest prefix of the template fails in the same way. */
function syntaxLine(source: string, message: string): number | null {
  const lines = source.split("\n");
  const fails = (count: number): boolean => {
    try {
      parseTemplate(lines.slice(0, count).join("\n"));
      return false;
    } catch (error) {
      return messageOf(error) === message;
    }
  };
  try {
    return timed(() => lines.findIndex((_, i) => fails(i + 1)) + 1) || null;
  } catch {
    // Far too long a template to be worth the search.
    return null;
  }
}

/** The first line with the last word of the message that a tag of the template has: a filter's or a function's name. */
function runtimeLine(source: string, message: string): number | null {
  const words = [...message.matchAll(/[A-Za-z_]\w+/g)].map(([word]) => word);
  const tags = source.split("\n").map((line) => line.match(/\{[{%].*?[%}]\}/g)?.join(" ") ?? "");
  for (const word of words.toReversed()) {
    const at = tags.findIndex((line) => new RegExp(`\\b${word}\\b`).test(line));
    if (at >= 0) return at + 1;
  }
  return null;
}
