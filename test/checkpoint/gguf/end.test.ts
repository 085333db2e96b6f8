/** Which tokens end an answer: llama.cpp's rule, case by case. */
import { describe, expect, it } from "vitest";
import { endIds, furtherEnds, toTokenizerContent } from "../../../src/checkpoint/gguf/tokenizer.ts";
import { i32s, Metadata, text, texts, u32 } from "../../../src/checkpoint/gguf/values.ts";
import { tokenizerFrom } from "../../../src/tokenizer/load.ts";

const NONE = { eos: null, eot: null, eom: null, fim_pad: null, fim_rep: null, fim_sep: null };

describe("endIds", () => {
  it.each<[string, string[], Partial<typeof NONE> | Record<string, number>, number[]]>([
    [
      "every key, eos first",
      ["a", "b", "c", "d", "e", "f"],
      { fim_sep: 0, fim_rep: 1, fim_pad: 2, eom: 3, eot: 4, eos: 5 },
      [5, 4, 3, 2, 1, 0],
    ],
    ["Llama 3 with eos alone", ["<|end_of_text|>", "<|eot_id|>", "<|eom_id|>", "x"], { eos: 0 }, [0, 1, 2]],
    ["ChatML", ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], { eos: 0 }, [0, 2]],
    ["Phi-3", ["<|end|>", "<|user|>"], {}, [0]],
    ["Gemma", ["<eos>", "<start_of_turn>", "<end_of_turn>"], { eos: 0 }, [0, 2]],
    ["DeepSeek", ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"], {}, [1]],
    ["harmony: <|end|> ends a part only", ["<|end|>", "<|return|>", "<|call|>"], { eos: 1 }, [1, 2]],
    ["Solar: the same", ["<|end|>", "<|flush|>", "<|calls|>"], { eot: 0 }, [1, 2]],
    ["<|end|> beside <|return|> alone", ["<|end|>", "<|return|>"], {}, [0, 1]],
    ["Gemma 4: not </s>", ["</s>", "<|tool_response>"], {}, [1]],
    [
      "Qwen's middle: found by text",
      ["<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<|fim_middle|>"],
      {},
      [0, 1, 2],
    ],
    ["a key before the text", ["<|fim_pad|>", "x"], { fim_pad: 1 }, [1]],
    ["nothing", ["a", "<think>"], {}, []],
  ])("%s", (_, words, named, ids) => {
    expect(endIds(words, { ...NONE, ...named })).toEqual(ids);
  });
});

describe("ends for a file that has two keys beside EOS", () => {
  const words = ["a", "b", "c", "d", "<|im_end|>", "</s>"];
  it.each<[number[], number[]]>([
    [[0], []],
    [[0, 4], [4]],
    [
      [0, 4, 1],
      [4, 1],
    ],
    // The reader finds 4 and 5 by their texts.
    [
      [0, 4, 5, 1],
      [1, 4],
    ],
    [
      [0, 4, 1, 5, 2],
      [1, 2],
    ],
    // No room for 3.
    [
      [0, 4, 1, 2, 3],
      [1, 2, 3],
    ],
  ])("%j", (stops, further) => {
    const tokenizer = tokenizerFrom(
      {
        model: { type: "BPE", vocab: Object.fromEntries(words.map((word, id) => [word, id])), merges: [] },
      },
      { modelConfig: { eos_token_id: stops } },
    );
    expect(furtherEnds(tokenizer, words)).toEqual(further);
  });
});

describe("a file's tokenizer", () => {
  const words = ["a", "b", "<|im_start|>", "<|im_end|>", "<|endoftext|>"];
  const content = (...entries: [string, ReturnType<typeof text>][]) =>
    toTokenizerContent(
      new Metadata("f", [
        ["tokenizer.ggml.model", text("gpt2")],
        ["tokenizer.ggml.pre", text("qwen2")],
        ["tokenizer.ggml.tokens", texts(words)],
        // <|im_end|> is marked as an ordinary word, as some converters did.
        ["tokenizer.ggml.token_type", i32s([1, 1, 3, 1, 3])],
        ["tokenizer.ggml.merges", texts([])],
        ...entries,
      ]),
    );

  it("stops at every end, and takes its text as a control token", () => {
    const { tokenizer, ids, tokenizerConfig } = content(["tokenizer.ggml.eos_token_id", u32(4)]);
    expect(ids.eos_token_id).toEqual([4, 3]);
    const read = tokenizerFrom(tokenizer, { modelConfig: ids, tokenizerConfig });
    expect([...read.stopIds].sort()).toEqual([3, 4]);
    expect(read.encode("a<|im_end|>b", { specials: true })).toEqual([0, 3, 1]);
    expect(read.decode([0, 3, 1], { skipSpecials: true })).toBe("ab");
  });

  it("whose metadata name none still ends", () => {
    const { ids } = content();
    expect(ids.eos_token_id).toEqual([3, 4]);
  });

  it("passes over ids beyond the vocabulary, which some converters write for none", () => {
    const none = 2 ** 32 - 1;
    const { ids } = content(
      ["tokenizer.ggml.eos_token_id", u32(4)],
      ["tokenizer.ggml.eot_token_id", u32(none)],
      ["tokenizer.ggml.bos_token_id", u32(5)],
      ["tokenizer.ggml.padding_token_id", u32(none)],
    );
    expect(ids).toEqual({ bos_token_id: null, eos_token_id: [4, 3], pad_token_id: null });
    expect(content(["tokenizer.ggml.eos_token_id", u32(none)]).ids.eos_token_id).toEqual([3, 4]);
    expect(() => content(["tokenizer.ggml.eos_token_id", u32(5)])).toThrow(/expected an id below 5/);
  });

  it("has a template for tools beside the usual one", () => {
    const { tokenizerConfig } = content(
      ["tokenizer.chat_template", text("D")],
      ["tokenizer.chat_template.tool_use", text("T")],
    );
    expect(tokenizerConfig.chat_template).toEqual([
      { name: "default", template: "D" },
      { name: "tool_use", template: "T" },
    ]);
  });

  it.each([
    ["llama3", true],
    ["llama-v3", true],
    ["megrez", false],
    ["phi-2", false],
  ])("llama.cpp's other name %s for a split rule", (name, bos) => {
    const { tokenizerConfig } = content(["tokenizer.ggml.pre", text(name)]);
    expect(tokenizerConfig.add_bos_token).toBe(bos);
  });
});
