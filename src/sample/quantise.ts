/**
 * From f32 to blocks of codes that share a scale, by ggml's rules for Q8_0, Q4_0 and Q4_1 (ggml-quants.c): what such a
 * GGUF file held comes back code by code in blocks of 32, with the same scales.
 */

/** "int4-offset" has a scale and an offset a block, as Q4_1: closer, and slower, than "int4". */
export const PRECISIONS = ["f32", "int8", "int4", "int4-offset"] as const;
export type Precision = (typeof PRECISIONS)[number];

/** Numbers that share a scale: more of them take less memory and are coarser. */
export const BLOCKS = [32, 64, 128] as const;
export type BlockSize = (typeof BLOCKS)[number];

/** Blocks in order: w = scale · (code - 2^(bits-1)) + offset. */
export interface Codes {
  block: BlockSize;
  /** A byte a code, or two codes a byte, the earlier one in the low half. */
  packed: Uint8Array;
  scales: Float32Array;
  offsets: Float32Array | null;
}

export const bitsOf = (precision: Exclude<Precision, "f32">): 4 | 8 => (precision === "int8" ? 8 : 4);

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

/** Quantises whole blocks of `data` into `codes` from block `first` on. */
export function quantise(
  data: Float32Array,
  precision: Exclude<Precision, "f32">,
  codes: Codes,
  first = 0,
): void {
  const rule = precision === "int8" ? eightBits : codes.offsets === null ? fourBits : fourBitsAndOffset;
  for (let from = 0, at = first; from < data.length; from += codes.block, at++) rule(data, from, codes, at);
}

/** Q8_0: scale = largest / 127. */
function eightBits(data: Float32Array, from: number, { block, packed, scales }: Codes, at: number): void {
  let largest = 0;
  for (let i = from; i < from + block; i++) {
    const size = Math.abs(data[i]);
    if (size > largest) largest = size;
  }
  const scale = Math.fround(largest / 127);
  scales[at] = scale;
  for (let i = 0; i < block; i++)
    packed[at * block + i] = scale === 0 ? 128 : Math.floor(data[from + i] / scale + 128.5);
}

/** Q4_0: the number of largest magnitude, with its sign, becomes code 0, which stands for -8. */
function fourBits(data: Float32Array, from: number, { block, packed, scales }: Codes, at: number): void {
  let extreme = 0;
  for (let i = from; i < from + block; i++) if (Math.abs(data[i]) > Math.abs(extreme)) extreme = data[i];
  const scale = Math.fround(extreme / -8);
  scales[at] = scale;
  if (scale === 0) packed.fill(0x88, (at * block) / 2, ((at + 1) * block) / 2);
  else pack(data, from, scale, 8.5, packed.subarray((at * block) / 2, ((at + 1) * block) / 2));
}

/** Q4_1: code 0 is the smallest number and code 15 the largest. */
function fourBitsAndOffset(data: Float32Array, from: number, codes: Codes, at: number): void {
  const { block } = codes;
  let [low, high] = [data[from], data[from]];
  for (let i = from + 1; i < from + block; i++) {
    low = Math.min(low, data[i]);
    high = Math.max(high, data[i]);
  }
  const scale = Math.fround((high - low) / 15);
  codes.scales[at] = scale;
  (codes.offsets as Float32Array)[at] = low + 8 * scale;
  if (scale === 0) codes.packed.fill(0, (at * block) / 2, ((at + 1) * block) / 2);
  else
    pack(
      data,
      from,
      scale,
      0.5 - low / scale,
      codes.packed.subarray((at * block) / 2, ((at + 1) * block) / 2),
    );
}

/** Codes floor(w / scale + shift), 15 at most, two a byte. */
function pack(data: Float32Array, from: number, scale: number, shift: number, packed: Uint8Array): void {
  for (let i = 0; i < packed.length; i++) {
    const low = Math.min(15, Math.floor(data[from + 2 * i] / scale + shift));
    const high = Math.min(15, Math.floor(data[from + 2 * i + 1] / scale + shift));
    packed[i] = low | (high << 4);
  }
}
