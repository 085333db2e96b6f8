/** Splits a chat's completion while it streams into the thought, which is in tags, and the answer after it. */

export interface CompletionPart {
  thought: boolean;
  text: string;
}

const OPEN = "<think>";
const CLOSE = "</think>";

/**
 * A thought begins with the completion or was opened by the prompt. Its first closing tag ends it; any other tag is text.
 * The opening and the closing tag belong to no part.
 */
export class ThoughtSplitter {
  private readonly open: boolean;
  private place: "start" | "thought" | "answer" = "start";
  /** Text that may become a tag. */
  private held = "";

  /** `open`: the prompt leaves a thought open (DeepSeek-R1's template); the model may open it once more. */
  constructor(open: boolean) {
    this.open = open;
  }

  /** Whether the text so far leaves the thought open. */
  get inThought(): boolean {
    return this.place === "thought" || (this.place === "start" && this.open);
  }

  /** The parts that are certain by now. */
  push(text: string): CompletionPart[] {
    this.held += text;
    if (this.place === "start" && !this.begin()) return [];
    if (this.place === "answer") return this.take(false, this.held.length);
    const close = this.held.indexOf(CLOSE);
    if (close < 0) return this.take(true, this.held.length - tagStart(this.held, CLOSE));
    const thought = this.take(true, close);
    this.held = this.held.slice(CLOSE.length);
    this.place = "answer";
    return [...thought, ...this.take(false, this.held.length)];
  }

  /** The text that was held back. */
  end(): CompletionPart[] {
    return this.take(this.inThought, this.held.length);
  }

  /** Whether the beginning of the completion is certain. */
  private begin(): boolean {
    const text = this.held.trimStart();
    if (text.length < OPEN.length && OPEN.startsWith(text)) return false;
    const opens = text.startsWith(OPEN);
    if (opens) this.held = text.slice(OPEN.length);
    this.place = opens || this.open ? "thought" : "answer";
    return true;
  }

  private take(thought: boolean, length: number): CompletionPart[] {
    const text = this.held.slice(0, length);
    this.held = this.held.slice(length);
    return text === "" ? [] : [{ thought, text }];
  }
}

/** Length of the beginning of `tag` that `text` ends with. */
export function tagStart(text: string, tag: string): number {
  for (let length = Math.min(tag.length - 1, text.length); length > 0; length--)
    if (text.endsWith(tag.slice(0, length))) return length;
  return 0;
}
