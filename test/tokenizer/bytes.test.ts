/** The vocabulary of bytes: any text, without a file. */
import fc from "fast-check";
import { Tokenizer as Official } from "tokenizers";
import { expect, it } from "vitest";
import { ruleName } from "../../src/checkpoint/gguf/splits.ts";
import { BpeTokenizer } from "../../src/tokenizer/bpe.ts";
import { wellFormed } from "../../src/tokenizer/byte-level.ts";
import { bytesJson } from "../../src/tokenizer/bytes.ts";
import { CompactTokenizer } from "../../src/tokenizer/compact.ts";

const json = bytesJson();
const tokenizer = new BpeTokenizer(json);

it("has a token a byte and a tag, worked out by hand", () => {
  expect(tokenizer).toMatchObject({ vocabSize: 263, padId: 0, bosId: 1, eosId: 2 });
  // Bytes follow the tags in the order of their characters, and the first printable one is "!" (0x21).
  const letter = (text: string) => 7 + text.charCodeAt(0) - 0x21;
  expect(tokenizer.encode("a!<think></think><answer>Z</answer>", { specials: true })).toEqual([
    ...[letter("a"), 7, 3, 4, 5],
    ...[letter("Z"), 6],
  ]);
  // A person's text never makes a tag.
  expect(tokenizer.encode("<think>")).toEqual([..."<think>"].map(letter));
  expect(tokenizer.encode("ü 1")).toHaveLength(4);
});

it("keeps the tags where specials are left out, since the verifier reads them", () => {
  const ids = [1, ...tokenizer.encode("x</think>\n<answer>7</answer>", { specials: true }), 2];
  expect(tokenizer.decode(ids, { skipSpecials: true })).toBe("x</think>\n<answer>7</answer>");
});

it("writes every text, as many tokens as bytes, with the ids of Hugging Face's own library", async () => {
  const official = Official.fromString(JSON.stringify(json));
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: "grapheme", maxLength: 60 }), async (text) => {
      const ids = tokenizer.encode(text);
      expect(ids).toHaveLength(Buffer.byteLength(text));
      expect(tokenizer.decode(ids)).toBe(wellFormed(text));
      expect((await official.encode(text)).getIds()).toEqual(ids);
    }),
  );
});

it("has a split rule that GGUF files can name, and further control tokens where they are asked for", () => {
  expect(ruleName(json as { model: Record<string, unknown> })).toBe("gpt-2");
  const more = new BpeTokenizer(bytesJson(["<｜fim▁hole｜>"]));
  expect(more.vocabSize).toBe(264);
  expect(more.encode("<｜fim▁hole｜><think>", { specials: true })).toEqual([3, 4]);
  expect(more.decode([3, 4], { skipSpecials: true })).toBe("<think>");
});

it("is what the compact vocabulary names for a text that it cannot write", () => {
  expect(() => new CompactTokenizer().encode("How many?")).toThrow(
    /no token for "H".*"82, 27, 11 make 44". A recipe whose task has other text takes tokenizer: \{ kind: bytes \}\.$/,
  );
});
