/**
 * A model's chat template (Jinja, `chat_template` in `tokenizer_config.json`), rendered as transformers does.
 *
 * A template comes with the weights, from anywhere. It is interpreted, never compiled to JavaScript, sees only the
 * values given to it, and is bounded: by time, by all that it builds, and by the depth of its macros.
 */
import { clocked, OutOfTime } from "./clock.ts";
import { Refusal, TooLarge, templateGlobals } from "./jinja/globals.ts";
import { TemplateRun } from "./jinja/run.ts";
import { type Node, parseTemplate, TemplateSyntaxError } from "./jinja/syntax.ts";
import { fromJs } from "./jinja/values.ts";

/** Milliseconds that one rendering may take; a long conversation takes a few. */
const TIME_LIMIT_MS = 2000;
/** Characters that one rendering may build in all, parts of parts counted again; eight for an entry of a list. */
const MAX_BUILT = 1 << 26;
/** Of a message from a template: nobody reads more. */
const MAX_MESSAGE = 1000;

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

export class ChatTemplate {
  readonly source: string;
  private readonly program: Node;

  /** @throws ChatTemplateError naming the line that cannot be read */
  constructor(source: string) {
    this.source = source;
    try {
      this.program = clocked(() => parseTemplate(source), TIME_LIMIT_MS);
    } catch (error) {
      throw fault(error, error instanceof TemplateSyntaxError ? error.line : null);
    }
  }

  /** `now`: of `strftime_now`. @throws ChatTemplateError where it fails, refuses, or asks for too much */
  render(values: Record<string, unknown>, now = new Date()): string {
    let built = 0;
    const spend = (length: number): void => {
      built += length;
      if (!(built <= MAX_BUILT)) throw new TooLarge(`it builds more than ${MAX_BUILT} characters`);
    };
    const globals = templateGlobals(now, spend);
    const run = new TemplateRun(globals, spend);
    try {
      return clocked(() => {
        for (const [name, value] of Object.entries(values)) run.define(name, fromJs(value));
        return run.render(this.program);
      }, TIME_LIMIT_MS);
    } catch (error) {
      throw fault(error, run.line);
    }
  }
}

function fault(error: unknown, line: number | null): ChatTemplateError {
  const words = error instanceof Error ? error.message : String(error);
  const found = words.length > MAX_MESSAGE ? `${words.slice(0, MAX_MESSAGE)} ...` : words;
  if (error instanceof Refusal)
    return new ChatTemplateError({
      line: null,
      found: `it refuses this conversation: ${found}`,
      refused: true,
      remedy: "Change the messages as it asks: other roles, another order, or no tools.",
    });
  const remedy = "Take the template of another copy of the model, or write chat_template yourself.";
  if (error instanceof OutOfTime)
    return new ChatTemplateError({ line: null, found: `it ran for more than ${TIME_LIMIT_MS} ms`, remedy });
  // V8's own limits: the longest string, and the depth of calls.
  if (error instanceof TooLarge || error instanceof RangeError)
    return new ChatTemplateError({ line: null, found: `it asks for too much: ${found}`, remedy });
  return new ChatTemplateError({ line, found, remedy });
}
