/**
 * Fill-in-the-middle (Bavarian et al. 2022, arXiv 2207.14255) as DeepSeek-Coder trains it (arXiv 2401.14196, section
 * 3.1.2): a whole document, before packing, is cut at two characters, and its middle moves to the end.
 */
import type { Random } from "../runtime/random.ts";
import { TokenizerError, UnknownCharacterError } from "../tokenizer/errors.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { Document } from "./data.ts";

/** DeepSeek's spelling: before the prefix, where the middle was cut out, and before the middle. */
export const FIM_TOKENS = {
  begin: "<｜fim▁begin｜>",
  hole: "<｜fim▁hole｜>",
  end: "<｜fim▁end｜>",
} as const;

export interface FimOptions {
  /** Share of documents that are cut; DeepSeek-Coder 0.5, DeepSeek-V3 0.1. */
  rate: number;
  /** Share of those that are in suffix-prefix-middle order; DeepSeek has none. */
  spm: number;
}

/**
 * psm: begin prefix hole suffix end middle. spm: begin hole suffix end prefix middle, so that the middle goes on from
 * the prefix without a token between (the paper's variant that shares its tokens with psm, appendix D).
 */
export type FimOrder = "psm" | "spm";

/** A stretch of text, or one of the three tokens. */
export type FimPiece = { text: string } | { token: keyof typeof FIM_TOKENS };

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

/** What stands before the middle: the prompt that asks a model to fill the hole between two texts. */
export function promptPieces(prefix: string, suffix: string, order: FimOrder = "psm"): FimPiece[] {
  const [before, after] = [{ text: prefix }, { text: suffix }];
  const [begin, hole, end] = [{ token: "begin" }, { token: "hole" }, { token: "end" }] as const;
  return order === "psm" ? [begin, before, hole, after, end] : [begin, hole, after, end, before];
}

/**
 * Pieces as ids, each text for itself: a spelling of a control token in it stays text.
 * @throws TokenizerError where the vocabulary has no such tokens
 */
export function encodePieces(tokenizer: Tokenizer, pieces: readonly FimPiece[]): number[] {
  return pieces.flatMap((piece) =>
    "text" in piece ? tokenizer.encode(piece.text) : [fimId(tokenizer, FIM_TOKENS[piece.token])],
  );
}

function fimId(tokenizer: Tokenizer, token: string): number {
  let ids: number[] = [];
  try {
    ids = tokenizer.encode(token, { specials: true });
  } catch (error) {
    // A vocabulary that cannot even spell it has no such token either.
    if (!(error instanceof UnknownCharacterError)) throw error;
  }
  if (ids.length === 1) return ids[0];
  throw new TokenizerError({
    field: "added_tokens",
    expected: `the control token ${token}`,
    found: "none",
    remedy: "Fill-in-the-middle needs DeepSeek-Coder's three tokens: take its tokenizer, or leave fim out.",
  });
}

/** BOS, the document, cut or whole, and EOS; all of it is trained. */
export function fimDocument(
  tokenizer: Tokenizer,
  text: string,
  options: FimOptions,
  random: Random,
): Document {
  const begin = tokenizer.bosId === null ? [] : [tokenizer.bosId];
  const end = tokenizer.eosId === null ? [] : [tokenizer.eosId];
  const ids = encodePieces(tokenizer, cutDocument(text, options, random));
  return { ids: [...begin, ...ids, ...end], trainFrom: begin.length };
}
