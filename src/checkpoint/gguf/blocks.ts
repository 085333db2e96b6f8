/**
 * The element types of a GGUF tensor. Quantised types have blocks with a common scale; "K" types have blocks of 256
 * elements, whose groups have scales of few bits. A block decodes to f32 by the formula above it, in ggml's order of
 * operations, so that results are equal bit for bit.
 * Layouts: https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h
 */
import { DTYPES, fromFloat16, toFloat16, widen } from "../dtypes.ts";

interface Block {
  /** Number in the file. */
  id: number;
  /** Elements and bytes of one block; a row is a multiple of them. */
  elements: number;
  bytes: number;
  /** null for plain numbers. */
  decode: Decode | null;
}

/** Writes the block at byte `at` of `raw` to `out` from index `to`. */
type Decode = (raw: DataView, at: number, out: Float32Array, to: number) => void;

const half = (raw: DataView, at: number): number => fromFloat16(raw.getUint16(at, true));
const { fround } = Math;

/** Elements of a K block. */
const K = 256;

/** The values of IQ4's 4 bits: finer near 0, where most weights are. */
const LEVELS = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/** The bits of 32 elements, unpacked. */
const quants = new Uint8Array(32);

/** Unpacks 4 bits each: the low halves of 16 bytes are elements 0 to 15, the high halves 16 to 31. */
function fourBits(raw: DataView, at: number): void {
  for (let i = 0; i < 16; i++) {
    const pair = raw.getUint8(at + i);
    quants[i] = pair & 15;
    quants[16 + i] = pair >> 4;
  }
}

/** Unpacks 5 bits each: 4 bytes of fifth bits, then the low 4 bits as in `fourBits`. */
function fiveBits(raw: DataView, at: number): void {
  fourBits(raw, at + 4);
  const fifth = raw.getUint32(at, true);
  for (let i = 0; i < 32; i++) quants[i]! |= ((fifth >>> i) & 1) << 4;
}

/** A block of 32 as d (q - zero), or as d q + m if `zero` is null: [d f16][m f16, if any][bits of q]. */
const decode32 =
  (unpack: (raw: DataView, at: number) => void, zero: number | null): Decode =>
  (raw, at, out, to) => {
    const d = half(raw, at);
    unpack(raw, at + (zero === null ? 4 : 2));
    if (zero !== null) for (let i = 0; i < 32; i++) out[to + i] = d * (quants[i]! - zero);
    else {
      const m = half(raw, at + 2);
      for (let i = 0; i < 32; i++) out[to + i] = fround(d * quants[i]!) + m;
    }
  };

/** Writes 32 elements of 4 bits, each `scale` times a level. */
function decodeLevels(raw: DataView, at: number, scale: number, out: Float32Array, to: number): void {
  fourBits(raw, at);
  for (let i = 0; i < 32; i++) out[to + i] = scale * LEVELS[quants[i]!]!;
}

/** The 2 bits of element `i`: 32 bytes hold 128 elements, in the order i, 32 + i, 64 + i, 96 + i. */
const twoBits = (raw: DataView, at: number, i: number): number =>
  (raw.getUint8(at + 32 * (i >> 7) + (i & 31)) >> (2 * ((i >> 5) & 3))) & 3;

/** Scale and minimum of a group of a K block: 6 bits each, groups 4 to 7 in pieces. */
function scaleAndMin(raw: DataView, at: number, group: number): [number, number] {
  const byte = (index: number): number => raw.getUint8(at + index);
  if (group < 4) return [byte(group) & 63, byte(group + 4) & 63];
  return [
    (byte(group + 4) & 15) | ((byte(group - 4) >> 6) << 4),
    (byte(group + 4) >> 4) | ((byte(group) >> 6) << 4),
  ];
}

