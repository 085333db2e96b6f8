/** The prompt for a hole in the spelling of each family. */
import { describe, expect, it } from "vitest";
import { beginIds } from "../../src/tokenizer/begin.ts";
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

describe("a text begins with BOS", () => {
  const json = trainBpe([], { vocabSize: 259 });
  const ours = new BpeTokenizer(json);
  const processed = (post_processor: unknown) => new BpeTokenizer({ ...json, post_processor });
  const byteLevel = { type: "ByteLevel", trim_offsets: true };
  const template = {
    type: "Sequence",
    processors: [
      byteLevel,
      { type: "TemplateProcessing", single: [{ SpecialToken: { id: "<bos>", type_id: 0 } }] },
    ],
  };
  it.each([
    ["ours", ours, {}, true],
    ["one that says so", processed(byteLevel), { add_bos_token: true }, true],
    ["one that says no", ours, { add_bos_token: false }, false],
    ["Llama 3's post-processor", processed(template), { tokenizer_class: "PreTrainedTokenizerFast" }, true],
    ["GPT-2's", processed(byteLevel), { tokenizer_class: "GPT2Tokenizer" }, false],
    ["GPT-2's class alone", ours, { tokenizer_class: "GPT2Tokenizer" }, false],
  ])("%s", (_, tokenizer, config, begins) => {
    expect(beginIds(tokenizer, config)).toEqual(begins ? [tokenizer.bosId] : []);
  });
});
