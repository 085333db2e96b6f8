/** Blocks of codes: within half a step of what they stand for, and exactly the codes of a GGUF file that had them. */
import { describe, expect, it } from "vitest";
import { BLOCKS, decodeBlocks, encodeBlocks } from "../../src/checkpoint/gguf/blocks.ts";
import { quantise } from "../../src/checkpoint/quantise.ts";
import { Random } from "../../src/lib/random.ts";
import { allocateCodes, decode } from "./codes.ts";

const BLOCK_COUNT = 200;

function normal(seed: string): Float32Array {
  const random = new Random(seed);
  return Float32Array.from({ length: 32 * BLOCK_COUNT }, () => random.normal());
}

describe("codes", () => {
  it.each([
    // Half a step of the block's own scale. Q4_0's codes end at 7 on the side away from the extreme: a whole step.
    ["int8", 0.5],
    ["int4", 1],
    ["int4-offset", 0.5],
  ] as const)("%s stand for numbers within %d of a scale", (precision, steps) => {
    const data = normal(precision);
    // A block of zeros has a scale of 0.
    data.fill(0, 32, 64);
    const codes = allocateCodes(data.length, precision);
    quantise(data, precision, codes);
    decode(codes).forEach((value, i) => {
      const scale = Math.abs(codes.scales[i >> 5]);
      expect(Math.abs(value - data[i])).toBeLessThanOrEqual(steps * scale * (1 + 1e-5));
    });
  });

  it("share a scale with 64 or 128 numbers where asked", () => {
    const data = normal("blocks");
    for (const block of [64, 128] as const) {
      const codes = allocateCodes(data.length, "int8", block);
      quantise(data, "int8", codes);
      expect(codes.scales.length).toBe(data.length / block);
      decode(codes).forEach((value, i) => {
        const scale = codes.scales[Math.floor(i / block)];
        expect(Math.abs(value - data[i])).toBeLessThanOrEqual(0.5 * scale * (1 + 1e-5));
      });
    }
  });

  it("are written where they are asked for, block by block", () => {
    const data = normal("parts");
    const [whole, parts] = [allocateCodes(data.length, "int4"), allocateCodes(data.length, "int4")];
    quantise(data, "int4", whole);
    quantise(data.subarray(64 * 32), "int4", parts, 64);
    quantise(data.subarray(0, 64 * 32), "int4", parts);
    expect(parts).toEqual(whole);
  });
});

describe("a GGUF file's own blocks come back", () => {
  it("Q8_0: the same numbers, bit for bit", () => {
    const raw = new Uint8Array(encodeBlocks("Q8_0", normal("Q8_0")));
    const stored = new Float32Array(32 * BLOCK_COUNT);
    decodeBlocks("Q8_0", raw, stored);
    const codes = allocateCodes(stored.length, "int8");
    quantise(stored, "int8", codes);
    expect(decode(codes)).toEqual(stored);
  });

  // As ggml's quantiser leaves them: Q4_0 has code 0 where the extreme is, Q4_1 codes 0 and 15 at its two ends.
  it.each([
    ["Q4_0", "int4", [0], 0],
    ["Q4_1", "int4-offset", [0, 15], 2e-7],
  ] as const)("%s", (type, precision, ends, tolerance) => {
    const random = new Random("file", type);
    const { bytes } = BLOCKS[type];
    const raw = new Uint8Array(bytes * BLOCK_COUNT);
    for (let block = 0; block < BLOCK_COUNT; block++) {
      const at = block * bytes;
      // f16 scales between 2^-8 and 2^-4, and minima of either sign.
      const half = (sign: boolean) =>
        (sign ? 0x8000 : 0) |
        ((7 + Math.floor(random.uniform() * 4)) << 10) |
        Math.floor(random.uniform() * 1024);
      const halves =
        type === "Q4_1" ? [half(false), half(random.uniform() < 0.7)] : [half(random.uniform() < 0.5)];
      for (const [i, value] of halves.entries()) raw.set([value & 255, value >> 8], at + 2 * i);
      for (let i = 2 * halves.length; i < bytes; i++) raw[at + i] = Math.floor(random.uniform() * 256);
      ends.forEach((code, i) => {
        raw[at + 2 * halves.length + 3 + i] = code | (code << 4);
      });
    }
    const stored = new Float32Array(32 * BLOCK_COUNT);
    decodeBlocks(type, raw, stored);
    const codes = allocateCodes(stored.length, precision);
    quantise(stored, precision, codes);
    // An offset is a sum that f32 rounds: a last place or two of the block's largest number.
    decode(codes).forEach((value, i) => {
      const block = stored.subarray(i & ~31, (i & ~31) + 32);
      const largest = block.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
      expect(Math.abs(value - stored[i])).toBeLessThanOrEqual(tolerance * largest);
    });
  });
});
