/**
 * Splits a completion for reading. The prompt opened the thought, so the text is thought until the first `</think>`; any
 * other tag is text.
 */
export interface Parts {
  thought: string;
  /** `null` while the thought is open. */
  answer: string | null;
}

const CLOSE = "</think>";
const ANSWER = /^\s*<answer>([^<]*)<\/answer>\s*$/;
const OPEN_ANSWER = /^\s*<answer>([^<]*)$/;

/** While a completion streams, the start of a possible tag at its end is held back. */
export function split(text: string, streaming = false): Parts {
  const end = text.indexOf(CLOSE);
  if (end < 0) return { thought: streaming ? withoutStart(text, CLOSE) : text, answer: null };
  let rest = text.slice(end + CLOSE.length);
  if (streaming) rest = withoutStart(withoutStart(rest, "</answer>"), "<answer>");
  const inside = ANSWER.exec(rest) ?? (streaming ? OPEN_ANSWER.exec(rest) : null);
  return { thought: text.slice(0, end).trimEnd(), answer: inside ? inside[1]!.trim() : rest.trim() };
}

function withoutStart(text: string, tag: string): string {
  for (let length = Math.min(tag.length - 1, text.length); length > 0; length--) {
    if (text.endsWith(tag.slice(0, length))) return text.slice(0, -length);
  }
  return text;
}
