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

/** A text under way: what is known of it with each id, and what was held back until its end. */
export interface TokenStream {
  push(id: number): string;
  end(): string;
}

export interface EncodeOptions {
  /** Control tokens that the text spells are themselves. */
  specials?: boolean;
  /** What it comes after, a control token or other text; absent: it is a text's beginning. */
  after?: "control" | "text" | undefined;
}

/** What the rest of Sputnik asks of a tokenizer; `bpe` and `compact` implement it. */
export interface Tokenizer {
  vocabSize: number;
  bosId: number | null;
  eosId: number | null;
  padId: number;
  /** Every id that ends a sequence; sampler and trainer share this one set. */
  stopIds: ReadonlySet<number>;
  /** What the model's own tokenizer puts before and after a text; `encode` leaves it to `beginIds` and `endIds`. */
  around: Around;
  /** What only `specials: true` turns into one id. */
  controls: readonly ControlToken[];
  /** Message content is encoded with `specials: false` (the default), so text never becomes a control token. */
  encode(text: string, options?: EncodeOptions): number[];
  decode(ids: Iterable<number>, options?: { skipSpecials?: boolean }): string;
  /** The same id by id: the pieces joined are what `decode` gives. */
  stream(options?: { skipSpecials?: boolean }): TokenStream;
  /** Content of the Hugging Face `tokenizer.json` that rebuilds this tokenizer. */
  toJSON(): unknown;
}