/** The types that are read here. */
export const BLOCKS = {
  F32: { id: 0, elements: 1, bytes: 4, decode: null },
  F16: { id: 1, elements: 1, bytes: 2, decode: null },
  BF16: { id: 30, elements: 1, bytes: 2, decode: null },
  /** d q, q a signed byte: [d f16][q 32]. */
  Q8_0: {
    ...{ id: 8, elements: 32, bytes: 34 },
    decode: (raw, at, out, to) => {
      const d = half(raw, at);
      for (let i = 0; i < 32; i++) out[to + i] = d * raw.getInt8(at + 2 + i);
    },
  },
  /** d (q - 8), q 4 bits: [d f16][16 bytes]. */
  Q4_0: { ...{ id: 2, elements: 32, bytes: 18 }, decode: decode32(fourBits, 8) },
  /** d q + m: [d f16][m f16][16 bytes]. */
  Q4_1: { ...{ id: 3, elements: 32, bytes: 20 }, decode: decode32(fourBits, null) },
  /** d (q - 16), q 5 bits: [d f16][20 bytes]. */
  Q5_0: { ...{ id: 6, elements: 32, bytes: 22 }, decode: decode32(fiveBits, 16) },
  /** d q + m: [d f16][m f16][20 bytes]. */
  Q5_1: { ...{ id: 7, elements: 32, bytes: 24 }, decode: decode32(fiveBits, null) },
  /** d times one of 16 levels: [d f16][16 bytes]. */
  IQ4_NL: {
    ...{ id: 20, elements: 32, bytes: 18 },
    decode: (raw, at, out, to) => decodeLevels(raw, at + 2, half(raw, at), out, to),
  },
  /** (d s) q - (e m), 4-bit s and m for each 16 elements, q 2 bits: [16 bytes, s low][64 bytes of q][d f16][e f16]. */
  Q2_K: {
    ...{ id: 10, elements: K, bytes: 84 },
    decode: (raw, at, out, to) => {
      const d = half(raw, at + 80);
      const e = half(raw, at + 82);
      for (let i = 0; i < K; i++) {
        const pair = raw.getUint8(at + (i >> 4));
        out[to + i] = fround(fround(d * (pair & 15)) * twoBits(raw, at + 16, i)) - fround(e * (pair >> 4));
      }
    },
  },
  /**
   * d (s - 32) q, 6-bit s for each 16 elements, q from -4 to 3: [32 bytes of high bits][64 bytes of low 2 bits][12 bytes
   * of s][d f16]. Bit g of the byte i is the high bit of element 32 g + i; 4 is taken away where it is 0. The low halves
   * of 8 bytes are the low 4 bits of s 0 to 7, the high ones of s 8 to 15; 4 more bytes hold the high 2 bits.
   */
  Q3_K: {
    ...{ id: 11, elements: K, bytes: 110 },
    decode: (raw, at, out, to) => {
      const d = half(raw, at + 108);
      const scales = Array.from({ length: 16 }, (_, g) => {
        const low = (raw.getUint8(at + 96 + (g & 7)) >> (4 * (g >> 3))) & 15;
        const high = (raw.getUint8(at + 104 + (g & 3)) >> (2 * (g >> 2))) & 3;
        return fround(d * ((low | (high << 4)) - 32));
      });
      for (let i = 0; i < K; i++) {
        const high = (raw.getUint8(at + (i & 31)) >> (i >> 5)) & 1;
        out[to + i] = scales[i >> 4]! * (twoBits(raw, at + 32, i) - 4 * (1 - high));
      }
    },
  },
  /**
   * (d s) q - (e m), with 6-bit s and m for each 32 elements: [d f16][e f16][12 bytes of s and m][128 bytes of q].
   * 32 bytes of q hold 64 elements: low halves first.
   */
  Q4_K: {
    ...{ id: 12, elements: K, bytes: 144 },
    decode: (raw, at, out, to) => {
      const d = half(raw, at);
      const e = half(raw, at + 2);
      for (let group = 0; group < 8; group++) {
        const [s, m] = scaleAndMin(raw, at + 4, group);
        const scale = fround(d * s);
        const least = fround(e * m);
        const quants = at + 16 + 32 * (group >> 1);
        const shift = 4 * (group & 1);
        for (let i = 0; i < 32; i++)
          out[to + 32 * group + i] = fround(scale * ((raw.getUint8(quants + i) >> shift) & 15)) - least;
      }
    },
  },
  /** As Q4_K, q 5 bits: [d f16][e f16][12 bytes][32 bytes: bit g of byte i is the fifth of 32 g + i][128 bytes]. */
  Q5_K: {
    ...{ id: 13, elements: K, bytes: 176 },
    decode: (raw, at, out, to) => {
      const d = half(raw, at);
      const e = half(raw, at + 2);
      for (let group = 0; group < 8; group++) {
        const [s, m] = scaleAndMin(raw, at + 4, group);
        const scale = fround(d * s);
        const least = fround(e * m);
        for (let i = 0; i < 32; i++) {
          const low = (raw.getUint8(at + 48 + 32 * (group >> 1) + i) >> (4 * (group & 1))) & 15;
          const high = (raw.getUint8(at + 16 + i) >> group) & 1;
          out[to + 32 * group + i] = fround(scale * (low | (high << 4))) - least;
        }
      }
    },
  },
  /**
   * (d s) (q - 32), a signed byte s for each 16 elements, q 6 bits: [128 bytes of low 4 bits][64 bytes of high
   * 2 bits][16 bytes of s][d f16]. Each half of the block: 64 bytes whose low halves are elements 0 to 63 and high
   * halves 64 to 127; 32 bytes whose bit pairs go to elements i, 32 + i, 64 + i, 96 + i.
   */
  Q6_K: {
    ...{ id: 14, elements: K, bytes: 210 },
    decode: (raw, at, out, to) => {
      const d = half(raw, at + 208);
      for (let i = 0; i < K; i++) {
        const side = i >> 7;
        const inside = i & 127;
        const low = (raw.getUint8(at + 64 * side + (inside & 63)) >> (4 * (inside >> 6))) & 15;
        const high = (raw.getUint8(at + 128 + 32 * side + (inside & 31)) >> (2 * (inside >> 5))) & 3;
        const scale = fround(d * raw.getInt8(at + 192 + (i >> 4)));
        out[to + i] = scale * ((low | (high << 4)) - 32);
      }
    },
  },
  /**
   * d (s - 32) times one of 16 levels, 6-bit s for each 32 elements: [d f16][2 bytes of high 2 bits of s][4 bytes of low
   * halves of s][128 bytes: 16 for each 32 elements, as in IQ4_NL].
   */
  IQ4_XS: {
    ...{ id: 23, elements: K, bytes: 136 },
    decode: (raw, at, out, to) => {
      const d = half(raw, at);
      const tops = raw.getUint16(at + 2, true);
      for (let group = 0; group < 8; group++) {
        const low = (raw.getUint8(at + 4 + (group >> 1)) >> (4 * (group & 1))) & 15;
        const s = low | (((tops >> (2 * group)) & 3) << 4);
        decodeLevels(raw, at + 8 + 16 * group, fround(d * (s - 32)), out, to + 32 * group);
      }
    },
  },
} as const satisfies Record<string, Block>;

