/**
 * The prompt that asks a model to fill the hole between two texts (Bavarian et al. 2022, arXiv 2207.14255), in the
 * spelling of whichever family its vocabulary comes from.
 */
import { isUserError, UserError } from "../lib/errors.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** The tokens before the prefix, at the hole, and before the middle. */
export interface FimTokens<Token = string> {
  begin: Token;
  hole: Token;
  end: Token;
}

/** DeepSeek-Coder's (arXiv 2401.14196, section 3.1.2): what our own models are trained with. */
export const FIM_TOKENS: FimTokens = {
  begin: "<｜fim▁begin｜>",
  hole: "<｜fim▁hole｜>",
  end: "<｜fim▁end｜>",
};

const SPELLINGS: readonly FimTokens[] = [
  FIM_TOKENS,
  // Qwen2.5-Coder (arXiv 2409.12186, section 3.2.2) and CodeGemma; StarCoder (arXiv 2305.06161); SantaCoder.
  { begin: "<|fim_prefix|>", hole: "<|fim_suffix|>", end: "<|fim_middle|>" },
  { begin: "<fim_prefix>", hole: "<fim_suffix>", end: "<fim_middle>" },
  { begin: "<fim-prefix>", hole: "<fim-suffix>", end: "<fim-middle>" },
];

/**
 * psm: begin prefix hole suffix end middle. spm: begin hole suffix end prefix middle, so that the middle
 * follows the prefix without a token between (the paper's variant with the tokens of psm, appendix D).
 */
export type FimOrder = "psm" | "spm";

/** A stretch of text, or one of the three tokens. */
export type FimPiece = { text: string } | { token: keyof FimTokens };

/** The prompt: all pieces before the middle. */
export function promptPieces(prefix: string, suffix: string, order: FimOrder = "psm"): FimPiece[] {
  const [before, after] = [{ text: prefix }, { text: suffix }];
  const [begin, hole, end] = [{ token: "begin" }, { token: "hole" }, { token: "end" }] as const;
  return order === "psm" ? [begin, before, hole, after, end] : [begin, hole, after, end, before];
}

/**
 * Pieces as ids, each text encoded alone: a control token that it spells stays text.
 * @throws UserError where the vocabulary has no such tokens
 */
export function encodePieces(tokenizer: Tokenizer, pieces: readonly FimPiece[]): number[] {
  return pieces.flatMap((piece, i) =>
    "text" in piece
      ? tokenizer.encode(piece.text, {
          after: i === 0 ? undefined : "text" in pieces[i - 1] ? "text" : "control",
        })
      : [fimIds(tokenizer)[piece.token]],
  );
}

/** @throws UserError where the vocabulary has none of the known spellings */
export function fimIds(tokenizer: Tokenizer): FimTokens<number> {
  for (const { begin, hole, end } of SPELLINGS) {
    const ids = [begin, hole, end].map((token) => controlId(tokenizer, token));
    if (ids.every((id) => id !== null)) return { begin: ids[0], hole: ids[1], end: ids[2] };
  }
  throw new UserError({
    kind: "tokenizer",
    where: "tokenizer added_tokens",
    expected: `control tokens for fill-in-the-middle, such as ${FIM_TOKENS.begin} or ${SPELLINGS[1].begin}`,
    found: "none",
    remedy:
      "This model can't fill holes: take one that was trained to (a base model for code), or leave the hole out (in a recipe: fim).",
  });
}

function controlId(tokenizer: Tokenizer, token: string): number | null {
  try {
    const ids = tokenizer.encode(token, { specials: true });
    return ids.length === 1 ? ids[0] : null;
  } catch (error) {
    // A vocabulary that cannot spell the token does not have it.
    if (isUserError(error, "input")) return null;
    throw error;
  }
}
