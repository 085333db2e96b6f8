/** Blocks of codes: room for them, and what they stand for by the definition. */
import { type BlockSize, bitsOf, type Codes, type Precision } from "../../src/checkpoint/quantise.ts";

export function allocateCodes(
  elements: number,
  precision: Exclude<Precision, "f32">,
  block: BlockSize = 32,
): Codes {
  const blocks = elements / block;
  return {
    block,
    packed: new Uint8Array((elements * bitsOf(precision)) / 8),
    scales: new Float32Array(blocks),
    offsets: precision === "int4-offset" ? new Float32Array(blocks) : null,
  };
}

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
