/** The newest part of a conversation that fits a request. */
import type { Message } from "../server/chat.ts";

const utf8 = new TextEncoder();
/** Bytes with the comma that follows. */
const weight = (message: Message): number => utf8.encode(JSON.stringify(message)).length + 1;

/**
 * System message and question, and of the turns between, each a question with its answer, as many of the newest as fit
 * `bytes` of JSON.
 */
export function newestMessages(
  system: readonly Message[],
  turns: readonly (readonly Message[])[],
  question: Message,
  bytes: number,
): Message[] {
  let left = bytes - [...system, question].reduce((sum, message) => sum + weight(message), 0);
  let from = turns.length;
  while (from > 0) {
    left -= turns[from - 1].reduce((sum, message) => sum + weight(message), 0);
    if (left < 0) break;
    from--;
  }
  return [...system, ...turns.slice(from).flat(), question];
}
