/** The ids that a model's own tokenizer puts before and after a text. */
export interface Around {
  before: readonly number[];
  after: readonly number[];
}

export const NOTHING_AROUND: Around = { before: [], after: [] };

/** A control token's text; some swallow the blanks on a side when their text is read. */
export interface ControlToken {
  content: string;
  lstrip: boolean;
  rstrip: boolean;
}

/** Decodes id by id: `push` returns the text that is certain by now, `end` what was held back. */
export interface TokenStream {
  /** The text that is certain with this id; "" in the middle of a character. */
  push(id: number): string;
  /** What is still held back; an incomplete character becomes U+FFFD. */
  end(): string;
}

/** How a text is read. */
export interface EncodeOptions {
  /** Whether control tokens that the text spells become control tokens. */
  specials?: boolean;
  /** What the text follows: a control token or other text; absent, it begins a prompt or document. */
  after?: "control" | "text" | undefined;
}

/** A tokenizer as all other code uses it; bpe.ts and compact.ts implement it. */
export interface Tokenizer {
  vocabSize: number;
  bosId: number | null;
  eosId: number | null;
  padId: number;
  /** Every id that ends a sequence, for the sampler and the trainer alike. */
  stopIds: ReadonlySet<number>;
  /** What the model's tokenizer puts before and after a text: see `beginIds` and `endIds`; `encode` adds none of it. */
  around: Around;
  /** Texts that become one id only with `specials: true`. */
  controls: readonly ControlToken[];
  /** Message content is encoded with `specials: false` (the default), so text never becomes a control token. */
  encode(text: string, options?: EncodeOptions): number[];
  /** The text of the ids; `skipSpecials` leaves control tokens out. */
  decode(ids: Iterable<number>, options?: { skipSpecials?: boolean }): string;
  /** Decodes id by id: the pieces joined equal what `decode` returns. */
  stream(options?: { skipSpecials?: boolean }): TokenStream;
  /** Content of the Hugging Face `tokenizer.json` that rebuilds this tokenizer. */
  toJSON(): unknown;
}
