/** Templates as Jinja and transformers render them: scripts/fixtures/golden_jinja.py and golden_templates.py. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { renderAll, templateFixture, trustTemplates } from "../../bench/trust-templates.ts";
import { ChatTemplate } from "../../src/tokenizer/chat-template.ts";

describe("small templates", () => {
  const { now, messages, values, cases } = JSON.parse(
    readFileSync(new URL("../fixtures/jinja.json", import.meta.url), "utf8"),
  ) as { now: string; messages: unknown; values: object; cases: [string, string | { error: string }][] };
  const render = (source: string): string =>
    new ChatTemplate(source).render({ ...values, messages, tools: null }, new Date(now));

  it.each(cases)("%j", (source, expected) => {
    if (typeof expected === "string") expect(render(source)).toBe(expected);
    else expect(() => render(source)).toThrow(expect.objectContaining({ kind: "chat-template" }));
  });
});

describe("public templates", () => {
  const fixture = templateFixture();
  const text = (one: string | { error: string }): string | null => (typeof one === "string" ? one : null);

  it.each(fixture.templates.map(({ name, source, rendered }) => [name, source, rendered] as const))(
    "%s",
    (_, source, rendered) => {
      expect(renderAll(fixture, source)).toEqual(rendered.map(text));
    },
  );

  it("are 164, most of them rendered and not refused, and the row counts them", () => {
    expect(fixture.templates).toHaveLength(164);
    expect(
      fixture.templates.flatMap(({ rendered }) => rendered).filter((one) => typeof one === "string").length,
    ).toBeGreaterThan(800);
    expect(trustTemplates()).toMatchObject({ name: "trust/templates", value: 1 });
  });
});
