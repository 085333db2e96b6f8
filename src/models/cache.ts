/** Attention of new tokens over what a cache holds. */
import {
  add,
  concat,
  gather,
  jointAttention,
  matmul,
  max,
  mul,
  reshape,
  softmax,
  transpose,
} from "../graph/ops.ts";
import { product, type Tensor } from "../graph/tensor.ts";

/** Keys and values of one layer, [batch, kvHeads, seq, width] each. */
export interface KeysValues {
  keys: Tensor;
  values: Tensor;
}

/** New tokens over a cache: one a row, or a chunk of them. */
export interface CachedStep {
  /** The new tokens of each row, [batch, seq] i32 (seq is 1 without `chunk`), and their positions. */
  ids: Tensor;
  positions: Tensor;
  /** 0 for a position of the cache that the row has filled and `MASKED` for others, [batch, 1, 1, past]. */
  mask: Tensor;
  /** A tensor [batch, heads, past, width] for each cache layer. */
  cache: readonly Tensor[];
  chunk?: Chunk;
}

/** Several new tokens a row. */
export interface Chunk {
  /** Which of them each may see: 0 or `MASKED`, [1, 1, seq, seq]. */
  mask: Tensor;
  /** Indices of the tokens whose logits are wanted, [wanted] i32. */
  last: Tensor;
}

/** What new tokens may see: positions of the cache, and each other. */
export interface CacheMasks {
  /** [batch, 1, 1, past]. */
  mask: Tensor;
  /** Of a chunk, repeated for all heads that share a key head: [1, 1, heads / kvHeads · seq, seq]. */
  ownMask?: Tensor;
  /** Both side by side, [batch, 1, heads / kvHeads · seq, seq + past]. */
  joined?: Tensor;
}

export function cacheMasks(
  { mask, chunk }: Pick<CachedStep, "mask" | "chunk">,
  headsPerKey: number,
): CacheMasks {
  if (chunk === undefined) return { mask };
  const { mask: one } = chunk;
  return one.graph.scope("chunk", () => {
    const copies = concat(Array<Tensor>(headsPerKey).fill(one), 1);
    const ownMask = reshape(copies, [1, 1, product([headsPerKey, one.shape[2]]), one.shape[3]]);
    const zeros = (x: Tensor) => mul(max(x, [3], true), 0);
    const joined = concat([add(ownMask, zeros(mask)), add(mask, zeros(ownMask))], 3);
    return { mask, ownMask, joined };
  });
}

/**
 * Attention of queries [batch, heads, seq, width] over a cache and over the new tokens themselves -> [batch, kvHeads,
 * heads / kvHeads · seq, value width]: queries that share a key head are its rows.
 */
export function cachedAttention(
  queries: Tensor,
  own: KeysValues,
  past: KeysValues,
  { mask, ownMask, joined }: CacheMasks,
  scale: number,
): Tensor {
  const [batch, heads, seq, width] = queries.shape;
  const kvHeads = own.keys.shape[1] as number;
  const rows = reshape(queries, [batch, kvHeads, product([(heads as number) / kvHeads, seq]), width]);
  if (joined !== undefined && own.keys === own.values) {
    // In MLA keys are the values as well. A copy that joins old and new ones is small beside the products of all heads, and
    // it saves half of the nodes.
    const both = concat([own.keys, past.keys], 2);
    return matmul(softmax(add(matmul(rows, both, { transB: true, alpha: scale }), joined)), both);
  }
  const options = { scale, mask, ownMask };
  return jointAttention(rows, [own.keys, own.values], [past.keys, past.values], options);
}

/** The tokens of each row whose logits are wanted: hidden [batch, seq, width] -> [wanted, batch, width]. */
export const wantedTokens = (hidden: Tensor, last: Tensor): Tensor =>
  gather(transpose(hidden, [1, 0, 2]), last);

/** Logits [.., vocab] -> [rows, vocab]. */
export const flatLogits = (logits: Tensor): Tensor =>
  reshape(logits, [product(logits.shape.slice(0, -1)), logits.shape[logits.rank - 1]]);
