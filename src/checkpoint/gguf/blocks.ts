/**
 * The element types of a GGUF tensor. Quantised ones come in blocks that share a scale; a block decodes to f32 by the
 * formula beside it, in ggml's own order of operations, so that results are equal bit for bit.
 * Layouts: https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h
 */
import { DTYPES, fromFloat16, toFloat16, widen } from "../dtypes.ts";

interface Block {
  /** Number in the file. */
  id: number;
  /** Elements and bytes of one block; a row holds whole blocks. */
  elements: number;
  bytes: number;
  /** Writes the block at byte `at` of `raw` to `out` from index `to`; null for plain numbers. */
  decode: ((raw: DataView, at: number, out: Float32Array, to: number) => void) | null;
}

const half = (raw: DataView, at: number): number => fromFloat16(raw.getUint16(at, true));
const { fround } = Math;

/** Elements of a K block. */
const K = 256;

/** The types that are read. */
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
  /** d (q - 8), q 4 bits: [d f16][16 bytes: the low halves are elements 0 to 15, the high halves 16 to 31]. */
  Q4_0: {
    ...{ id: 2, elements: 32, bytes: 18 },
    decode: (raw, at, out, to) => {
      const d = half(raw, at);
      for (let i = 0; i < 16; i++) {
        const pair = raw.getUint8(at + 2 + i);
        out[to + i] = d * ((pair & 15) - 8);
        out[to + 16 + i] = d * ((pair >> 4) - 8);
      }
    },
  },
  /** d q + m: [d f16][m f16][16 bytes as in Q4_0]. */
  Q4_1: {
    ...{ id: 3, elements: 32, bytes: 20 },
    decode: (raw, at, out, to) => {
      const d = half(raw, at);
      const m = half(raw, at + 2);
      for (let i = 0; i < 16; i++) {
        const pair = raw.getUint8(at + 4 + i);
        out[to + i] = fround(d * (pair & 15)) + m;
        out[to + 16 + i] = fround(d * (pair >> 4)) + m;
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
} as const satisfies Record<string, Block>;

export type TensorType = keyof typeof BLOCKS;

/** Scale and minimum of a group of a K block: 6 bits each, groups 4 to 7 in pieces. */
function scaleAndMin(raw: DataView, at: number, group: number): [number, number] {
  const byte = (index: number): number => raw.getUint8(at + index);
  if (group < 4) return [byte(group) & 63, byte(group + 4) & 63];
  return [
    (byte(group + 4) & 15) | ((byte(group - 4) >> 6) << 4),
    (byte(group + 4) >> 4) | ((byte(group) >> 6) << 4),
  ];
}

/** Types that others write and that are refused here, for their names. */
const OTHERS: Record<number, string> = {
  ...{
    6: "Q5_0",
    7: "Q5_1",
    9: "Q8_1",
    10: "Q2_K",
    11: "Q3_K",
    13: "Q5_K",
    15: "Q8_K",
    16: "IQ2_XXS",
    17: "IQ2_XS",
  },
  ...{
    18: "IQ3_XXS",
    19: "IQ1_S",
    20: "IQ4_NL",
    21: "IQ3_S",
    22: "IQ2_S",
    23: "IQ4_XS",
    24: "I8",
    25: "I16",
    26: "I32",
  },
  ...{ 27: "I64", 28: "F64", 29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4" },
};

export function typeName(id: number): string {
  return Object.entries(BLOCKS).find(([, block]) => block.id === id)?.[0] ?? OTHERS[id] ?? `type ${id}`;
}

export function isTensorType(name: string): name is TensorType {
  return Object.hasOwn(BLOCKS, name);
}

/** Whole blocks as f32. `raw` starts its own buffer. */
export function decodeBlocks(type: TensorType, raw: Uint8Array<ArrayBuffer>, out: Float32Array): void {
  if (type === "F32" || type === "F16" || type === "BF16") {
    widen(type, raw, out);
    return;
  }
  const { elements, bytes, decode } = BLOCKS[type];
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  for (let at = 0, to = 0; to < out.length; at += bytes, to += elements) decode(view, at, out, to);
}

/** The types that are written. */
export type WrittenType = "F32" | "F16" | "Q8_0";

/** f32 as whole blocks; F16 rounds to nearest even, Q8_0 as ggml's reference does (halves away from zero). */
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
