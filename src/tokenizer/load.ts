/** Rebuilds the right tokenizer from the content of a `tokenizer.json`. */
import { BpeTokenizer, type TokenizerFiles } from "./bpe.ts";
import { CompactTokenizer, compactWordsOf } from "./compact.ts";
import type { Tokenizer } from "./tokenizer.ts";

/**
 * A compact one is recognised by its word list, since no other field is read by every tool.
 * @throws UserError for anything that is not a usable `tokenizer.json`.
 */
export function tokenizerFrom(json: unknown, files: TokenizerFiles = {}): Tokenizer {
  const words =
    typeof json === "object" && json !== null && "model" in json ? compactWordsOf(json.model) : null;
  return words === null ? new BpeTokenizer(json, files) : new CompactTokenizer(words);
}
