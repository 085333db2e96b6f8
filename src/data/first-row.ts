/** The first row of an SFT stage as the model sees it: control tokens as they are spelt, trained text between » and «. */

import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { PackedBatch } from "./packing.ts";

/** Lines and characters of an example that are shown; a terminal has 24 lines. */
const LINES = 12;
const CHARACTERS = 700;

/** The first example of the batch's first row, and how many more the row holds. */
export function firstRow(tokenizer: Tokenizer, batch: PackedBatch): { text: string; further: number } {
  const { ids, targets, weights, documents, seq } = batch;
  const own = documents[0];
  const further =
    new Set(documents.subarray(0, seq)).size - (documents.subarray(0, seq).includes(-1) ? 2 : 1);
  let end = 1;
  while (end < seq && documents[end] === own) end++;
  const spelling = spellings(tokenizer);
  const pieces: { text: string; trained: boolean }[] = [];
  let part: number[] = [];
  const flush = (trained: boolean): void => {
    const text = spell(part, tokenizer, spelling);
    if (part.length > 0) pieces.push({ text: trained ? `»${shorten(text)}«` : shorten(text), trained });
    part = [];
  };
  let trained = false;
  for (let i = 0; i <= end; i++) {
    const now = i > 0 && weights[i - 1] > 0;
    if (now !== trained) flush(trained);
    trained = now;
    part.push(i < end ? ids[i] : targets[end - 1]);
  }
  flush(trained);
  return { text: pieces.map(({ text }) => text).join(""), further: Math.max(0, further) };
}

function spellings(tokenizer: Tokenizer): Map<number, string> {
  const { added_tokens: added = [] } = tokenizer.toJSON() as {
    added_tokens?: { id: number; content: string }[];
  };
  return new Map(added.map(({ id, content }) => [id, content]));
}

/** Some tokenizers have no text for BOS and EOS: their names are shown. */
function spell(ids: readonly number[], tokenizer: Tokenizer, spelling: ReadonlyMap<number, string>): string {
  let [text, run] = ["", [] as number[]];
  const flush = (): void => {
    text += tokenizer.decode(run);
    run = [];
  };
  for (const id of ids) {
    const control = spelling.get(id);
    if (control === undefined) run.push(id);
    else {
      flush();
      text += control;
    }
  }
  flush();
  // Whatever would steer the terminal is shown by its code.
  return text.replace(
    /[^\n\P{Cc}]/gu,
    (c) => `\\u${(c.codePointAt(0) as number).toString(16).padStart(4, "0")}`,
  );
}

/** The beginning and the end of a long part. */
function shorten(text: string): string {
  const lines = text.split("\n");
  const few =
    lines.length <= LINES
      ? text
      : [...lines.slice(0, LINES / 2), "[...]", ...lines.slice(-LINES / 2)].join("\n");
  return few.length <= CHARACTERS ? few : `${few.slice(0, CHARACTERS / 2)}[...]${few.slice(-CHARACTERS / 2)}`;
}
