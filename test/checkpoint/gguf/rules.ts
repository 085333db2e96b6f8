import { SPLIT_RULES } from "../../../src/checkpoint/gguf/splits.ts";
import { Random } from "../../../src/lib/random.ts";
import { BYTE_CHARACTERS } from "../../../src/tokenizer/byte-level.ts";
import { trainBpe } from "../../../src/tokenizer/train.ts";
import { CORPUS, HARD_TEXTS } from "../../tokenizer/corpus.ts";

export const RULE_TEXTS = [
  ...CORPUS,
  ...HARD_TEXTS.filter((one) => one !== ""),
  "x'S y'LL don’t $1,234.56 (a)[b]\n\n\n  end  ",
];

/** What splits are about: blanks of every kind, numbers, contractions, marks, scripts. */
const PIECES = [
  ...["a", "B", "word", "ß", "ǅ", "é", "e\u0301", "1", "42", "2024", "½", "Ⅻ", "²", "١٢", "'s", "'LL", "’t"],
  ...[" ", "  ", "\n", "\r\n", "\t", "\u00a0", "\u3000", "\ufeff", "\u0085", "\u2028", "\u200b"],
  ...[".", ",", "!?", "(", "[", "$", "_", "+=", "¿", "—", "٪"],
  ...["人工", "か", "カー", "한국", "Привет", "हिं", "😊", "👩‍👩‍👧"],
];
const random = new Random(1, "split rules");

export const FUZZED = Array.from({ length: 1000 }, () =>
  Array.from({ length: random.integer(1, 10) }, () => random.pick(PIECES)).join(""),
);

const trained = trainBpe(CORPUS, { vocabSize: 360, extra: ["<think>", "</think>"] });
const { vocab, merges } = trained.model as { vocab: Record<string, number>; merges: string[] };
// Every pair of neighbouring bytes is a word, so that a text's ids show each cut between them.
for (const text of [...RULE_TEXTS, ...FUZZED]) {
  const bytes = [...Buffer.from(text)].map((byte) => BYTE_CHARACTERS[byte]!);
  for (let i = 0; i + 1 < bytes.length; i++) {
    const word = bytes[i]! + bytes[i + 1]!;
    if (Object.hasOwn(vocab, word)) continue;
    vocab[word] = Object.keys(vocab).length;
    merges.push(`${bytes[i]} ${bytes[i + 1]}`);
  }
}

/** A small `tokenizer.json` with one of the known split rules. */
export function withRule(name: string): Record<string, unknown> {
  const { pre_tokenizer, normalizer, ignoreMerges } = SPLIT_RULES[name]!;
  const model = { ...(trained.model as Record<string, unknown>), ignore_merges: ignoreMerges };
  return { ...trained, pre_tokenizer, normalizer, model };
}
