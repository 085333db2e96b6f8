/**
 * Fill-in-the-middle (Bavarian et al. 2022, arXiv 2207.14255) as DeepSeek-Coder trains it (arXiv 2401.14196, section
 * 3.1.2): a document, before packing, is cut at two characters, and its middle moves to the end.
 */
import type { Random } from "../lib/random.ts";
import { beginIds, endIds } from "../tokenizer/around.ts";
import { encodePieces, type FimPiece, promptPieces } from "../tokenizer/infill.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { Document } from "./packing.ts";

export interface FimOptions {
  /** Fraction of documents that are cut; DeepSeek-Coder 0.5, DeepSeek-V3 0.1. */
  rate: number;
  /** Fraction of those that are in suffix-prefix-middle order; DeepSeek has none. */
  spm: number;
}

/** The pieces of a document: itself, or cut in three. Each code point is as likely a place to cut as any other. */
export function cutDocument(text: string, { rate, spm }: FimOptions, random: Random): FimPiece[] {
  if (random.uniform() >= rate) return [{ text }];
  const order = random.uniform() < spm ? "spm" : "psm";
  const characters = Array.from(text);
  const cut = (): number => random.integer(0, characters.length);
  const [from, to] = [cut(), cut()].sort((a, b) => a - b);
  const part = (start: number, end?: number): string => characters.slice(start, end).join("");
  return [...promptPieces(part(0, from), part(to), order), { text: part(from, to) }];
}

/** The document, cut or not, between the tokenizer's tokens for begin and end of a text; all but the begin is trained. */
export function fimDocument(
  tokenizer: Tokenizer,
  text: string,
  options: FimOptions,
  random: Random,
): Document {
  const begin = beginIds(tokenizer);
  const ids = encodePieces(tokenizer, cutDocument(text, options, random));
  return { ids: [...begin, ...ids, ...endIds(tokenizer)], trainFrom: begin.length };
}
