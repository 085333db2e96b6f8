/** Text of ids as they come: a character whose bytes are spread over several tokens waits for the last of them. */
import type { Tokenizer } from "./tokenizer.ts";

/** Tokens that a character may take: four bytes, a token each. More unreadable ones are no character. */
const LONGEST = 4;

export class TextStream {
  private readonly tokenizer: Tokenizer;
  /** What was told last. Decoders that drop the blank at a text's beginning keep it after these. */
  private context: number[] = [];
  private waiting: number[] = [];

  constructor(tokenizer: Tokenizer) {
    this.tokenizer = tokenizer;
  }

  /** What can be told with this id; control tokens have no text. What waits at the end is no whole character. */
  push(id: number): string {
    this.waiting.push(id);
    const before = this.decode(this.context);
    const text = this.decode([...this.context, ...this.waiting]).slice(before.length);
    if (text.endsWith("\uFFFD") && this.waiting.length < LONGEST) return "";
    if (text !== "") this.context = this.waiting;
    this.waiting = [];
    return text;
  }

  private decode(ids: readonly number[]): string {
    return ids.length === 0 ? "" : this.tokenizer.decode(ids, { skipSpecials: true });
  }
}
