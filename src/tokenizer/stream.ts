/** The text of a completion while it is sampled. */
import type { Tokenizer, TokenStream } from "./tokenizer.ts";

/** Last tokens of the prompt that the decoder reads: they may end with a part of a character, or text before a blank. */
const NEAR = 64;

/**
 * The text that ids add to the prompt's: a blank that a decoder drops at the beginning of a text is kept after a prompt.
 * Each piece is well-formed, and the pieces join to the text of all ids. Control tokens have no text.
 */
export class TextStream {
  private readonly stream: TokenStream;
  /** Characters of the prompt that the decoder has not returned yet. */
  private known: number;

  constructor(tokenizer: Tokenizer, prompt: readonly number[] = []) {
    const near = prompt.slice(-NEAR);
    const after = (): TokenStream => {
      const stream = tokenizer.stream({ skipSpecials: true });
      for (const id of near) stream.push(id);
      return stream;
    };
    this.stream = after();
    this.known = after().end().length;
  }

  /** The text that is certain after this id. */
  push(id: number): string {
    return this.added(this.stream.push(id));
  }

  /** The text that was held back: bytes that form no character. */
  end(): string {
    return this.added(this.stream.end());
  }

  private added(text: string): string {
    const skipped = Math.min(this.known, text.length);
    this.known -= skipped;
    return text.slice(skipped);
  }
}

/** The text of all ids. */
export function decodeAll(stream: TokenStream, ids: Iterable<number>): string {
  let text = "";
  for (const id of ids) text += stream.push(id);
  return text + stream.end();
}

/**
 * A completion's text without stop tokens, and for each id the length of the text that is certain after it.
 */
export function completionText(
  tokenizer: Tokenizer,
  prompt: readonly number[],
  ids: readonly number[],
): { text: string; ends: number[] } {
  const stream = new TextStream(tokenizer, prompt);
  let text = "";
  const ends = ids.map((id) => {
    if (!tokenizer.stopIds.has(id)) text += stream.push(id);
    return text.length;
  });
  return { text: text + stream.end(), ends };
}
