/**
 * The byte-level alphabet of GPT-2 and the split rule of our own tokenizers.
 */

/**
 * Where a text is split before byte pairs merge, as DeepSeek does it (arXiv 2401.02954, section 2.1):
 * every digit alone; line breaks, letters, CJK, punctuation and blanks never merge with one another,
 * except that one blank may lead a word or a run of punctuation (GPT-2's habit).
 * The alternatives cover every character. Oniguruma (the official library) and JavaScript read them alike;
 * `\s` would not do, since the two disagree about U+0085 and U+FEFF.
 */
export const SPLIT_PATTERN = (() => {
  // Kana, CJK ideographs with extension A, Hangul, compatibility ideographs, extensions B to H.
  const cjk = "\u3040-\u30FF\u3400-\u4DBF\u4E00-\u9FFF\uAC00-\uD7AF\uF900-\uFAFF\u{20000}-\u{323AF}";
  return [
    "\\p{N}",
    "[\\r\\n]+",
    `[${cjk}]+`,
    ` ?(?:(?![${cjk}])[\\p{L}\\p{M}])+`,
    ` ?(?:(?![${cjk}])[^\\p{White_Space}\\p{L}\\p{M}\\p{N}])+`,
    // Blanks before a word leave their last one to it.
    "[^\\P{White_Space}\\r\\n]+(?!\\P{White_Space})",
    "[^\\P{White_Space}\\r\\n]+",
  ].join("|");
})();

/** The printable character of each byte: itself if it is printable, else the next of U+0100 onwards. */
export const BYTE_CHARACTERS: readonly string[] = (() => {
  const printable = (byte: number) =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++));
})();

/**
 * The policy for lone surrogates, which UTF-8 cannot express: each is encoded as U+FFFD, as `TextEncoder` does.
 * So decode(encode(text)) equals this function's result, and equals `text` for every well-formed string.
 */
export function wellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, "\uFFFD");
}
