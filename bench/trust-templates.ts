/** The row `trust/templates`: public chat templates rendered as transformers renders them. */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { isUserError } from "../src/lib/errors.ts";
import { ChatTemplate } from "../src/tokenizer/chat-template.ts";
import type { Row } from "./rows.ts";

export interface TemplateFixture {
  now: string;
  tokens: Record<string, string>;
  conversations: {
    name: string;
    messages: unknown[];
    tools?: unknown[];
    add_generation_prompt: boolean;
    variables?: Record<string, unknown>;
  }[];
  /** `rendered`: of each conversation, by transformers; an object where it fails. */
  templates: { name: string; source: string; rendered: (string | { error: string })[] }[];
}

export const templateFixture = (): TemplateFixture =>
  JSON.parse(
    gunzipSync(readFileSync(new URL("../test/fixtures/templates.json.gz", import.meta.url))).toString("utf8"),
  ) as TemplateFixture;

/** What we make of it; `null` where we refuse or fail in words, as transformers does where its record is an error. */
export function renderAll(
  { now, tokens, conversations }: TemplateFixture,
  source: string,
): (string | null)[] {
  const template = new ChatTemplate(source);
  return conversations.map(({ messages, tools = null, add_generation_prompt, variables }) => {
    const values = { ...tokens, ...variables, messages, tools, documents: null, add_generation_prompt };
    try {
      return template.render(values, new Date(now));
    } catch (error) {
      if (isUserError(error, "chat-template")) return null;
      throw error;
    }
  });
}

/** Renderings that differ, as "template: conversation". */
export function differing(fixture: TemplateFixture): string[] {
  return fixture.templates.flatMap(({ name, source, rendered }) => {
    const ours = renderAll(fixture, source);
    return rendered.flatMap((one, i) =>
      (typeof one === "string" ? one : null) === ours[i] ? [] : [`${name}: ${fixture.conversations[i].name}`],
    );
  });
}

export function trustTemplates(): Row {
  const fixture = templateFixture();
  const all = fixture.templates.length * fixture.conversations.length;
  const value = 1 - differing(fixture).length / all;
  const unit = `of ${all} renderings, ${fixture.templates.length} templates`;
  return { name: "trust/templates", value, unit, atLeast: 0.99 };
}
