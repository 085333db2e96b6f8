/** The prompt for a hole in the spelling of each family. */
import { expect, it } from "vitest";
import { BpeTokenizer } from "../../src/tokenizer/bpe.ts";
import { encodePieces, fimIds, promptPieces } from "../../src/tokenizer/infill.ts";
import { trainBpe } from "../../src/tokenizer/train.ts";

const withTokens = (extra: string[]): BpeTokenizer =>
  new BpeTokenizer(trainBpe([], { vocabSize: 259 + extra.length, extra }));

// As the families' model cards write the prompt of a hole between "a" and "b".
it.each([
  ["DeepSeek-Coder", "<｜fim▁begin｜>a<｜fim▁hole｜>b<｜fim▁end｜>"],
  ["Qwen2.5-Coder and CodeGemma", "<|fim_prefix|>a<|fim_suffix|>b<|fim_middle|>"],
  ["StarCoder", "<fim_prefix>a<fim_suffix>b<fim_middle>"],
  ["SantaCoder", "<fim-prefix>a<fim-suffix>b<fim-middle>"],
])("%s", (_, written) => {
  const tokens = written.match(/<[^<>]+>/g) as string[];
  // Another order in the vocabulary than in the prompt.
  const tokenizer = withTokens([...tokens].reverse());
  const ids = encodePieces(tokenizer, promptPieces("a", "b"));
  expect(ids).toHaveLength(5);
  expect(tokenizer.decode(ids)).toBe(written);
});

it("two of three tokens are none, and the message says what a person can do", () => {
  const tokenizer = withTokens(["<fim_prefix>", "<fim_suffix>"]);
  expect(() => fimIds(tokenizer)).toThrow(/can't fill holes.*base model for code/);
});
