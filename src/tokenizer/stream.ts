/** Text of ids as they come, after the prompt that they go on from. */
import type { Tokenizer, TokenStream } from "./tokenizer.ts";

/** Tokens of the prompt that are looked at: the bytes of a character, and whether there is any text before. */
const NEAR = 64;

/**
 * What the ids add to the prompt's text: a blank that a decoder drops at a text's beginning is kept after a prompt. The
 * pieces joined are the text of all ids at once; each is well-formed. Control tokens have no text.
 */
export class TextStream {
  private readonly stream: TokenStream;
  /** Characters of the prompt that the decoder still holds. */
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

  /** What can be told with this id. */
  push(id: number): string {
    return this.tell(this.stream.push(id));
  }

  /** What was held back: bytes that became no character. */
  end(): string {
    return this.tell(this.stream.end());
  }

  private tell(text: string): string {
    const skipped = Math.min(this.known, text.length);
    this.known -= skipped;
    return text.slice(skipped);
  }
}

/** The text of all ids at once, by the same steps. */
export function decodeAll(stream: TokenStream, ids: Iterable<number>): string {
  let text = "";
  for (const id of ids) text += stream.push(id);
  return text + stream.end();
}

/**
 * A completion's text, without the tokens that end one, and for each id the length of the text that is known with it.
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
