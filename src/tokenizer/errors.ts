/** A character that the vocabulary cannot express; `offset` counts UTF-16 code units, as strings do. */
export class UnknownCharacterError extends Error {
  override name = "UnknownCharacterError";
  readonly character: string;
  readonly offset: number;

  constructor(text: string, offset: number, remedy: string) {
    const character = String.fromCodePoint(text.codePointAt(offset) ?? 0);
    const code = (text.codePointAt(offset) ?? 0).toString(16).toUpperCase().padStart(4, "0");
    super(
      `the vocabulary has no token for ${JSON.stringify(character)} (U+${code}) at offset ${offset} of ${JSON.stringify(excerpt(text, offset))}. ${remedy}`,
    );
    this.character = character;
    this.offset = offset;
  }
}

/** A `tokenizer.json` (or a config beside it) that cannot be used. */
export class TokenizerError extends Error {
  override name = "TokenizerError";
  readonly field: string;
  readonly expected: string;
  readonly found: string;
  readonly remedy: string;

  constructor(detail: { field: string; expected: string; found: string; remedy: string }) {
    super(`tokenizer ${detail.field}: expected ${detail.expected}, found ${detail.found}. ${detail.remedy}`);
    this.field = detail.field;
    this.expected = detail.expected;
    this.found = detail.found;
    this.remedy = detail.remedy;
  }
}

function excerpt(text: string, offset: number): string {
  return text.slice(Math.max(0, offset - 20), offset + 20);
}
