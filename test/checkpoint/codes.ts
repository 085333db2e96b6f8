/** What blocks of codes stand for, by the definition. */
import type { Codes } from "../../src/checkpoint/quantise.ts";

export function decode({ block: size, packed, scales, offsets }: Codes): Float32Array {
  const out = new Float32Array(scales.length * size);
  const eight = packed.length === out.length;
  for (let i = 0; i < out.length; i++) {
    const block = Math.floor(i / size);
    const code = eight ? packed[i] - 128 : ((packed[i >> 1] >> (4 * (i & 1))) & 15) - 8;
    out[i] = Math.fround(code * scales[block]) + (offsets?.[block] ?? 0);
  }
  return out;
}
