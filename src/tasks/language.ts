/** Which language a text is in, as far as its script tells: the share of words in the language that was asked for. */

import type { Problem } from "./problem.ts";

/** The script of a language, by ISO 639-1. Languages with one script, such as English and German, count as one. */
export const SCRIPTS = {
  en: "Latin",
  bg: "Cyrillic",
  el: "Greek",
  he: "Hebrew",
  hi: "Devanagari",
  ko: "Hangul",
  zh: "Han",
} as const;

export type Language = keyof typeof SCRIPTS;
type Script = (typeof SCRIPTS)[Language];

const TESTS = Object.fromEntries(
  Object.values(SCRIPTS).map((script) => [script, new RegExp(`^\\p{Script=${script}}`, "u")]),
) as Record<Script, RegExp>;

const wordsOf = (text: string): string[] => text.replace(/<[^>]*>/g, " ").match(/\p{L}+/gu) ?? [];

/** What a problem asks, as text. */
export const askedIn = ({ prompt, messages }: Pick<Problem, "prompt" | "messages">): string =>
  messages?.at(-1)?.content ?? prompt;

/** Of the words (runs of letters outside tags) that are in `language`; `null` where there are no words. */
export function languageShare(text: string, language: Language): number | null {
  const words = wordsOf(text);
  if (words.length === 0) return null;
  const test = TESTS[SCRIPTS[language]];
  return words.filter((word) => test.test(word)).length / words.length;
}

/** The language in which most words of a text are; `null` where it has none, or none of a known script. */
export function languageOf(text: string): Language | null {
  const shares = (Object.keys(SCRIPTS) as Language[]).map((language) => ({
    language,
    share: languageShare(text, language) ?? 0,
  }));
  const best = shares.reduce((a, b) => (b.share > a.share ? b : a));
  return best.share > 0 ? best.language : null;
}
