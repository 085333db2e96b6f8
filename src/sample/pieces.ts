/** How much of a prompt one pass reads: enough for its products, few enough that whoever leaves is noticed soon. */

/**
 * Tokens of a pass, at most, where a graph takes prompts in pieces: scores and activations are small beside a model. 128
 * and 512 are no faster.
 */
export const PIECE_TOKENS = 256;

/** Tokens of several prompts that one pass reads where each is whole. */
export const WHOLE_TOKENS = 4096;

/** A pass of fewer is bound by memory, and would be hardly shorter. */
const LEAST_TOKENS = 16;

/** What two cores compute in a quarter of a second; a slow machine takes half of one. */
const PASS_FLOPS = 25e9;

/**
 * Tokens of a pass: a power of two, up to `most`. It follows from the model alone, never from the machine's speed, since
 * sums may be cut elsewhere in other pieces.
 * @param flopsOf FLOPs of a pass over so many tokens
 */
export function tokensOfPass(flopsOf: (tokens: number) => number, most: number): number {
  const affordable = PASS_FLOPS / (flopsOf(LEAST_TOKENS) / LEAST_TOKENS);
  return Math.min(most, Math.max(LEAST_TOKENS, 2 ** Math.floor(Math.log2(affordable))));
}

/** As many of `tokens` as pieces of `piece` hold that are full. */
export const wholePieces = (tokens: number, piece: number): number => tokens - (tokens % piece);
