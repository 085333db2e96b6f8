/**
 * The blocks of 256 elements ("K"), whose groups have scales of few bits; and the 16 uneven levels of IQ4.
 * Layouts: https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h
 */
import { fromFloat16 } from "../dtypes.ts";

export interface Block {
  /** Number in the file. */
  id: number;
  /** Elements and bytes of one block; a row holds whole blocks. */
  elements: number;
  bytes: number;
  /** Writes the block at byte `at` of `raw` to `out` from index `to`; null for plain numbers. */
  decode: ((raw: DataView, at: number, out: Float32Array, to: number) => void) | null;
}

export const half = (raw: DataView, at: number): number => fromFloat16(raw.getUint16(at, true));
const { fround } = Math;

/** Elements of a K block. */
const K = 256;

/** What the 4 bits of IQ4 stand for: finer near 0, where weights are. */
const LEVELS = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/** 32 elements of 4 bits: the low halves of 16 bytes are elements 0 to 15, the high ones 16 to 31. */
export function decodeLevels(raw: DataView, at: number, scale: number, out: Float32Array, to: number): void {
  for (let i = 0; i < 16; i++) {
    const pair = raw.getUint8(at + i);
    out[to + i] = scale * LEVELS[pair & 15]!;
    out[to + 16 + i] = scale * LEVELS[pair >> 4]!;
  }
}

/** The 2 bits of element `i`: 32 bytes hold 128 elements, in the order i, 32 + i, 64 + i, 96 + i. */
const twoBits = (raw: DataView, at: number, i: number): number =>
  (raw.getUint8(at + 32 * (i >> 7) + (i & 31)) >> (2 * ((i >> 5) & 3))) & 3;

export const K_BLOCKS = {
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

/** Scale and minimum of a group of a K block: 6 bits each, groups 4 to 7 in pieces. */
function scaleAndMin(raw: DataView, at: number, group: number): [number, number] {
  const byte = (index: number): number => raw.getUint8(at + index);
  if (group < 4) return [byte(group) & 63, byte(group + 4) & 63];
  return [
    (byte(group + 4) & 15) | ((byte(group - 4) >> 6) << 4),
    (byte(group + 4) >> 4) | ((byte(group) >> 6) << 4),
  ];
}
