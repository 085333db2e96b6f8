/** A vocabulary for any text that needs no file to learn from: 256 bytes, and R1's tags as one token each. */
import { trainBpe } from "./train.ts";

/** Where a thought and an answer begin and end (arXiv 2501.12948, table 1). */
const TAGS = ["<think>", "</think>", "<answer>", "</answer>"] as const;

/** A word is never longer than this rule cuts it. Without merges it changes no ids, and llama.cpp knows it as "gpt-2". */
const RULE = {
  preTokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
  normalizer: null,
  ignoreMerges: false,
  split: () => [],
};

/**
 * The content of a `tokenizer.json`: pad, bos, eos, `extra` control tokens, the tags, the bytes. A model of this vocabulary
 * takes about four times the tokens of one that has learnt the words of its texts.
 */
export const bytesJson = (extra: readonly string[] = []): Record<string, unknown> =>
  trainBpe([], { vocabSize: 3 + extra.length + TAGS.length + 256, extra, tags: TAGS, rule: RULE });
