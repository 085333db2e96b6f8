import { Tokenizer as Official } from "tokenizers";
import { describe, expect, it } from "vitest";
import { ruleName, SPLIT_RULES } from "../../../src/checkpoint/gguf/splits.ts";
import { tokenizerMetadata, toTokenizerContent } from "../../../src/checkpoint/gguf/tokenizer.ts";
import { i32s, Metadata, type MetadataValue, text, texts } from "../../../src/checkpoint/gguf/values.ts";
import { CompactTokenizer } from "../../../src/tokenizer/compact.ts";
import { tokenizerFrom } from "../../../src/tokenizer/load.ts";
import { trainBpe } from "../../../src/tokenizer/train.ts";
import { CORPUS } from "../../tokenizer/corpus.ts";
import { FUZZED, RULE_TEXTS, withRule } from "./rules.ts";

const RULES = Object.keys(SPLIT_RULES);
describe.each(RULES)("%s", (name) => {
  const json = withRule(name);
  const tokenizer = tokenizerFrom(json);

  it("survives the way to GGUF and back", () => {
    const config = { chat_template: "{{ messages }}", add_bos_token: false };
    const metadata = new Metadata("f", tokenizerMetadata("f", tokenizer, config, tokenizer.vocabSize + 3));
    expect(metadata.text("tokenizer.ggml.pre")).toBe(name);
    expect(metadata.texts("tokenizer.ggml.tokens").at(-1)).toBe(`[PAD${tokenizer.vocabSize + 2}]`);
    const content = toTokenizerContent(metadata);
    expect(content.tokenizerConfig).toMatchObject(config);
    expect(content.tokenizer.pre_tokenizer).toEqual(json.pre_tokenizer);
    const back = tokenizerFrom(content.tokenizer, { tokenizerConfig: content.tokenizerConfig });
    expect([back.bosId, back.eosId, back.padId]).toEqual([tokenizer.bosId, tokenizer.eosId, tokenizer.padId]);
    expect(back.vocabSize).toBe(tokenizer.vocabSize);
    for (const one of RULE_TEXTS)
      expect(back.encode(one, { specials: true })).toEqual(tokenizer.encode(one, { specials: true }));
  });

  it("gives the official library's ids", async () => {
    const official = Official.fromString(JSON.stringify(json));
    for (const one of [...RULE_TEXTS, ...FUZZED])
      expect(tokenizer.encode(one), JSON.stringify(one)).toEqual((await official.encode(one)).getIds());
  });
});

it("rules differ where they should", () => {
  const ids = (name: string, text: string) => tokenizerFrom(withRule(name)).encode(text).length;
  const seen = RULES.map((name) =>
    JSON.stringify(RULE_TEXTS.map((one) => tokenizerFrom(withRule(name)).encode(one))),
  );
  expect(new Set(seen).size).toBe(RULES.length);
  // Digits alone, and in runs of three of which two merge.
  expect([ids("smollm", "1234"), ids("llama-bpe", "1234")]).toEqual([4, 3]);
});

it("knows SmolLM2's own spelling of its rule", () => {
  const digits = { type: "Digits", individual_digits: true };
  const bytes = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
  const pre_tokenizer = { type: "Sequence", pretokenizers: [digits, bytes] };
  expect(ruleName({ pre_tokenizer, model: {} })).toBe("smollm");
  expect(ruleName({ pre_tokenizer, normalizer: { type: "NFC" }, model: {} })).toBeUndefined();
  expect(ruleName({ pre_tokenizer: bytes, model: {} })).toBe("gpt-2");
});

it("names DeepSeek LLM's own file, which cuts between digits, only where no merge joins digits", () => {
  const json = structuredClone(withRule("deepseek-llm")) as {
    pre_tokenizer: { pretokenizers: unknown[] };
    model: { merges: string[] };
  };
  json.pre_tokenizer.pretokenizers[5] = { type: "Digits", individual_digits: true };
  expect(ruleName(json)).toBeUndefined();
  json.model.merges = json.model.merges.filter((merge) => !/[0-9] [0-9]/.test(merge));
  expect(ruleName(json)).toBe("deepseek-llm");
});

describe("refused, never guessed (C7)", () => {
  const ours = tokenizerFrom(trainBpe(CORPUS, { vocabSize: 300 }));

  it("our own split rule, for which llama.cpp has no name", () => {
    expect(() => tokenizerMetadata("f", ours, {}, ours.vocabSize)).toThrow(
      /f, tokenizer.json pre_tokenizer: expected .*llama.cpp has a name for: gpt-2, smollm.*in a recipe: tokenizer.split/,
    );
  });

  it("one changed character in a known rule", () => {
    const json = structuredClone(withRule("deepseek-v3"));
    const [first] = (json.pre_tokenizer as { pretokenizers: { pattern: { Regex: string } }[] }).pretokenizers;
    first!.pattern.Regex = "\\p{N}{1,4}";
    const changed = tokenizerFrom(json);
    expect(() => tokenizerMetadata("f", changed, {}, changed.vocabSize)).toThrow(/split rule/);
  });

  const base = (): [string, MetadataValue][] => [
    ["tokenizer.ggml.model", text("gpt2")],
    ["tokenizer.ggml.pre", text("qwen2")],
    ["tokenizer.ggml.tokens", texts(["a", "b"])],
    ["tokenizer.ggml.merges", texts([])],
  ];
  it.each<[string, [string, MetadataValue], RegExp]>([
    [
      "an unknown rule",
      ["tokenizer.ggml.pre", text("viking")],
      /key tokenizer.ggml.pre: expected a split rule out of .*deepseek-v3, found "viking".*wrong ids without an error/,
    ],
    ["a default rule", ["tokenizer.ggml.pre", text("default")], /found "default"/],
    ["an inherited name", ["tokenizer.ggml.pre", text("toString")], /found "toString"/],
    [
      "SentencePiece",
      ["tokenizer.ggml.model", text("llama")],
      /expected "gpt2", a byte-level BPE, found "llama"/,
    ],
    ["a token twice", ["tokenizer.ggml.tokens", texts(["a", "a"])], /each token once, "a" too/],
    ["kinds for fewer tokens", ["tokenizer.ggml.token_type", i32s([1])], /token_type: expected 2 numbers/],
    [
      "an id outside",
      ["tokenizer.ggml.eos_token_id", { type: "U32", value: 2 }],
      /eos_token_id: expected an id below 2/,
    ],
  ])("%s", (_, entry, message) => {
    expect(() => toTokenizerContent(new Metadata("f", [...base(), entry]))).toThrow(message);
  });
  it("no rule at all", () => {
    const entries = base().filter(([key]) => !key.endsWith(".pre"));
    expect(() => toTokenizerContent(new Metadata("f", entries))).toThrow(
      /key tokenizer.ggml.pre: expected a text, found nothing/,
    );
  });
});

it("our closed vocabulary travels as words to be found in the text", () => {
  const compact = new CompactTokenizer();
  const metadata = new Metadata("f", tokenizerMetadata("f", compact, {}, 32));
  expect([...metadata.integers("tokenizer.ggml.token_type")!].slice(0, 5)).toEqual([3, 3, 3, 4, 4]);
  expect(metadata.flag("tokenizer.ggml.add_bos_token", null)).toBe(true);
  const { tokenizer } = toTokenizerContent(metadata);
  expect(tokenizerFrom(tokenizer)).toBeInstanceOf(CompactTokenizer);
});
