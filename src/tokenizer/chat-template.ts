/**
 * A model's chat template (Jinja, `chat_template` in `tokenizer_config.json`), rendered as transformers does.
 *
 * A template comes with the weights, from anywhere. It never becomes JavaScript source, sees only the values given to it,
 * and is limited in time, in the characters that it builds, and in the depth of its macros.
 */
import { UserError } from "../lib/errors.ts";
import { clocked, OutOfTime } from "./hostile.ts";
import { Refusal, TooLarge, templateGlobals } from "./jinja/globals.ts";
import { TemplateSyntaxError } from "./jinja/lexer.ts";
import { type Execute, Scope, TemplateRun } from "./jinja/run.ts";
import { compileTemplate } from "./jinja/statements.ts";
import { fromJs } from "./jinja/values.ts";

/** Milliseconds for one rendering; a long conversation takes a few. */
const TIME_LIMIT_MS = 2000;
/** Characters that one rendering may build in all, intermediate texts included; an entry of a list counts as eight. */
const MAX_BUILT = 1 << 26;
/** Characters of a template's error message that are kept. */
const MAX_MESSAGE = 1000;

export interface ChatTemplateFault {
  /** Line of the template, if it is known. */
  line: number | null;
  found: string;
  /** The template itself said no (`raise_exception`): another conversation may do. */
  refused?: boolean;
  remedy: string;
}

/** A template that cannot be read, fails, asks for too much, or refuses the conversation. */
export function chatTemplateError({ line, found, refused = false, remedy }: ChatTemplateFault): UserError {
  const where = `chat template${line === null ? "" : `, line ${line}`}`;
  return new UserError({ kind: "chat-template", where, what: found, found, remedy, data: { line, refused } });
}

export class ChatTemplate {
  readonly source: string;
  private readonly program: Execute;

  /** @throws UserError naming the line that cannot be read */
  constructor(source: string) {
    this.source = source;
    try {
      this.program = clocked(() => compileTemplate(source), TIME_LIMIT_MS);
    } catch (error) {
      throw fault(error, error instanceof TemplateSyntaxError ? error.line : null);
    }
  }

  /** `now`: of `strftime_now`. @throws UserError where it fails, refuses, or asks for too much */
  render(values: Record<string, unknown>, now = new Date()): string {
    let built = 0;
    const spend = (length: number): void => {
      built += length;
      if (!(built <= MAX_BUILT)) throw new TooLarge(`it builds more than ${MAX_BUILT} characters`);
    };
    const run = new TemplateRun(spend);
    const globals = new Scope(run, null);
    for (const [name, value] of templateGlobals(now, spend)) globals.names.set(name, value);
    try {
      return clocked(() => {
        for (const [name, value] of Object.entries(values)) globals.names.set(name, fromJs(value));
        return globals.inside(this.program);
      }, TIME_LIMIT_MS);
    } catch (error) {
      throw fault(error, run.line);
    }
  }
}

function fault(error: unknown, line: number | null): UserError {
  const words = error instanceof Error ? error.message : String(error);
  const found = words.length > MAX_MESSAGE ? `${words.slice(0, MAX_MESSAGE)} ...` : words;
  if (error instanceof Refusal)
    return chatTemplateError({
      line: null,
      found: `it refuses this conversation: ${found}`,
      refused: true,
      remedy: "Change the messages as it asks: other roles, another order, or no tools.",
    });
  const remedy = "Take the template of another copy of the model, or write chat_template yourself.";
  if (error instanceof OutOfTime)
    return chatTemplateError({ line: null, found: `it ran for more than ${TIME_LIMIT_MS} ms`, remedy });
  // V8's own limits: the longest string, and the depth of calls.
  if (error instanceof TooLarge || error instanceof RangeError)
    return chatTemplateError({ line: null, found: `it asks for too much: ${found}`, remedy });
  return chatTemplateError({ line, found, remedy });
}

/** Chat templates by their names, of which `tokenizer_config.json` may have several: "default", and "tool_use" for tools. */
export function namedTemplates(field: unknown): ReadonlyMap<string, string> {
  if (typeof field === "string") return new Map([["default", field]]);
  if (typeof field !== "object" || field === null) return new Map();
  const pairs: [unknown, unknown][] = Array.isArray(field)
    ? field.map((one) => [one?.name, one?.template])
    : Object.entries(field);
  return new Map(
    pairs.filter((pair): pair is [string, string] => pair.every((part) => typeof part === "string")),
  );
}

/** The name of the template that transformers takes for a conversation with tools. */
export const TOOL_USE = "tool_use";
