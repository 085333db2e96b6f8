/**
 * The element types of a GGUF tensor. Quantised ones come in blocks that share a scale; a block decodes to f32 by the
 * formula beside it, in ggml's own order of operations, so that results are equal bit for bit.
 * Layouts: https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h
 */
import { DTYPES, toFloat16, widen } from "../dtypes.ts";
import { type Block, decodeLevels, half, K_BLOCKS } from "./k-blocks.ts";

const { fround } = Math;

/** The 5 bits of element `i` of 32: the fifth bits in 4 bytes at `at`, then the halves. */
function fiveBits(raw: DataView, at: number, i: number): number {
  const low = (raw.getUint8(at + 4 + (i & 15)) >> (4 * (i >> 4))) & 15;
  return low | (((raw.getUint8(at + (i >> 3)) >> (i & 7)) & 1) << 4);
}

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
  /** d (q - 16), q 5 bits: [d f16][32 fifth bits][16 bytes of low halves as in Q4_0]. */
  Q5_0: {
    ...{ id: 6, elements: 32, bytes: 22 },
    decode: (raw, at, out, to) => {
      const d = half(raw, at);
      for (let i = 0; i < 32; i++) out[to + i] = d * (fiveBits(raw, at + 2, i) - 16);
    },
  },
  /** d q + m, q as in Q5_0: [d f16][m f16][32 fifth bits][16 bytes]. */
  Q5_1: {
    ...{ id: 7, elements: 32, bytes: 24 },
    decode: (raw, at, out, to) => {
      const d = half(raw, at);
      const m = half(raw, at + 2);
      for (let i = 0; i < 32; i++) out[to + i] = fround(d * fiveBits(raw, at + 4, i)) + m;
    },
  },
  /** d times one of 16 levels: [d f16][16 bytes as in Q4_0]. */
  IQ4_NL: {
    ...{ id: 20, elements: 32, bytes: 18 },
    decode: (raw, at, out, to) => decodeLevels(raw, at + 2, half(raw, at), out, to),
  },
  ...K_BLOCKS,
} as const satisfies Record<string, Block>;

export type TensorType = keyof typeof BLOCKS;

/** Types that others write and that are refused here, for their names. */
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
  // Forms of Q4_0 and IQ4_NL for one kind of processor, which llama.cpp no longer reads either.
  ...{ 31: "Q4_0_4_4", 32: "Q4_0_4_8", 33: "Q4_0_8_8", 36: "IQ4_NL_4_4", 37: "IQ4_NL_4_8", 38: "IQ4_NL_8_8" },
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
