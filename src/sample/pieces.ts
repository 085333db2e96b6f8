/** How much of a prompt one pass reads: enough for its products, few enough that whoever leaves is noticed soon. */

/** Least and most tokens of a pass. */
interface Bounds {
  least: number;
  most: number;
}

/**
 * Where a graph takes prompts in pieces: a pass of fewer is bound by memory and hardly shorter; with more, scores and
 * activations are no longer small beside a model, and 512 are no faster.
 */
export const PIECES: Bounds = { least: 16, most: 256 };

/** Where each prompt is whole, several in a pass: weights that are fed are packed again at each, which many tokens share. */
export const WHOLE: Bounds = { least: 512, most: 4096 };

/** What two cores compute in a quarter of a second, and slow ones in half of one. */
const PASS_FLOPS = 25e9;

/**
 * Tokens of a pass: a power of two. They follow from the model alone, never from the machine's speed, since
 * sums may be cut elsewhere in other pieces.
 * @param flopsOf FLOPs of a pass over so many tokens
 */
export function tokensOfPass(flopsOf: (tokens: number) => number, { least, most }: Bounds): number {
  const affordable = (PASS_FLOPS * PIECES.least) / flopsOf(PIECES.least);
  return Math.min(most, Math.max(least, 2 ** Math.floor(Math.log2(affordable))));
}

/** As many of `tokens` as pieces of `piece` hold that are full. */
export const wholePieces = (tokens: number, piece: number): number => tokens - (tokens % piece);
