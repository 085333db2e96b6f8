/**
 * Trains a byte-level BPE: the most frequent adjacent pair becomes a token, again and again
 * (Sennrich et al., arXiv 1508.07909, over bytes as in GPT-2). Pairs are counted over unique pre-tokens
 * and kept in a heap, so a merge touches only the words with the pair.
 */

import { UserError } from "../lib/errors.ts";
import { addedToken, bpeJson } from "./bpe-json.ts";
import { BYTE_CHARACTERS, SPLIT_PATTERN, wellFormed } from "./byte-level.ts";
import { PairHeap } from "./pair-heap.ts";

/** Control tokens in DeepSeek's spelling. `extra` ones follow in the given order, then `tags`. */
export const BPE_SPECIALS = {
  pad: "<｜▁pad▁｜>",
  bos: "<｜begin▁of▁sentence｜>",
  eos: "<｜end▁of▁sentence｜>",
} as const;

/** The size of a new vocabulary, and what its tokens are made of. */
export interface TrainOptions {
  /** Size of the vocabulary with specials and 256 bytes; it becomes smaller if the text has no more pairs. */
  vocabSize: number;
  /** A pair seen less often is not merged; default 2. */
  minFrequency?: number;
  /** More control tokens, e.g. "<think>". */
  extra?: readonly string[];
  /** Control tokens that stay in a text where specials are left out. */
  tags?: readonly string[];
  /** How texts are split before pairs merge; absent: by `SPLIT_PATTERN`. */
  rule?: TrainingRule;
}

/** Parts of a `tokenizer.json`, and what they make of a text: words in the bytes' alphabet. */
export interface TrainingRule {
  preTokenizer: Record<string, unknown>;
  normalizer: Record<string, unknown> | null;
  ignoreMerges: boolean;
  split: (text: string) => readonly string[];
}

interface Word {
  symbols: number[];
  count: number;
}

/**
 * Returns the content of a Hugging Face `tokenizer.json`: ids are pad, bos, eos, extra specials, tags, 256 bytes, merges.
 * Deterministic: equal counts go to the pair with the smaller ids, as in Hugging Face's trainer.
 * @throws UserError if `vocabSize` is too small for specials and bytes
 */
export function trainBpe(texts: Iterable<string>, options: TrainOptions): Record<string, unknown> {
  const { tags = [] } = options;
  const specials = [BPE_SPECIALS.pad, BPE_SPECIALS.bos, BPE_SPECIALS.eos, ...(options.extra ?? []), ...tags];
  if (!Number.isSafeInteger(options.vocabSize) || options.vocabSize < specials.length + 256)
    throw new UserError({
      kind: "tokenizer",
      where: "tokenizer vocabSize",
      expected: `at least ${specials.length + 256} (${specials.length} specials and 256 bytes)`,
      found: String(options.vocabSize),
      remedy: "Ask for a larger vocabulary.",
    });
  // Bytes in the order of their characters, as in Hugging Face's trainer.
  const tokens = [...specials, ...[...BYTE_CHARACTERS].sort()];
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const { rule = OWN_RULE } = options;
  const words = countWords(texts, rule.split).map(([word, count]) => ({
    symbols: Array.from(rule === OWN_RULE ? inBytes(word) : word, (character) => ids.get(character)!),
    count,
  }));
  const merges = mergePairs(words, tokens, ids, options.vocabSize, Math.max(1, options.minFrequency ?? 2));
  return bpeJson({
    added: specials.map((content, id) => addedToken(id, content, !tags.includes(content))),
    vocab: ids,
    merges,
    preTokenizer: rule.preTokenizer,
    normalizer: rule.normalizer,
    ignoreMerges: rule.ignoreMerges,
  });
}

const OWN_SPLIT = new RegExp(SPLIT_PATTERN, "gu");
const inBytes = (word: string): string =>
  Array.from(Buffer.from(word, "utf8"), (byte) => BYTE_CHARACTERS[byte]).join("");

const OWN_RULE: TrainingRule = {
  preTokenizer: {
    type: "Sequence",
    pretokenizers: [
      { type: "Split", pattern: { Regex: SPLIT_PATTERN }, behavior: "Isolated", invert: false },
      { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
    ],
  },
  normalizer: null,
  ignoreMerges: false,
  split: (text) => text.match(OWN_SPLIT) ?? [],
};

function countWords(texts: Iterable<string>, split: TrainingRule["split"]): [string, number][] {
  const counts = new Map<string, number>();
  for (const text of texts)
    for (const word of split(wellFormed(text))) counts.set(word, (counts.get(word) ?? 0) + 1);
  return [...counts];
}

/** Extends `tokens` and `ids` up to `size`; returns the merges in order of rank. */
function mergePairs(
  words: Word[],
  tokens: string[],
  ids: Map<string, number>,
  size: number,
  least: number,
): string[] {
  const heap = new PairHeap();
  /** Words that had a pair when it was counted; a merge skips those that no longer have it. */
  const holders = new Map<number, Set<number>>();
  const changed = new Set<number>();
  const count = (word: Word, index: number, sign: 1 | -1) => {
    for (let i = 0; i + 1 < word.symbols.length; i++) {
      const key = pairKey(word.symbols[i]!, word.symbols[i + 1]!);
      heap.add(key, sign * word.count);
      if (sign < 0) continue;
      changed.add(key);
      const set = holders.get(key);
      if (set === undefined) holders.set(key, new Set([index]));
      else set.add(index);
    }
  };
  words.forEach((word, index) => {
    count(word, index, 1);
  });
  for (const key of changed) heap.push(key);

  const merges = new Set<string>();
  while (tokens.length < size) {
    const key = heap.pop(least);
    if (key === undefined) break;
    const [left, right] = [Math.floor(key / KEY_BASE), key % KEY_BASE];
    const token = tokens[left]! + tokens[right]!;
    // Two merges may spell the same token ("a"+"bc", "ab"+"c"): it keeps its first id.
    let id = ids.get(token);
    if (id === undefined) {
      id = tokens.push(token) - 1;
      ids.set(token, id);
    }
    // A pair with such an id may come back after its merge: it keeps its first rank.
    merges.add(`${tokens[left]} ${tokens[right]}`);
    changed.clear();
    for (const index of holders.get(key) ?? []) {
      const word = words[index]!;
      count(word, index, -1);
      word.symbols = replacePair(word.symbols, left, right, id);
      count(word, index, 1);
    }
    holders.delete(key);
    // Only counts of pairs with the new token can have grown; entries of other pairs are upper bounds.
    for (const grown of changed)
      if (grown !== key && (Math.floor(grown / KEY_BASE) === id || grown % KEY_BASE === id)) heap.push(grown);
  }
  return [...merges];
}

/** Two ids below 2^26 in one exact double. */
const KEY_BASE = 2 ** 26;

function pairKey(left: number, right: number): number {
  return left * KEY_BASE + right;
}

function replacePair(symbols: number[], left: number, right: number, id: number): number[] {
  const result: number[] = [];
  for (let i = 0; i < symbols.length; i++) {
    if (symbols[i] === left && symbols[i + 1] === right) {
      result.push(id);
      i++;
    } else result.push(symbols[i]!);
  }
  return result;
}
