/** What a model's tokenizer puts around a text, and that every place which starts a text puts exactly that. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { fimDocument } from "../../src/data/fill-in-the-middle.ts";
import { encodePrompt } from "../../src/data/prompt.ts";
import { documentSource } from "../../src/data/sources.ts";
import { Random } from "../../src/lib/random.ts";
import { beginIds, endIds } from "../../src/tokenizer/around.ts";
import { BpeTokenizer } from "../../src/tokenizer/bpe.ts";
import { CompactTokenizer } from "../../src/tokenizer/compact.ts";
import { BPE_SPECIALS, trainBpe } from "../../src/tokenizer/train.ts";
import { temporaryFolder } from "../checkpoint/temporary.ts";

interface Case {
  name: string;
  post_processor: unknown;
  config: Record<string, unknown>;
  ids: number[];
}

// By transformers: scripts/fixtures/golden_around.py. The base's ids: <s> 1, </s> 2, <|a|> 3, <|b|> 4, "xy" 7.
const { base, cases } = JSON.parse(
  readFileSync(new URL("../fixtures/around.json", import.meta.url), "utf8"),
) as { base: Record<string, unknown>; cases: Case[] };
const read = (post_processor: unknown, tokenizerConfig: Record<string, unknown>, bosId?: number) =>
  new BpeTokenizer(
    { ...base, post_processor },
    // Qwen2.5 and SmolLM2 name a BOS in config.json, which adds none.
    { tokenizerConfig, modelConfig: { bos_token_id: bosId ?? 1 } },
  );
const around = (tokenizer: BpeTokenizer): number[] => [
  ...tokenizer.around.before,
  ...tokenizer.encode("xy"),
  ...tokenizer.around.after,
];

it.each(cases)("$name, as transformers", ({ post_processor, config, ids }) => {
  expect(around(read(post_processor, config))).toEqual(ids);
});

describe("the config has the last word about its two tokens", () => {
  const bytes = { type: "ByteLevel", add_prefix_space: true, trim_offsets: false, use_regex: true };
  const named = { tokenizer_class: "PreTrainedTokenizerFast", bos_token: "<s>", eos_token: "</s>" };
  const both = cases.find(({ name }) => name === "before and after")?.post_processor;
  const more = cases.find(({ name }) => name.startsWith("several"))?.post_processor;
  // Of transformers 4's LlamaTokenizerFast and of llama.cpp's converter, worked out by hand.
  it.each([
    ["DeepSeek-R1: it adds BOS", bytes, { add_bos_token: true, add_eos_token: false }, [1, 7]],
    ["both", null, { add_bos_token: true, add_eos_token: true }, [1, 7, 2]],
    ["EOS alone", null, { add_eos_token: true }, [7, 2]],
    ["no BOS, whatever the template says", both, { add_bos_token: false }, [7, 2]],
    ["no EOS", both, { add_eos_token: false }, [1, 7]],
    ["what the template has is not doubled", both, { add_bos_token: true, add_eos_token: true }, [1, 7, 2]],
    ["other tokens of the template stay", more, { add_bos_token: false }, [3, 7, 4, 3, 2]],
    ["null says nothing", both, { add_bos_token: null, add_eos_token: null }, [1, 7, 2]],
    ["a BOS that is null", bytes, { bos_token: null, add_bos_token: true }, [7]],
    ["a BOS that is an object", null, { bos_token: { content: "<|a|>" }, add_bos_token: true }, [3, 7]],
  ])("%s", (_, processor, config, ids) => {
    expect(around(read(processor, { ...named, ...config }))).toEqual(ids);
  });
});

it("a template's token that the vocabulary lacks is named", () => {
  const single = [{ SpecialToken: { id: "<gone>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }];
  expect(() => read({ type: "TemplateProcessing", single, special_tokens: {} }, {})).toThrow(
    /post_processor: expected tokens of its vocabulary, found "<gone>"/,
  );
});

describe("a tokenizer that we trained", () => {
  const json = trainBpe([], { vocabSize: 259 });
  it("begins with BOS, with and without a config", () => {
    const config = { tokenizer_class: "PreTrainedTokenizerFast", bos_token: BPE_SPECIALS.bos };
    expect(new BpeTokenizer(json).around).toEqual({ before: [1], after: [] });
    expect(new BpeTokenizer(json, { tokenizerConfig: config }).around.before).toEqual([1]);
    expect(new CompactTokenizer().around).toEqual({ before: [1], after: [] });
  });
  it("does not where its files say otherwise", () => {
    const of = (config: Record<string, unknown>): readonly number[] =>
      new BpeTokenizer(json, { tokenizerConfig: { bos_token: BPE_SPECIALS.bos, ...config } }).around.before;
    expect(of({ add_bos_token: false })).toEqual([]);
    expect(of({ tokenizer_class: "GPT2Tokenizer" })).toEqual([]);
  });
  it("is known by its ids too: the same spellings elsewhere are DeepSeek's", () => {
    const moved = (json.added_tokens as { id: number; content: string }[]).map((token, i, all) => ({
      ...token,
      content: all[(i + 1) % 3].content,
    }));
    const tokenizer = new BpeTokenizer({ ...json, added_tokens: moved });
    expect([tokenizer.bosId, tokenizer.around.before]).toEqual([0, []]);
  });
});

describe("every place that starts a text", () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, "d.jsonl"), '{"prompt": "x", "completion": "y"}\n');
  writeFileSync(join(folder, "d.txt"), "xy\n");
  const ends = { bos_token: "<s>", eos_token: "</s>" };
  const wrapped = cases.find(({ name }) => name.startsWith("several"));
  const tokenizers: [string, BpeTokenizer, number[], number[]][] = [
    ["nothing around", read(cases[1].post_processor, cases[1].config), [], [2]],
    ["BOS", read(null, { ...ends, add_bos_token: true }), [1], [2]],
    ["both", read(null, { ...ends, add_bos_token: true, add_eos_token: true }), [1], [2]],
    ["several", read(wrapped?.post_processor, wrapped?.config ?? {}), [3, 1], [4, 3, 2]],
  ];
  it.each(tokenizers)("%s", (_, tokenizer, before, after) => {
    expect(beginIds(tokenizer)).toEqual(before);
    expect(endIds(tokenizer)).toEqual(after);
    // GRPO and evaluations: the text goes on.
    expect(encodePrompt({ tokenizer }, "xy")).toEqual([...before, 7]);
    const source = (kind: "jsonl" | "text", file: string) =>
      documentSource({ kind, file: join(folder, file) }, { tokenizer }, { seed: 1, stage: "pretrain" })(0);
    expect(source("jsonl", "d.jsonl")).toEqual({
      ids: [...before, 5, 6, ...after],
      trainFrom: before.length + 1,
    });
    expect(source("text", "d.txt")).toEqual({ ids: [...before, 7, ...after], trainFrom: before.length });
    expect(fimDocument(tokenizer, "xy", { rate: 0, spm: 0 }, new Random(1, "fim", 0))).toEqual({
      ids: [...before, 7, ...after],
      trainFrom: before.length,
    });
  });
});
