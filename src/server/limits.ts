/** What a request may weigh, for the server and for the page that asks. */

/** A body above this is refused unread. */
export const MAX_PROBLEM_BYTES = 4096;
export const MAX_CONVERSATION_BYTES = 1 << 20;
