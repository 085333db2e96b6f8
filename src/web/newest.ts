/** The part of a long talk that a request has room for. */
import type { Message } from "../server/chat.ts";

const utf8 = new TextEncoder();
/** With the comma behind it. */
const weight = (message: Message): number => utf8.encode(JSON.stringify(message)).length + 1;

/**
 * System message and question, and of the turns between, each a question with its answer, as many of the newest as
 * `bytes` of JSON hold. A talk that has grown too long goes on without its beginning.
 */
export function newestMessages(
  system: readonly Message[],
  turns: readonly (readonly Message[])[],
  question: Message,
  bytes: number,
): Message[] {
  let room = bytes - [...system, question].reduce((sum, message) => sum + weight(message), 0);
  let from = turns.length;
  while (from > 0) {
    room -= turns[from - 1].reduce((sum, message) => sum + weight(message), 0);
    if (room < 0) break;
    from--;
  }
  return [...system, ...turns.slice(from).flat(), question];
}
