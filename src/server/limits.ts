/** Limits of requests, for the server and for the page. */

/** A larger body is refused without reading it. */
export const MAX_PROBLEM_BYTES = 4096;
export const MAX_CONVERSATION_BYTES = 1 << 20;
