import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Tokenizer as Official } from "tokenizers";
import { describe, expect, it } from "vitest";
import { BpeTokenizer } from "../../src/tokenizer/bpe.ts";
import { SPLIT_PATTERN } from "../../src/tokenizer/byte-level.ts";
import { trainBpe } from "../../src/tokenizer/train.ts";
import { CORPUS } from "./corpus.ts";

interface Trained {
  model: { vocab: Record<string, number>; merges: string[] };
}
const train = (texts: string[], vocabSize: number, minFrequency?: number) =>
  trainBpe(texts, { vocabSize, ...(minFrequency && { minFrequency }) }) as unknown as Trained;

describe("split rule", () => {
  it("separates digits, line breaks, letters, punctuation and CJK", () => {
    const pieces = "Hi, I'm 42!\r\n\n  你好ok 9\u0301 a  \n".match(new RegExp(SPLIT_PATTERN, "gu"));
    // One blank leads a word or punctuation, never a digit or a CJK run.
    expect(pieces).toEqual([
      "Hi",
      ",",
      " I",
      "'",
      "m",
      " ",
      "4",
      "2",
      "!",
      "\r\n\n",
      " ",
      " ",
      "你好",
      "ok",
      " ",
      "9",
      "\u0301",
      " a",
      "  ",
      "\n",
    ]);
  });
});

describe("trainBpe", () => {
  it("merges the most frequent pair first, worked out by hand", () => {
    // low x5, lower x2, newest x6, widest x3 (Sennrich et al., section 3.2), each on a line of its own.
    const words = [
      ...Array(5).fill("low"),
      ...Array(2).fill("lower"),
      ...Array(6).fill("newest"),
      ...Array(3).fill("widest"),
    ];
    const { model } = train(words, 3 + 256 + 4);
    // es 9 (st 9, ties go to the smaller ids), then es+t 9, lo 7 (ow 7), lo+w 7.
    expect(model.merges).toEqual(["e s", "es t", "l o", "lo w"]);
    expect(model.vocab.low).toBe(262);
  });

  it("stops where pairs become rare, and refuses a vocabulary without room", () => {
    expect(train(["ab ab cd"], 1000).model.merges).toEqual(["a b"]);
    expect(train(["ab cd"], 1000, 1).model.merges).toEqual(
      ["a b", "c d", "Ġ cd"].sort((a, b) => (a < b ? -1 : 1)).sort(),
    );
    expect(() => trainBpe([], { vocabSize: 258 })).toThrow(/at least 259/);
    expect(train([], 300).model.merges).toEqual([]);
  });

  it("learns the merges of Hugging Face's own trainer", async () => {
    const folder = mkdtempSync(join(tmpdir(), "sputnik-bpe-"));
    try {
      // Its trainer reads lines; blank-free ends keep both sides on the same pieces.
      const lines = CORPUS.join("")
        .split("\n")
        .map((line) => line.trim())
        .filter((line) => line !== "");
      writeFileSync(join(folder, "text.txt"), `${lines.join("\n")}`);
      const untrained = trainBpe([], { vocabSize: 259 });
      const official = Official.fromString(
        JSON.stringify({ ...untrained, added_tokens: [], model: { type: "BPE", vocab: {}, merges: [] } }),
      );
      official.train([join(folder, "text.txt")]);
      official.save(join(folder, "tokenizer.json"));
      const theirs = JSON.parse(readFileSync(join(folder, "tokenizer.json"), "utf8")) as {
        model: { merges: [string, string][] };
      };
      const texts = lines.map((line, i) => (i + 1 < lines.length ? `${line}\n` : line));
      const ours = train(texts, 2000, 1).model.merges;
      expect(ours.length).toBeGreaterThan(200);
      expect(ours).toEqual(theirs.model.merges.map((pair) => pair.join(" ")));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("never merges across classes: every digit is a token", () => {
    const tokenizer = new BpeTokenizer(trainBpe(["2024 2024 2024 2024 x,, x,, 你a 你a"], { vocabSize: 300 }));
    expect(tokenizer.encode("2024").map((id) => tokenizer.decode([id]))).toEqual(["2", "0", "2", "4"]);
    expect(tokenizer.encode("你a").map((id) => tokenizer.decode([id]))).toEqual(["你", "a"]);
  });

  it("is quick enough for a megabyte", () => {
    const words = Array.from({ length: 170_000 }, (_, i) => `w${((i * 7919) % 5003).toString(36)}`);
    const start = performance.now();
    expect(train([words.join(" ")], 1500).model.merges.length).toBeGreaterThan(1000);
    // Bound for a hang (quadratic behaviour), not for speed: it takes about a second.
    expect(performance.now() - start).toBeLessThan(20_000);
  });
});
