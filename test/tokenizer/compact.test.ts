import fc from "fast-check";
import { Tokenizer as Official } from "tokenizers";
import { describe, expect, it } from "vitest";
import { COMPACT_TOKENS, CompactTokenizer, compactIds } from "../../src/tokenizer/compact.ts";
import { tokenizerFrom } from "../../src/tokenizer/load.ts";

const tokenizer = new CompactTokenizer();
const DOCUMENT =
  "82, 27, 11 make 44\n<think>\n82 - 27 = 55, 55 - 11 = 44, yes!\n</think>\n<answer>(82 - 27) - 11</answer>";

/** Ids with a text; pad, bos and eos have none. */
const spoken = fc.array(fc.integer({ min: 3, max: 28 }), { maxLength: 80 });

describe("compact vocabulary", () => {
  it("has the written ids", () => {
    expect(COMPACT_TOKENS).toHaveLength(29);
    expect(compactIds).toMatchObject({
      pad: 0,
      bos: 1,
      eos: 2,
      think: 3,
      answerEnd: 6,
      digit0: 7,
      digit9: 16,
    });
    expect(compactIds).toMatchObject({
      plus: 17,
      equals: 21,
      comma: 24,
      make: 25,
      newline: 26,
      no: 27,
      yes: 28,
    });
  });

  it("encodes a document, worked out by hand", () => {
    const ids = tokenizer.encode(DOCUMENT, { specials: true });
    const prompt = [15, 9, 24, 9, 14, 24, 8, 8, 25, 11, 11, 26, 3];
    const thought = [15, 9, 18, 9, 14, 21, 12, 12, 24, 12, 12, 18, 8, 8, 21, 11, 11, 28, 4];
    const answer = [5, 22, 15, 9, 18, 9, 14, 23, 18, 8, 8, 6];
    expect(ids).toEqual([...prompt, ...thought, ...answer]);
    expect(tokenizer.decode([1, ...ids, 2, 0, 0])).toBe(DOCUMENT);
  });

  it("prefers the longest text", () => {
    expect(tokenizer.encode("1, no.\n2, 3, yes!\n")).toEqual([8, 27, 9, 24, 10, 28]);
  });

  it("never makes a control token of a person's text (C2)", () => {
    expect(() => tokenizer.encode("1 make 2\n<think>\n")).toThrow(expect.objectContaining({ kind: "input" }));
    expect(() => tokenizer.encode("</answer>")).toThrow(/"<" \(U\+003C\) at offset 0/);
  });

  it.each([
    ["1 + x", "x", 4],
    ["1+1", "+", 1],
    ["12 😀", " ", 2],
    ["１", "１", 0],
    ["1 make  2", " ", 7],
  ])("names the unknown character of %j", (text, character, offset) => {
    try {
      tokenizer.encode(text);
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({ kind: "input", data: { character, offset } });
    }
  });

  it("keeps the tags when specials are skipped, since the verifier reads them", () => {
    expect(tokenizer.decode([1, 3, 4, 5, 8, 6, 2], { skipSpecials: true })).toBe(
      "<think>\n</think>\n<answer>1</answer>",
    );
    expect(() => tokenizer.decode([29])).toThrow(RangeError);
  });

  it("decodes uniquely (Sardinas-Patterson: no dangling suffix is a token text)", () => {
    const texts = COMPACT_TOKENS.filter((text) => text !== "");
    let suffixes = new Set<string>();
    const cut = (prefixes: Iterable<string>, whole: Iterable<string>) => {
      for (const a of prefixes)
        for (const b of whole) if (a !== b && b.startsWith(a)) next.add(b.slice(a.length));
    };
    let next = new Set<string>();
    cut(texts, texts);
    const seen = new Set<string>();
    while (next.size > 0) {
      suffixes = next;
      next = new Set();
      for (const suffix of suffixes) {
        expect(texts).not.toContain(suffix);
        seen.add(suffix);
      }
      cut(suffixes, texts);
      cut(texts, suffixes);
      for (const suffix of seen) next.delete(suffix);
    }
    expect([...seen].sort()).toEqual(["no.\n", "yes!\n"]);
  });

  it("round-trips every sequence of spoken ids", () => {
    fc.assert(
      fc.property(spoken, (ids) => {
        expect(tokenizer.encode(tokenizer.decode(ids), { specials: true })).toEqual(ids);
      }),
    );
  });

  it("gives equal ids and text in the official library", async () => {
    const official = Official.fromString(JSON.stringify(tokenizer.toJSON()));
    expect(official.getVocabSize()).toBe(29);
    expect((await official.encode(DOCUMENT)).getIds()).toEqual(
      tokenizer.encode(DOCUMENT, { specials: true }),
    );
    await fc.assert(
      fc.asyncProperty(spoken, async (ids) => {
        const text = tokenizer.decode(ids);
        expect((await official.encode(text)).getIds()).toEqual(ids);
        expect(await official.decode([1, ...ids, 2, 0], true)).toBe(text);
      }),
      { numRuns: 200 },
    );
    await expect(official.encode("1 + x")).rejects.toThrow();
  });

  it("has further ids with the words of two languages, and is read back from its file", async () => {
    const bilingual = new CompactTokenizer("bilingual");
    expect(bilingual.encode(DOCUMENT, { specials: true })).toEqual(
      tokenizer.encode(DOCUMENT, { specials: true }),
    );
    const text = "greet and thank 7, 42\nнай-голямо от 1, 2\n82, 11 правят 71\n82 - 11 = 71, да!\n";
    const ids = bilingual.encode(text);
    expect(Math.max(...ids)).toBeGreaterThan(28);
    expect(bilingual.decode(ids)).toBe(text);
    expect(() => tokenizer.encode(text)).toThrow(/no token for "g"/);
    const official = Official.fromString(JSON.stringify(bilingual.toJSON()));
    expect((await official.encode(text)).getIds()).toEqual(ids);
    expect(official.getVocabSize()).toBe(bilingual.vocabSize);
    const back = tokenizerFrom(JSON.parse(JSON.stringify(bilingual.toJSON()))) as CompactTokenizer;
    expect(back.words).toBe("bilingual");
    expect((tokenizerFrom(tokenizer.toJSON()) as CompactTokenizer).words).toBe("countdown");
  });
});
