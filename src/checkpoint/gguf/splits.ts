/**
 * Pre-tokenizers by llama.cpp's names for them (`tokenizer.ggml.pre`) in the form of a `tokenizer.json`. A wrong rule gives
 * other ids without an error, so an unknown name is refused on reading, and an unknown rule on writing.
 */
import { isDeepStrictEqual } from "node:util";

type Json = Record<string, unknown>;

export interface SplitRule {
  pre_tokenizer: Json;
  normalizer: Json | null;
  /** A word that the vocabulary has becomes one token, whatever the merges say. */
  ignoreMerges: boolean;
}

const split = (regex: string): Json => ({
  type: "Split",
  pattern: { Regex: regex },
  behavior: "Isolated",
  invert: false,
});
const byteLevel = (regex: boolean): Json => ({
  type: "ByteLevel",
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: regex,
});
/**
 * Splits off every digit. Hugging Face's step "Digits" means any number (½, Ⅻ) in the official library and in llama.cpp,
 * but only decimal digits in the JavaScript library; this pattern means any number in all of them.
 */
const digits = split("\\p{N}");
const sequence = (...pretokenizers: Json[]): Json => ({ type: "Sequence", pretokenizers });
const rule = (
  pre_tokenizer: Json,
  { normalizer = null, ignoreMerges = false }: Partial<Omit<SplitRule, "pre_tokenizer">> = {},
): SplitRule => ({ pre_tokenizer, normalizer, ignoreMerges });

/** OpenAI's cl100k pattern with the runs of digits of Llama 3 or Qwen. */
const cl100k = (numbers: string): string =>
  `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${numbers}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;
const qwen = sequence(split(cl100k("\\p{N}")), byteLevel(false));

/** DeepSeek-V3's third stage: punctuation before letters, words, runs of punctuation, blanks. */
const DEEPSEEK_V3 =
  "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/**
 * Cased letters (most of Unicode's category LC) in ranges, as DeepSeek LLM lists them. Escapes are
 * characters that text tools would normalise to others.
 */
const LETTERS =
  "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\u1F7Dᾀ-ᾴᾶ-ᾼ\u1FBEῂ-ῄῆ-ῌῐ-\u1FD3ῖ-\u1FDBῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212A-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃";
const CJK = split("[一-龥ࠀ-一가-퟿]+");

export const SPLIT_RULES: Readonly<Record<string, SplitRule>> = {
  "gpt-2": rule(byteLevel(true)),
  smollm: rule(sequence(digits, byteLevel(true))),
  "llama-bpe": rule(sequence(split(cl100k("\\p{N}{1,3}")), byteLevel(false)), { ignoreMerges: true }),
  qwen2: rule(qwen, { normalizer: { type: "NFC" } }),
  "deepseek-r1-qwen": rule(qwen),
  "deepseek-llm": rule(
    sequence(
      ...[
        split("[\\r\\n]"),
        split(`\\s?[${LETTERS}]+`),
        split("\\s?[!-/:-~！-／：-～‘-‟　-。]+"),
        split("\\s+$"),
      ],
      ...[CJK, split("\\p{N}+"), byteLevel(false)],
    ),
  ),
  "deepseek-coder": rule(
    sequence(split("[\\r\\n]"), split("\\s?\\p{L}+"), split("\\s?\\p{P}+"), CJK, digits, byteLevel(false)),
  ),
  "deepseek-v3": rule(
    sequence(split("\\p{N}{1,3}"), split("[一-龥぀-ゟ゠-ヿ]+"), split(DEEPSEEK_V3), byteLevel(false)),
  ),
};

/** All of llama.cpp's names for these rules, by the name that is written. */
export const SAME_RULE: Readonly<Record<string, string>> = {
  ...Object.fromEntries(Object.keys(SPLIT_RULES).map((name) => [name, name])),
  ...Object.fromEntries(["llama3", "llama-v3", "falcon3"].map((name) => [name, "llama-bpe"])),
  ...Object.fromEntries(["megrez", "kormo"].map((name) => [name, "qwen2"])),
  ...Object.fromEntries(["phi-2", "gigachat", "exaone4", "mellum"].map((name) => [name, "gpt-2"])),
};

/** Rules that llama.cpp applies differently in rare texts, as fuzzing found: "’t١٢\u200b한국\nß½ ٪". */
export const READ_OTHERWISE: readonly string[] = ["deepseek-llm", "deepseek-coder"];

/** Rules with which a tokenizer may be trained, so that its model can be exported as GGUF. */
export const TRAINED_RULES: readonly string[] = Object.keys(SPLIT_RULES).filter(
  (name) => !READ_OTHERWISE.includes(name),
);

/** llama.cpp's name of a tokenizer's rule, if the rule is exactly one of these. */
export function ruleName(json: {
  pre_tokenizer?: unknown;
  normalizer?: unknown;
  model: Json;
}): string | undefined {
  const own = plain(json.pre_tokenizer);
  const rest = [plain(json.normalizer), json.model.ignore_merges === true];
  const named = (cuts: unknown): string | undefined =>
    Object.entries(SPLIT_RULES).find(([, { pre_tokenizer, normalizer, ignoreMerges }]) =>
      isDeepStrictEqual([cuts, ...rest], [plain(pre_tokenizer), plain(normalizer), ignoreMerges]),
    )?.[0];
  return named(own) ?? (joinsDigits(json.model.merges) ? undefined : named(inRuns(own)));
}

/**
 * DeepSeek LLM's file splits between digits and llama.cpp's rule of that name does not. The ids are the same unless a merge
 * joins two digits.
 */
function inRuns(cuts: unknown): unknown {
  const alone = plain(digits);
  return Array.isArray(cuts)
    ? cuts.map((cut) => (isDeepStrictEqual(cut, alone) ? plain(split("\\p{N}+")) : cut))
    : cuts;
}

function joinsDigits(merges: unknown): boolean {
  return !Array.isArray(merges) || merges.some((merge) => /[0-9][ ,]?[0-9]/.test(String(merge)));
}

/** Removes what does not change the split: offsets, defaults, spellings of line ends, empty or single sequences. */
function plain(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return null;
  const { trim_offsets: _, normalizers, pretokenizers, pattern, ...rest } = value as Json;
  if (rest.type === "Digits" && rest.individual_digits === true) return plain(digits);
  const list = pretokenizers ?? normalizers;
  if (Array.isArray(list)) {
    if (list.length <= 1) return plain(list[0]);
    return list.map(plain);
  }
  if (rest.type === "ByteLevel") rest.use_regex ??= true;
  if (rest.type === "Split") rest.invert ??= false;
  const regex = (pattern as Json | undefined)?.Regex;
  if (typeof regex !== "string") return pattern === undefined ? rest : { ...rest, pattern };
  return { ...rest, pattern: regex.replaceAll("\n", "\\n").replaceAll("\r", "\\r") };
}
