/** The content of a `tokenizer.json` for a byte-level BPE, as Hugging Face's library writes it. */

type Json = Record<string, unknown>;

/** An entry of `added_tokens` that matches its exact spelling. */
export function addedToken(id: number, content: string, special: boolean): Json {
  return { id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special };
}

export interface BpeParts {
  added: readonly Json[];
  /** Ids by word, words in the bytes' alphabet. */
  vocab: Iterable<readonly [string, number]>;
  /** "left right", the first learned first. */
  merges: readonly string[];
  preTokenizer: Json;
  normalizer?: Json | null;
  /** Whether a word of the vocabulary is one token without any merges. */
  ignoreMerges?: boolean;
}

export function bpeJson({ added, vocab, merges, preTokenizer, normalizer, ignoreMerges }: BpeParts): Json {
  const words = [...vocab];
  // Hugging Face's library numbers added tokens after the vocabulary, whatever their `id`; tokens with other ids keep them
  // because they are words of the vocabulary as well.
  const atEnd = added.every(({ id }, i) => id === words.length + i);
  if (!atEnd) for (const { content, id } of added) words.push([content as string, id as number]);
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer: normalizer ?? null,
    pre_tokenizer: preTokenizer,
    post_processor: null,
    decoder: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: ignoreMerges ?? false,
      vocab: Object.fromEntries(words),
      merges,
    },
  };
}
