import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cutDocument, fimDocument } from "../../src/data/fill-in-the-middle.ts";
import { Random } from "../../src/lib/random.ts";
import { BpeTokenizer } from "../../src/tokenizer/bpe.ts";
import { wellFormed } from "../../src/tokenizer/byte-level.ts";
import { CompactTokenizer } from "../../src/tokenizer/compact.ts";
import { encodePieces, FIM_TOKENS, type FimPiece, promptPieces } from "../../src/tokenizer/infill.ts";
import { trainBpe } from "../../src/tokenizer/train.ts";

const tokenizer = new BpeTokenizer(
  trainBpe(["const answer = 42;"], { vocabSize: 300, extra: Object.values(FIM_TOKENS) }),
);
const written = (pieces: readonly FimPiece[]): string =>
  pieces.map((piece) => ("text" in piece ? piece.text : FIM_TOKENS[piece.token])).join("");

/** Texts of pieces in the order of the document, by the tokens around them; null if the form is neither of the two. */
function restored(pieces: readonly FimPiece[]): string | null {
  const form = pieces.map((piece) => ("text" in piece ? "_" : piece.token)).join(" ");
  const texts = pieces.flatMap((piece) => ("text" in piece ? [piece.text] : []));
  if (form === "_") return texts[0];
  if (form === "begin _ hole _ end _") return texts[0] + texts[2] + texts[1];
  if (form === "begin hole _ end _ _") return texts[1] + texts[2] + texts[0];
  return null;
}

describe("cutting", () => {
  it("the pieces are the document, whatever the text, the rate and the order", () => {
    const shares = fc.double({ min: 0, max: 1, noNaN: true });
    fc.assert(
      fc.property(
        fc.string({ unit: "binary", maxLength: 30 }),
        shares,
        shares,
        fc.nat(),
        (text, rate, spm, seed) => {
          const pieces = cutDocument(text, { rate, spm }, new Random(seed));
          expect(restored(pieces)).toBe(text);
          // No character is cut in two: each piece is as well-formed as the whole.
          for (const piece of pieces)
            if ("text" in piece && wellFormed(text) === text) expect(wellFormed(piece.text)).toBe(piece.text);
        },
      ),
    );
  });

  it("the rate is the share of cut documents, and spm the share of those in that order", () => {
    const random = new Random(5);
    const forms = Array.from({ length: 20_000 }, () =>
      cutDocument("abcdef", { rate: 0.4, spm: 0.25 }, random),
    );
    const cut = forms.filter((pieces) => pieces.length > 1);
    const spm = cut.filter(([, second]) => "token" in second);
    // Three standard deviations: 0.01 of 20,000 and 0.015 of 8,000.
    expect(Math.abs(cut.length / forms.length - 0.4)).toBeLessThan(0.0104);
    expect(Math.abs(spm.length / cut.length - 0.25)).toBeLessThan(0.0146);
  });

  it("every pair of places comes up", () => {
    const random = new Random(6);
    const seen = new Set(
      Array.from({ length: 500 }, () => written(cutDocument("abc", { rate: 1, spm: 0 }, random))),
    );
    // Two cuts in three characters, four places each: 4 + 3 + 2 + 1 different ones.
    expect(seen.size).toBe(10);
  });
});

describe("ids", () => {
  const special = (token: string): number => tokenizer.encode(token, { specials: true })[0];
  const [begin, hole, end] = Object.values(FIM_TOKENS).map(special);

  it("psm and spm by hand", () => {
    const [a, b] = [tokenizer.encode("const "), tokenizer.encode(" = 42;")];
    expect(encodePieces(tokenizer, promptPieces("const ", " = 42;"))).toEqual([begin, ...a, hole, ...b, end]);
    expect(encodePieces(tokenizer, promptPieces("const ", " = 42;", "spm"))).toEqual([
      begin,
      hole,
      ...b,
      end,
      ...a,
    ]);
  });

  it("a document is trained from its first token to EOS, and decodes to its pieces", () => {
    const { ids, trainFrom } = fimDocument(
      tokenizer,
      "const answer = 42;",
      { rate: 1, spm: 0 },
      new Random(1),
    );
    expect([ids[0], ids.at(-1), trainFrom]).toEqual([tokenizer.bosId, tokenizer.eosId, 1]);
    expect(tokenizer.decode(ids.slice(1, -1))).toBe(
      written(cutDocument("const answer = 42;", { rate: 1, spm: 0 }, new Random(1))),
    );
  });

  it("control tokens spelled in the text stay text", () => {
    const ids = encodePieces(tokenizer, [{ text: `a${FIM_TOKENS.hole}b` }]);
    expect(ids).not.toContain(hole);
    expect(tokenizer.decode(ids)).toBe(`a${FIM_TOKENS.hole}b`);
  });

  it("a vocabulary without the tokens is refused", () => {
    const bare = new BpeTokenizer(trainBpe(["abc"], { vocabSize: 300 }));
    expect(() => encodePieces(bare, promptPieces("a", "b"))).toThrow(
      expect.objectContaining({ kind: "tokenizer" }),
    );
    expect(() => encodePieces(new CompactTokenizer(), promptPieces("1", "2"))).toThrow(
      expect.objectContaining({ kind: "tokenizer" }),
    );
  });
});
