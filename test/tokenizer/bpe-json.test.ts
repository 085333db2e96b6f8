import { expect, it } from "vitest";
import { addedToken, bpeJson } from "../../src/tokenizer/bpe-json.ts";

/** The ids that Hugging Face's library gives added tokens: a word's own, else the next behind the vocabulary. */
function idsOf(json: Record<string, unknown>): Map<string, number> {
  const { vocab } = json.model as { vocab: Record<string, number> };
  let next = Object.keys(vocab).length;
  const added = json.added_tokens as { content: string }[];
  return new Map(added.map(({ content }) => [content, vocab[content] ?? next++]));
}

const rest = { merges: [], preTokenizer: {} };

it.each([
  ["before the words, as SmolLM2 has them", [0, 1], [2, 3]],
  ["among the words", [1, 3], [0, 2]],
  ["behind the words", [2, 3], [0, 1]],
  ["behind the words, in another order", [3, 2], [0, 1]],
])("control tokens %s keep their ids in Hugging Face's library", (_label, ids, words) => {
  const added = ids.map((id, i) => addedToken(id, `<|${i}|>`, true));
  const json = bpeJson({ ...rest, added, vocab: words.map((id, i) => ["ab"[i], id]) });
  expect([...idsOf(json).values()]).toEqual(ids);
});
