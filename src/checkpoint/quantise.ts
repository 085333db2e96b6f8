/**
 * From f32 to blocks of codes that share a scale, by ggml's rules for Q8_0, Q4_0 and Q4_1 (ggml-quants.c): what such a
 * GGUF file held comes back code by code in blocks of 32, with the same scales.
 */

/** "int4-offset" has a scale and an offset a block, as Q4_1: closer, and slower, than "int4". */
export const PRECISIONS = ["f32", "int8", "int4", "int4-offset"] as const;
/** In which form a model's matrices are kept while it runs. */
export type Precision = (typeof PRECISIONS)[number];

/** Numbers that share a scale: more of them take less memory and are coarser. */
export const BLOCKS = [32, 64, 128] as const;
export type BlockSize = (typeof BLOCKS)[number];

/** How a matrix becomes codes. */
export interface Rounding {
  precision: Exclude<Precision, "f32">;
  block: BlockSize;
}

/** Blocks in order: w = scale · (code - 2^(bits-1)) + offset. */
export interface Codes {
  block: BlockSize;
  /** A byte a code, or two codes a byte, the earlier one in the low half. */
  packed: Uint8Array;
  scales: Float32Array;
  offsets: Float32Array | null;
}

export const bitsOf = (precision: Exclude<Precision, "f32">): 4 | 8 => (precision === "int8" ? 8 : 4);

/**
 * Quantises whole blocks of `data` into `codes` from block `first` on. A model has billions of numbers, so nothing is
 * allocated for a block, and no branch depends on its numbers.
 */
export function quantise(
  data: Float32Array,
  precision: Exclude<Precision, "f32">,
  codes: Codes,
  first = 0,
): void {
  const rule = precision === "int8" ? eightBits : codes.offsets === null ? fourBits : fourBitsAndOffset;
  rule(data, codes, first);
}

/** The bits of an f32 without its sign: as whole numbers they have the order of the magnitudes. */
const MAGNITUDE = 0x7fffffff;
const word = new Int32Array(1);
const real = new Float32Array(word.buffer);

/** The largest magnitude among the numbers `from` to `end`, as bits. */
function largestBits(bits: Int32Array, from: number, end: number): number {
  let [even, odd] = [0, 0];
  for (let i = from; i < end; i += 2) {
    // more & ~(more >> 31) is max(more, 0).
    const more = (bits[i] & MAGNITUDE) - even;
    even += more & ~(more >> 31);
    const moreOdd = (bits[i + 1] & MAGNITUDE) - odd;
    odd += moreOdd & ~(moreOdd >> 31);
  }
  return Math.max(even, odd);
}

const bitsIn = ({ buffer, byteOffset, length }: Float32Array): Int32Array =>
  new Int32Array(buffer, byteOffset, length);

/** Q8_0: scale = largest / 127. */
function eightBits(data: Float32Array, { block, packed, scales }: Codes, first: number): void {
  const bits = bitsIn(data);
  for (let from = 0, at = first; from < data.length; from += block, at++) {
    const end = from + block;
    word[0] = largestBits(bits, from, end);
    const scale = Math.fround(real[0] / 127);
    scales[at] = scale;
    const inverse = scale === 0 ? 0 : 1 / scale;
    // Stored as a byte, a number loses its fraction: floor(w / scale + 128.5).
    for (let i = from, to = at * block; i < end; i += 2, to += 2) {
      packed[to] = data[i] * inverse + 128.5;
      packed[to + 1] = data[i + 1] * inverse + 128.5;
    }
  }
}

/** Q4_0: the number of largest magnitude, with its sign, becomes code 0, which stands for -8. */
function fourBits(data: Float32Array, codes: Codes, first: number): void {
  const bits = bitsIn(data);
  const { block, scales } = codes;
  for (let from = 0, at = first; from < data.length; from += block, at++) {
    const largest = largestBits(bits, from, from + block);
    let extreme = from;
    while ((bits[extreme] & MAGNITUDE) !== largest) extreme++;
    scales[at] = data[extreme] / -8;
    pack(data, from, codes, at);
  }
}

/** Q4_1: code 0 is the smallest number and code 15 the largest. */
function fourBitsAndOffset(data: Float32Array, codes: Codes, first: number): void {
  const { block, scales } = codes;
  const offsets = codes.offsets as Float32Array;
  for (let from = 0, at = first; from < data.length; from += block, at++) {
    let low = data[from];
    let high = low;
    for (let i = from + 1; i < from + block; i++) {
      if (data[i] < low) low = data[i];
      if (data[i] > high) high = data[i];
    }
    scales[at] = (high - low) / 15;
    offsets[at] = low + 8 * scales[at];
    pack(data, from, codes, at);
  }
}

/** Codes round((w - offset) / scale + 8) of the numbers from `from` on, 15 at most, two a byte. */
function pack(data: Float32Array, from: number, { block, packed, scales, offsets }: Codes, at: number): void {
  const scale = scales[at];
  const inverse = scale === 0 ? 0 : 1 / scale;
  const shift = 8.5 - (offsets === null ? 0 : offsets[at] * inverse);
  for (let i = from, to = (at * block) / 2; i < from + block; i += 2, to++) {
    const low = Math.min(15, (data[i] * inverse + shift) | 0);
    const high = Math.min(15, (data[i + 1] * inverse + shift) | 0);
    packed[to] = low | (high << 4);
  }
}
