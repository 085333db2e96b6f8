/** Rebuilds the right tokenizer from the content of a `tokenizer.json`. */
import { isDeepStrictEqual } from "node:util";
import { BpeTokenizer, type TokenizerFiles } from "./bpe.ts";
import { CompactTokenizer, compactTokenizerJson } from "./compact.ts";
import type { Tokenizer } from "./tokenizer.ts";

/**
 * The compact one is recognised by its word list, since no other field is read by every tool.
 * @throws UserError for anything that is not a usable `tokenizer.json`.
 */
export function tokenizerFrom(json: unknown, files: TokenizerFiles = {}): Tokenizer {
  const { model } = compactTokenizerJson();
  const isCompact =
    typeof json === "object" && json !== null && "model" in json && isDeepStrictEqual(json.model, model);
  return isCompact ? new CompactTokenizer() : new BpeTokenizer(json, files);
}