export type TensorType = keyof typeof BLOCKS;

/** Names of other types, for the message that refuses them. */
const OTHERS: Record<number, string> = {
  ...{
    9: "Q8_1",
    15: "Q8_K",
    16: "IQ2_XXS",
    17: "IQ2_XS",
    18: "IQ3_XXS",
    19: "IQ1_S",
    21: "IQ3_S",
    22: "IQ2_S",
  },
  ...{ 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0" },
  ...{ 39: "MXFP4", 40: "NVFP4" },
  // Variants of Q4_0 and IQ4_NL for one kind of processor, which llama.cpp no longer reads either.
  ...{ 31: "Q4_0_4_4", 32: "Q4_0_4_8", 33: "Q4_0_8_8", 36: "IQ4_NL_4_4", 37: "IQ4_NL_4_8", 38: "IQ4_NL_8_8" },
};

export function typeName(id: number): string {
  return Object.entries(BLOCKS).find(([, block]) => block.id === id)?.[0] ?? OTHERS[id] ?? `type ${id}`;
}

export function isTensorType(name: string): name is TensorType {
  return Object.hasOwn(BLOCKS, name);
}

/** Decodes full blocks to f32. `raw` starts its buffer. */
export function decodeBlocks(type: TensorType, raw: Uint8Array<ArrayBuffer>, out: Float32Array): void {
  if (type === "F32" || type === "F16" || type === "BF16") {
    widen(type, raw, out);
    return;
  }
  const { elements, bytes, decode } = BLOCKS[type];
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  for (let at = 0, to = 0; to < out.length; at += bytes, to += elements) decode(view, at, out, to);
}

/** The types that are written here. */
export type WrittenType = "F32" | "F16" | "Q8_0";

/** Encodes f32 as full blocks; F16 rounds to nearest even, Q8_0 as ggml's reference does (halves away from zero). */
export function encodeBlocks(type: WrittenType, data: Float32Array): Uint8Array {
  if (type === "F32") return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  if (type === "F16") return DTYPES.F16.encode(data);
  const { elements, bytes } = BLOCKS.Q8_0;
  const out = new DataView(new ArrayBuffer((data.length / elements) * bytes));
  for (let from = 0, at = 0; from < data.length; from += elements, at += bytes) {
    let largest = 0;
    for (let i = 0; i < elements; i++) largest = Math.max(largest, Math.abs(data[from + i]!));
    const d = fround(largest / 127);
    const inverse = d === 0 ? 0 : fround(1 / d);
    out.setUint16(at, toFloat16(d), true);
    for (let i = 0; i < elements; i++) {
      const scaled = fround(data[from + i]! * inverse);
      out.setInt8(at + 2 + i, Math.sign(scaled) * Math.floor(Math.abs(scaled) + 0.5));
    }
  }
  return new Uint8Array(out.buffer);
}
