/**
 * SPUTNIK_DEBUG prints to standard error what happens inside: 1 the stack of an error, 2 each session that is created,
 * and which form its composite ops took, 3 each run of a session. A level includes those below it.
 */
const level = (): number => Number(process.env.SPUTNIK_DEBUG ?? 0) || 0;

export const debugs = (wanted: 1 | 2 | 3): boolean => level() >= wanted;

/** Prints `text()`, at this level of SPUTNIK_DEBUG and above. */
export function debug(wanted: 2 | 3, text: () => string): void {
  if (debugs(wanted)) console.error(text());
}
