/**
 * The rules by which R1's authors kept samples for training (arXiv 2501.12948, sections 2.3.1 and 2.3.3): the form is kept,
 * the text is in one language and does not repeat itself, and what can be checked in the thought is true.
 */
import { extract } from "./extract.ts";
import { type Language, languageShare } from "./language.ts";
import type { CheckedStep, Verdict } from "./problem.ts";

/** What is known of a completion. */
export interface ReadCompletion {
  text: string;
  verdict: Pick<Verdict, "format">;
  /** Whether it ended by itself, within its limit. */
  finished: boolean;
  /** Checked steps of its thought; `null` where the task checks none. */
  steps: readonly Pick<CheckedStep, "holds">[] | null;
}

/** Characters of a part of a text that counts as repeated, and how often it may occur. */
const [REPEATED, TIMES] = [24, 3];

/**
 * Why a completion is not readable, in a few words; `null` if it is.
 * @param language in which its thought should be; a thought without words is in any language
 */
export function unreadable(
  { text, verdict, finished, steps }: ReadCompletion,
  language: Language | null = null,
): string | null {
  if (!finished) return "truncated";
  if (!verdict.format) return "format";
  if (steps?.some(({ holds }) => !holds)) return "false step";
  if (repeats(text)) return "repetition";
  const { thought } = extract(text, { thoughtOpen: true });
  if (language !== null && (languageShare(thought, language) ?? 1) < 1) return "language";
  return null;
}

/** Whether a line occurs twice, or a part of `REPEATED` characters more than `TIMES` times. Linear in the text's length. */
export function repeats(text: string): boolean {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  if (new Set(lines).size < lines.length) return true;
  const counts = new Map<string, number>();
  for (let i = 0; i + REPEATED <= text.length; i += 1) {
    const part = text.slice(i, i + REPEATED);
    const count = (counts.get(part) ?? 0) + 1;
    if (count > TIMES) return true;
    counts.set(part, count);
  }
  return false;
}
