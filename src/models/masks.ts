/** Masks over packed rows. */
import { MASKED } from "../graph/ops/nn.ts";
import { f32, type HostValue } from "../runtime/value.ts";

const causalMasks = new Map<number, HostValue>();
const KEPT = 4;

/** 0 on and below the diagonal, `MASKED` above: [1, 1, seq, seq]. The newest lengths are kept. */
export function causalMask(seq: number): HostValue {
  let mask = causalMasks.get(seq);
  if (mask === undefined) {
    const data = new Float32Array(seq * seq);
    for (let query = 0; query < seq; query++) data.fill(MASKED, query * seq + query + 1, (query + 1) * seq);
    mask = f32(data, [1, 1, seq, seq]);
    for (const oldest of causalMasks.keys()) if (causalMasks.size >= KEPT) causalMasks.delete(oldest);
    causalMasks.set(seq, mask);
  }
  return mask;
}

/**
 * A causal mask a row in which tokens see only their own document: `documents` [batch · seq] numbers the document of
 * each token. [batch, 1, seq, seq].
 */
export function documentMask(documents: Int32Array, batch: number, seq: number): HostValue {
  const data = new Float32Array(batch * seq * seq).fill(MASKED);
  for (let row = 0; row < batch; row++)
    for (let query = 0; query < seq; query++)
      for (let key = query; key >= 0 && documents[row * seq + key] === documents[row * seq + query]; key--)
        data[(row * seq + query) * seq + key] = 0;
  return f32(data, [batch, 1, seq, seq]);
}
