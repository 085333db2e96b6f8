/**
 * Finds the thought and the answer of a completion in R1's template, `<think>…</think><answer>…</answer>`
 * (arXiv 2501.12948, Table 1), tag by tag.
 *
 * The format rule. The tags of the completion are exactly these four, once each, in this order, with
 * nothing but blanks before the thought and between thought and answer. Text may follow the answer, as
 * long as it has no further tag. A prompt that ends in `<think>` opens the thought itself; the completion
 * may then repeat that one tag as its very first text.
 *
 * The answer rule, for accuracy, asks less: after the first `</think>` (or anywhere, if there is none) there is exactly
 * one `<answer>` and one `</answer>`, in this order. So an answer without a thought can be right, a thought may quote
 * the tags, and two answers are no answer, whichever is right: the last one is shown and not compared.
 */

export type Tag = "<think>" | "</think>" | "<answer>" | "</answer>";

const TAGS: readonly Tag[] = ["<think>", "</think>", "<answer>", "</answer>"];
const TEMPLATE = TAGS.join("");

/** What a completion holds in R1's tags. */
export interface Extraction {
  format: boolean;
  /** Up to `</think>`; without one, up to the answer or the end. */
  thought: string;
  /** Where the thought begins in the completion, in characters. */
  thoughtStart: number;
  /** The inside of the one answer block, blanks trimmed, or `null`. */
  answer: string | null;
  /** The inside of the last of several complete answer blocks, to be shown, never compared. */
  shown: string | null;
  /** Why there is no answer; "" where there is one. */
  reason: string;
  /** The text after the first `</think>`, or else all of it, for other forms of an answer. */
  rest: string;
}

/** How a completion is read. */
export interface ExtractOptions {
  /** The prompt ends in `<think>`, so the completion begins inside the thought. */
  thoughtOpen?: boolean;
}

interface FoundTag {
  tag: Tag;
  start: number;
  end: number;
}

/** Reads one completion. Never throws; linear in its length. */
export function extract(completion: string, options: ExtractOptions = {}): Extraction {
  const tags = findTags(completion);
  const first = tags[0];
  const opensItself = first?.tag === "<think>" && isBlank(completion.slice(0, first.start));
  const thoughtStart = opensItself ? first.end : 0;
  const close = tags.find((found) => found.tag === "</think>");
  const from = close?.end ?? 0;
  const answerTags = tags.filter((found) => found.start >= from && found.tag.endsWith("answer>"));

  const [open, shut] = answerTags;
  const one = answerTags.length === 2 && open!.tag === "<answer>" && shut!.tag === "</answer>";
  const insides = answerTags.flatMap(({ tag, end }, i) => {
    const next = answerTags[i + 1];
    const complete = tag === "<answer>" && next?.tag === "</answer>";
    return complete ? [trimBlanks(completion.slice(end, next.start))] : [];
  });
  const ownTags = tags.map((found) => found.tag).join("");
  const opened = options.thoughtOpen === true && !opensItself;
  const inOrder = (opened ? `<think>${ownTags}` : ownTags) === TEMPLATE && (opened || opensItself);
  return {
    format: inOrder && one && isBlank(completion.slice(from, open!.start)),
    thought: completion.slice(thoughtStart, close?.start ?? open?.start ?? completion.length),
    thoughtStart,
    answer: one ? insides[0]! : null,
    shown: insides.at(-1) ?? null,
    reason: one ? "" : noAnswer(answerTags) + (new Set(insides).size > 1 ? ", and they differ" : ""),
    rest: completion.slice(from),
  };
}

function noAnswer(tags: FoundTag[]): string {
  const opened = tags.filter((found) => found.tag === "<answer>").length;
  if (tags.length === 0) return "no answer block";
  if (opened > 1) return `${opened} answers, not one`;
  if (opened === 0) return "answer block not opened";
  return tags.length === 1 ? "answer block not closed" : "answer tags out of order";
}

/** All tags of the template, found from "<" to "<". */
function findTags(text: string): FoundTag[] {
  const found: FoundTag[] = [];
  for (let at = text.indexOf("<"); at !== -1; at = text.indexOf("<", at + 1)) {
    const tag = TAGS.find((candidate) => text.startsWith(candidate, at));
    if (tag) found.push({ tag, start: at, end: at + tag.length });
  }
  return found;
}

const BLANKS = " \t\r\n";

function isBlank(text: string): boolean {
  return trimBlanks(text) === "";
}

/** Spaces, tabs and line breaks off both ends; other Unicode blanks stay, for the grammars to refuse. */
export function trimBlanks(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && BLANKS.includes(text[start]!)) start++;
  while (end > start && BLANKS.includes(text[end - 1]!)) end--;
  return text.slice(start, end);
}
