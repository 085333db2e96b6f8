/**
 * The tokens that end an answer in llama.cpp (`llama_vocab::impl::load` in llama-vocab.cpp): those that the metadata
 * name, and those whose text says so, since many files name only one of several.
 */

const END_TEXTS = new Set([
  ...[
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
  ],
  ...["<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>", "<eos>"],
  ...["<end_of_utterance>", "<turn|>", "<|tool_response>", "<｜end▁of▁sentence｜>", "[e~["],
]);

/** Filling in the middle: where these have no key, the text decides; an answer that comes to one of them is over. */
const FIM_TEXTS = {
  fim_pad: ["<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"],
  fim_rep: ["<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"],
  fim_sep: ["<|file_sep|>"],
};

/** Keys of single tokens that end an answer: `tokenizer.ggml.NAME_token_id`. */
export const END_KEYS = ["eos", "eot", "eom", "fim_pad", "fim_rep", "fim_sep"] as const;

/** Ids that end an answer, `eos` first. @param named by the metadata; null where they do not */
export function endIds(
  words: readonly string[],
  named: Readonly<Record<(typeof END_KEYS)[number], number | null>>,
): number[] {
  const ends = new Set<number>();
  for (const key of END_KEYS) {
    const id = named[key] ?? (key.startsWith("fim") ? byText(words, key as keyof typeof FIM_TEXTS) : null);
    if (id !== null) ends.add(id);
  }
  for (const [id, word] of words.entries()) if (END_TEXTS.has(word)) ends.add(id);
  const has = (text: string): boolean => [...ends].some((id) => words[id] === text);
  // OpenAI's harmony ends parts with <|end|>, and Gemma 4's vocabulary has an </s> that it does not use.
  const dropped = [
    has("<|return|>") && has("<|call|>") && "<|end|>",
    has("<|flush|>") && (has("<|call|>") || has("<|calls|>")) && "<|end|>",
    has("<|tool_response>") && "</s>",
  ];
  return [...ends].filter((id) => !dropped.includes(words[id]!));
}

function byText(words: readonly string[], key: keyof typeof FIM_TEXTS): number | null {
  const id = words.findIndex((word) => FIM_TEXTS[key].includes(word));
  return id < 0 ? null : id;
}
