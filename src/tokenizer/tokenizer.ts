import type { Around } from "./around.ts";

/** A control token's text; some swallow the blanks on a side when their text is read. */
export interface ControlToken {
  content: string;
  lstrip: boolean;
  rstrip: boolean;
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
  encode(text: string, options?: { specials?: boolean }): number[];
  decode(ids: Iterable<number>, options?: { skipSpecials?: boolean }): string;
  /** Content of the Hugging Face `tokenizer.json` that rebuilds this tokenizer. */
  toJSON(): unknown;
}
