/** Decoding as the official library does it, whatever the ids, at once and piece by piece. */
import fc from "fast-check";
import { Tokenizer as Official } from "tokenizers";
import { describe, expect, it } from "vitest";
import { BpeTokenizer } from "../../src/tokenizer/bpe.ts";
import { CompactTokenizer } from "../../src/tokenizer/compact.ts";
import { completionText, TextStream } from "../../src/tokenizer/stream.ts";
import type { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { trainBpe } from "../../src/tokenizer/train.ts";
import { DECODERS, id, sentencePiece, sentencePieceJson, TOKENS } from "./sentencepiece.ts";

const wellFormed = (text: string): boolean => !/\p{Surrogate}/u.test(text);
const pieces = (tokenizer: Tokenizer, ids: readonly number[], prompt: readonly number[] = []): string[] => {
  const stream = new TextStream(tokenizer, prompt);
  return [...ids.map((one) => stream.push(one)), stream.end()];
};

/** Bytes alone, with control tokens that have letters outside the bytes' alphabet and inside. */
const bytesJson = trainBpe(["the quick brown fox, 3 + 4"], {
  vocabSize: 300,
  extra: ["<think>", "<｜User｜>", "<a b>"],
});
const bytes = new BpeTokenizer(bytesJson);

describe("any ids, as the official library decodes them", () => {
  const few = [
    id("▁"),
    id("▁the"),
    id("▁▁▁▁"),
    id("fox"),
    id("<0xF0>"),
    id("<0x9F>"),
    id("<0x98>"),
    id("<0x80>"),
  ];
  const spoken = fc.oneof(
    fc.array(fc.constantFrom(...few, id("\uFFFD"), id("<s>"), id("[INST]")), { maxLength: 12 }),
    fc.array(fc.nat(TOKENS.length - 1), { maxLength: 12 }),
  );
  // A Strip with `stop` lets the official library panic on short texts.
  it.each(Object.keys(DECODERS).filter((name) => name !== "both ends stripped"))("%s", async (name) => {
    const official = Official.fromString(JSON.stringify(sentencePieceJson(name)));
    const tokenizer = sentencePiece(name);
    await fc.assert(
      fc.asyncProperty(spoken, async (ids) => {
        const expected = await official.decode(ids, true);
        expect(tokenizer.decode(ids, { skipSpecials: true })).toBe(expected);
        const told = pieces(tokenizer, ids);
        expect(told.join("")).toBe(expected);
        expect(told.every(wellFormed)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  it("a byte-level BPE", async () => {
    const official = Official.fromString(JSON.stringify(bytesJson));
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(bytes.vocabSize - 1), { maxLength: 12 }), async (ids) => {
        const expected = await official.decode(ids, true);
        expect(bytes.decode(ids, { skipSpecials: true })).toBe(expected);
        const told = pieces(bytes, ids);
        expect(told.join("")).toBe(expected);
        expect(told.every(wellFormed)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it("bytes that are no character, and a literal U+FFFD, before one of several bytes", () => {
    const smile = bytes.encode("😀");
    for (const ids of [
      [...smile.slice(0, 2), ...bytes.encode("é😀")],
      [...bytes.encode("\uFFFD"), ...smile],
      [...smile.slice(1), ...smile],
      [...smile.slice(0, 3), bytes.eosId as number, ...smile],
    ]) {
      expect(pieces(bytes, ids).join("")).toBe(bytes.decode(ids, { skipSpecials: true }));
      expect(pieces(bytes, ids).every(wellFormed)).toBe(true);
    }
    expect(pieces(bytes, [...bytes.encode("\uFFFD"), ...smile]).join("")).toBe("\uFFFD😀");
    // Cut in the middle of a character: told at the end.
    expect(pieces(bytes, smile.slice(0, 2))).toEqual(["", "", "\uFFFD"]);
  });
});

describe("after a prompt", () => {
  const [the, quick, fox] = [id("▁the"), id("▁quick"), id("▁fox")];
  it.each(["Llama 2", "Gemma", "Metaspace, always", "Metaspace, first", "Metaspace, never"])(
    "%s: the first blank is kept",
    (name) => {
      const tokenizer = sentencePiece(name);
      expect(pieces(tokenizer, [fox, fox], [1, the, quick])).toEqual([" fox", " fox", ""]);
      expect(completionText(tokenizer, [1, the, quick], [fox, fox, 2]).text).toBe(" fox fox");
    },
  );

  it("indentation of code is kept", () => {
    const tokenizer = sentencePiece("Llama 2");
    const prompt = [1, id("a"), id("\n")];
    expect(pieces(tokenizer, [id("▁▁▁▁"), id("x")], prompt).join("")).toBe("    x");
  });

  // At a text's beginning the blank is the one that encoding put there; BOS has no text.
  it.each([
    ["Llama 2", "fox fox"],
    ["Metaspace, first", "fox fox"],
    ["Gemma", " fox fox"],
    ["Metaspace, never", " fox fox"],
  ])("%s: at the beginning %j", (name, text) => {
    expect(pieces(sentencePiece(name), [fox, fox], [1]).join("")).toBe(text);
    expect(pieces(sentencePiece(name), [fox, fox]).join("")).toBe(text);
  });

  it("characters at both ends are stripped off the joined text", () => {
    const tokenizer = sentencePiece("both ends stripped");
    const text = ["▁▁▁▁", "a", "▁", "b", "▁", "▁▁▁▁"].map(id);
    expect(pieces(tokenizer, text)).toEqual(["", "  a", "", " b", "", "   ", ""]);
    expect(tokenizer.decode(text)).toBe("  a b   ");
    expect(tokenizer.decode([id("▁▁")])).toBe("");
  });

  it("what the decoder still holds of the prompt is not told again", () => {
    const smile = ["<0xF0>", "<0x9F>", "<0x98>", "<0x80>"].map(id);
    expect(pieces(sentencePiece("Llama 2"), [id("x")], [1, ...smile]).join("")).toBe("x");
    expect(pieces(sentencePiece("ends of words"), [id("x")], [id("fox▁")]).join("")).toBe(" x");
    expect(pieces(sentencePiece("both ends stripped"), [id("x")], [id("a"), id("▁")]).join("")).toBe(" x");
  });

  it("any prompt and completion are the text of both", () => {
    const word = fc.constantFrom(...["▁the", "▁quick", "fox", "▁▁", "▁", "é", "x▁y", "\n"].map(id));
    for (const name of ["Llama 2", "Gemma", "Metaspace, always", "Metaspace, never"]) {
      const tokenizer = sentencePiece(name);
      const text = (ids: number[]): string => tokenizer.decode(ids, { skipSpecials: true });
      fc.assert(
        fc.property(fc.array(word, { maxLength: 80 }), fc.array(word, { maxLength: 8 }), (prompt, ids) => {
          expect(text([1, ...prompt]) + pieces(tokenizer, ids, [1, ...prompt]).join("")).toBe(
            text([1, ...prompt, ...ids]),
          );
        }),
        { numRuns: 60 },
      );
    }
  });
});

describe("a completion's text", () => {
  it("has no token that ended it, special or not", () => {
    const json = sentencePieceJson("Gemma");
    const tokenizer = new BpeTokenizer(json, { generationConfig: { eos_token_id: [2, id("[/INST]")] } });
    expect(completionText(tokenizer, [], [id("a"), id("[/INST]")])).toEqual({ text: "a", ends: [1, 1] });
  });
  it("says how much of it is known with each id", () => {
    const ids = bytes.encode("aé×b");
    expect(completionText(bytes, [], ids)).toEqual({ text: "aé×b", ends: [1, 1, 2, 2, 3, 4] });
  });
  it("of our closed vocabulary is its tokens' texts", () => {
    const tokenizer = new CompactTokenizer();
    const ids = [8, 18, 9, 4, 2];
    expect(completionText(tokenizer, [1, 8], ids).text).toBe(tokenizer.decode(ids));
  });
});

describe("a decoder that cannot be used", () => {
  const of = (decoder: unknown) => new BpeTokenizer({ ...sentencePieceJson("Gemma"), decoder });
  it.each([
    [
      { type: "CTC", pad_token: "", word_delimiter_token: "|", cleanup: true },
      /decoder: .*language model, found "CTC"/,
    ],
    [{ type: "Replace", pattern: { Regex: "(a+a+)+b" }, content: "" }, /regular expression/],
  ])("%j is refused", (decoder, message) => {
    expect(() => of(decoder)).toThrow(message);
  });
  it("replacements that double a text are stopped", () => {
    const twice = { type: "Replace", pattern: { String: "a" }, content: "aa" };
    const tokenizer = of({ type: "Sequence", decoders: Array.from({ length: 26 }, () => twice) });
    expect(() => tokenizer.decode([id("a")])).toThrow(/longer/);
  });
});
