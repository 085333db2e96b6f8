/** Small tokenizers of SentencePiece's kind, in the forms that converters write. */
import { BpeTokenizer } from "../../src/tokenizer/bpe.ts";

type Json = Record<string, unknown>;

const CONTROL = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"];
const hex = (byte: number): string => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;
const WORDS = [
  ...[
    "▁",
    "▁▁",
    "▁▁▁▁",
    "▁the",
    "▁quick",
    "▁fox",
    "▁3",
    "▁+",
    "▁4",
    "▁=",
    "▁7",
    "fox",
    "x▁y",
    "fox▁",
    "é",
    "\uFFFD",
  ],
  ..."abcdefghijklmnopqrstuvwxyz0123456789.,!?\n+=",
];
/** Ids: 0 to 4 control tokens, 5 to 260 the bytes, then words. */
export const TOKENS = [...CONTROL, ...Array.from({ length: 256 }, (_, byte) => hex(byte)), ...WORDS];
export const id = (token: string): number => TOKENS.indexOf(token);

const step = (type: string, fields: Json = {}): Json => ({ type, ...fields });
const sequence = (...decoders: Json[]): Json => ({ type: "Sequence", decoders });
const blank = step("Replace", { pattern: { String: "▁" }, content: " " });
const strip = (start: number, stop = 0): Json => step("Strip", { content: " ", start, stop });
const spaces = (prepend_scheme: string): Json =>
  step("Metaspace", { replacement: "▁", prepend_scheme, split: true });

export const DECODERS: Record<string, Json | null> = {
  "Llama 2": sequence(blank, step("ByteFallback"), step("Fuse"), strip(1)),
  Gemma: sequence(blank, step("ByteFallback"), step("Fuse")),
  "Metaspace, always": spaces("always"),
  "Metaspace, first": spaces("first"),
  "Metaspace, never": spaces("never"),
  "both ends stripped": sequence(blank, step("Fuse"), strip(2, 2)),
  "each token stripped": sequence(blank, strip(1)),
  "bytes in a sequence": sequence(
    step("ByteLevel", { add_prefix_space: true, trim_offsets: true, use_regex: true }),
  ),
  BERT: step("WordPiece", { prefix: "##", cleanup: true }),
  "ends of words": step("BPEDecoder", { suffix: "▁" }),
  none: null,
  // Steps of single tokens behind the one that joins them.
  "blanks behind the join": sequence(step("Fuse"), spaces("always")),
  "ends behind the join": sequence(step("Fuse"), step("BPEDecoder", { suffix: "▁" })),
  "words behind the join": sequence(step("Fuse"), step("WordPiece", { prefix: "##", cleanup: true })),
  "two characters behind the join": sequence(
    step("Fuse"),
    step("Replace", { pattern: { String: "▁▁" }, content: "=" }),
  ),
  "bytes behind the join": sequence(step("Fuse"), step("ByteFallback")),
};

const NORMALIZERS: Record<string, Json | null> = {
  "Llama 2": {
    type: "Sequence",
    normalizers: [
      { type: "Prepend", prepend: "▁" },
      { type: "Replace", pattern: { String: " " }, content: "▁" },
    ],
  },
  Gemma: { type: "Replace", pattern: { String: " " }, content: "▁" },
};

/** Content of a `tokenizer.json` with the decoder of that name. */
export function sentencePieceJson(name: string): Json {
  const decoder = DECODERS[name];
  const vocab = Object.fromEntries(TOKENS.map((token, at) => [token, at]));
  const merges = WORDS.filter((word) => word.length > 1).flatMap((word) =>
    Array.from({ length: word.length - 1 }, (_, i) => [word.slice(0, i + 1), word.slice(i + 1)]).filter(
      (pair) => pair.every((part) => part in vocab),
    ),
  );
  return {
    version: "1.0",
    ...{ truncation: null, padding: null, post_processor: null },
    added_tokens: CONTROL.map((content, at) => ({
      ...{ id: at, content, single_word: false, lstrip: false, rstrip: false, normalized: false },
      special: at < 3,
    })),
    normalizer: NORMALIZERS[name] ?? null,
    pre_tokenizer: decoder?.type === "Metaspace" ? decoder : null,
    decoder,
    model: {
      type: "BPE",
      ...{ dropout: null, unk_token: "<unk>", continuing_subword_prefix: null, end_of_word_suffix: null },
      ...{ fuse_unk: true, byte_fallback: true, ignore_merges: false, vocab, merges },
    },
  };
}

export const sentencePiece = (name: string): BpeTokenizer =>
  new BpeTokenizer(sentencePieceJson(name), {
    tokenizerConfig: { bos_token: "<s>", eos_token: "</s>", add_bos_token: true },
  });
