/** Attention of new tokens over what a cache holds. */
import { jointAttention } from "../graph/ops.ts";
import type { Tensor } from "../graph/tensor.ts";

/** Keys and values of one layer, [batch, kvHeads, seq, width] each. */
export interface KeysValues {
  keys: Tensor;
  values: Tensor;
}

/** `jointAttention` of queries [batch, kvHeads, rows, width] -> [batch, kvHeads, rows, value width]. */
export function cachedAttention(
  queries: Tensor,
  own: KeysValues,
  past: KeysValues,
  mask: Tensor,
  scale: number,
  ownMask?: Tensor,
): Tensor {
  const pair = ({ keys, values }: KeysValues) => [keys, values] as const;
  return jointAttention(queries, pair(own), pair(past), { scale, mask, ownMask });
}
