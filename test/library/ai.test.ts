/** The AI SDK's provider: generation and stream say the same, reasoning is apart, and what is not done is a warning. */
import type { LanguageModelV4CallOptions, LanguageModelV4StreamPart } from "@ai-sdk/provider";
import { describe, expect, it } from "vitest";
import { sputnik } from "../../src/library/ai.ts";

const model = sputnik();
const asked = (more: Partial<LanguageModelV4CallOptions> = {}): LanguageModelV4CallOptions => ({
  prompt: [{ role: "user", content: [{ type: "text", text: "82, 27, 11 make 44\n<think>\n" }] }],
  ...{ seed: 3, ...more },
});

async function streamed(call: LanguageModelV4CallOptions): Promise<LanguageModelV4StreamPart[]> {
  const { stream } = await model.doStream(call);
  const parts: LanguageModelV4StreamPart[] = [];
  for await (const part of stream as unknown as AsyncIterable<LanguageModelV4StreamPart>) parts.push(part);
  return parts;
}

const textOf = (parts: readonly LanguageModelV4StreamPart[], kind: "reasoning" | "text"): string =>
  parts.map((part) => (part.type === `${kind}-delta` && "delta" in part ? part.delta : "")).join("");

describe("the AI SDK's provider", () => {
  it("gives reasoning and text, and the same in parts", async () => {
    const { content, finishReason, usage, warnings } = await model.doGenerate(asked());
    expect(content.map(({ type }) => type)).toEqual(["reasoning", "text"]);
    expect(content[0]).toMatchObject({ text: expect.stringMatching(/^\d+ [-+*/] \d+ = /) });
    expect(content[1]).toMatchObject({ text: expect.stringMatching(/^\s*<answer>.*<\/answer>$/) });
    expect(finishReason).toEqual({ unified: "stop", raw: "stop" });
    const { total, text, reasoning } = usage.outputTokens;
    expect(usage.inputTokens.total).toBe(14);
    expect([total, (text ?? 0) + (reasoning ?? 0)]).toEqual([total, total]);
    expect(reasoning).toBeGreaterThan(text as number);
    expect(warnings).toMatchObject([{ type: "compatibility", feature: "prompt" }]);

    const parts = await streamed(asked());
    expect(parts[0]).toEqual({ type: "stream-start", warnings });
    expect(parts.at(-1)).toEqual({ type: "finish", finishReason, usage });
    expect(parts.filter(({ type }) => type.endsWith("-start")).map(({ type }) => type)).toEqual([
      "stream-start",
      "reasoning-start",
      "text-start",
    ]);
    expect([textOf(parts, "reasoning"), textOf(parts, "text")]).toEqual(
      content.map((part) => (part as { text: string }).text),
    );
    expect(parts.length).toBeGreaterThan(20);
  });

  it("never sends a part of a text that ends it", async () => {
    const whole = (await model.doGenerate(asked())).content[0] as { text: string };
    const call = asked({ stopSequences: [whole.text.slice(7, 18)] });
    const { content } = await model.doGenerate(call);
    expect(content).toEqual([{ type: "reasoning", text: whole.text.slice(0, 7) }]);
    expect(textOf(await streamed(call), "reasoning")).toBe((content[0] as { text: string }).text);
  });

  it("warns of what it does not do, and ends with the signal's reason", async () => {
    const { warnings, finishReason } = await model.doGenerate(
      asked({
        ...{ maxOutputTokens: 2, presencePenalty: 1, reasoning: "high" },
        tools: [{ type: "function", name: "f", inputSchema: { type: "object" } }],
        responseFormat: { type: "json" },
      }),
    );
    const features = warnings.map((warning) => ("feature" in warning ? warning.feature : ""));
    expect(features).toEqual(["tools", "responseFormat", "presencePenalty", "reasoning", "prompt"]);
    expect(finishReason.unified).toBe("length");
    const reason = new Error("enough");
    await expect(model.doGenerate(asked({ abortSignal: AbortSignal.abort(reason) }))).rejects.toBe(reason);
    await expect(streamed(asked({ abortSignal: AbortSignal.abort(reason) }))).rejects.toBe(reason);
  });

  it("says at each call that a model is not there", async () => {
    const missing = sputnik("no/such-model");
    for (let i = 0; i < 2; i++)
      await expect(missing.doGenerate(asked())).rejects.toThrow(/no run and no model called/);
  });
});
