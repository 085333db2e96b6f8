/** The content of a `tokenizer.json` for a byte-level BPE, as Hugging Face's library writes it. */

type Json = Record<string, unknown>;

/** An entry of `added_tokens`, matched as it stands. */
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
  /** Words of the vocabulary are taken whole, whatever the merges say. */
  ignoreMerges?: boolean;
}

export function bpeJson({ added, vocab, merges, preTokenizer, normalizer, ignoreMerges }: BpeParts): Json {
  const words = [...vocab];
  // Hugging Face's library numbers added tokens from the end of the vocabulary on, whatever their `id` says; those that
  // stand elsewhere keep their places by being words as well.
  const behind = added.every(({ id }, i) => id === words.length + i);
  if (!behind) for (const { content, id } of added) words.push([content as string, id as number]);
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
