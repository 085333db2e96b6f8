import fs from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { GgufFile } from "../../../src/checkpoint/gguf/file.ts";
import { parseGguf } from "../../../src/checkpoint/gguf/header.ts";
import { i32s, type MetadataValue, text, texts, u32 } from "../../../src/checkpoint/gguf/values.ts";
import { type GgufTensor, writeGguf } from "../../../src/checkpoint/gguf/write.ts";
import {
  headerLength,
  parseHeader,
  type TensorData,
  writeSafetensors,
} from "../../../src/checkpoint/safetensors.ts";
import type { ByteSource } from "../../../src/checkpoint/tensor-file.ts";
import { isUserError, type UserError } from "../../../src/lib/errors.ts";
import { Random } from "../../../src/lib/random.ts";
import { temporaryFolder } from "../temporary.ts";

const folder = temporaryFolder();
const file = join(folder, "x.gguf");

/** A file in memory that counts what is asked of it. */
function memory(bytes: Uint8Array): ByteSource & { largest: number } {
  return {
    file,
    size: bytes.byteLength,
    largest: 0,
    bytes(position, length) {
      if (position + length > bytes.byteLength) throw new RangeError("read beyond the end");
      this.largest = Math.max(this.largest, length);
      return bytes.subarray(position, position + length);
    },
  };
}

const METADATA = new Map<string, MetadataValue>([
  ["general.architecture", text("llama")],
  ["a.count", u32(7)],
  ["a.words", texts(["one", "zwei", "três"])],
  ["a.kinds", i32s([1, 3, 4])],
  ["a.big", { type: "U64", value: 2n ** 63n + 5n }],
  ["a.nested", { type: "ARRAY", item: "ARRAY", value: [texts(["x"]), i32s([])] as MetadataValue[] }],
  ["a.flags", { type: "ARRAY", item: "BOOL", value: Uint8Array.of(1, 0) }],
]);
const tensor = (name: string, shape: number[], type: GgufTensor["type"] = "F32"): GgufTensor => {
  const data = new Float32Array(shape.reduce((product, n) => product * n, 1)).map((_, i) => i / 8);
  return { name, shape, type, pieces: () => [data] };
};
const TENSORS = [tensor("w", [2, 32], "Q8_0"), tensor("v", [3]), tensor("m", [2, 3, 4], "F16")];

let good: Buffer;
beforeEach(() => {
  writeGguf(file, METADATA, TENSORS);
  good = fs.readFileSync(file);
});

/** The good file with the bytes at a found text, plus `after` it, overwritten. */
function forged(marker: string, after: number, patch: number[] | Buffer): Buffer {
  const at = good.indexOf(marker);
  expect(at, marker).toBeGreaterThan(0);
  const copy = Buffer.from(good);
  Buffer.from(patch).copy(copy, at + marker.length + after);
  return copy;
}
const u64 = (value: bigint): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes;
};

it("reads what it wrote, aligned to 32 bytes", () => {
  const opened = new GgufFile(file);
  expect([...opened.header.metadata]).toEqual([...METADATA]);
  expect([...opened.header.tensors].map(([name, { shape, type }]) => [name, shape, type])).toEqual(
    TENSORS.map(({ name, shape, type }) => [name, shape, type]),
  );
  for (const { begin } of opened.header.tensors.values()) expect(begin % 32).toBe(0);
  expect(opened.read("v")).toEqual(Float32Array.of(0, 0.125, 0.25));
  expect(opened.read("m", 12, 4)).toEqual(Float32Array.of(1.5, 1.625, 1.75, 1.875));
  opened.close();
});

describe("refused, with file, place, expected, found and remedy", () => {
  it.each<[string, () => Buffer, RegExp]>([
    ["another format", () => Buffer.from("PK\u0003\u0004 and more"), /byte 4: expected the letters "GGUF"/],
    [
      "a pointer of Git LFS",
      () =>
        Buffer.from(
          `version https://git-lfs.github.com/spec/v1\noid sha256:${"0".repeat(64)}\nsize 4683073536\n`,
        ),
      /found a Git LFS pointer to a file of 4,683,073,536 bytes. Fetch the file itself: git lfs pull/,
    ],
    ["a page", () => Buffer.from("<!DOCTYPE html><html></html>"), /found an HTML page/],
    ["nothing", () => Buffer.alloc(0), /expected 4 more bytes, found 0/],
    [
      "version 1",
      () => Buffer.concat([good.subarray(0, 4), Buffer.from([1, 0, 0, 0]), good.subarray(8)]),
      /version 2 or 3, found 1\. /,
    ],
    [
      "big endian",
      () => Buffer.concat([good.subarray(0, 4), Buffer.from([0, 0, 0, 3]), good.subarray(8)]),
      /found a big-endian file/,
    ],
    [
      "2^64 - 1 tensors",
      () => Buffer.concat([good.subarray(0, 8), u64(2n ** 64n - 1n), good.subarray(16)]),
      /expected at most \d+ tensors in the \d+ bytes that follow, found 18446744073709551615/,
    ],
    [
      "2^60 keys",
      () => Buffer.concat([good.subarray(0, 16), u64(2n ** 60n), good.subarray(24)]),
      /at most \d+ metadata keys/,
    ],
    [
      "a huge text",
      () => forged("general.architecture", 4, u64(2n ** 40n)),
      /key "general.architecture" at byte \d+: expected at most \d+ bytes of text/,
    ],
    [
      "a huge list",
      () => forged("a.kinds", 8, u64(2n ** 62n)),
      /key "a.kinds".*at most \d+ items of type I32/,
    ],
    [
      "a value type that is none",
      () => forged("a.count", 0, [99]),
      /key "a.count".*value type from 0 to 12, found 99/,
    ],
    [
      "bad UTF-8",
      () => forged("general.architecture", 12, [0xff]),
      /text in UTF-8, found bytes that are not/,
    ],
    [
      "a key twice",
      () => forged("a.words", -7, Buffer.from("a.kinds")),
      /expected each key once, found "a.kinds" again/,
    ],
    ["a boolean of 2", () => forged("a.flags", 16, [2]), /booleans, 0 or 1/],
    ["five dimensions", () => tensorPatch(0, [5]), /tensor "w".*at most 4 dimensions, found 5/],
    [
      "a negative size",
      () => tensorPatch(4, u64(2n ** 64n - 32n)),
      /tensor "w".*a tensor that a file can hold/,
    ],
    [
      "no elements",
      () => tensorPatch(4, u64(0n)),
      /tensor "w".*rows of a multiple of 32 elements for Q8_0, found shape \[2, 0\]/,
    ],
    ["half a block", () => tensorPatch(4, u64(16n)), /rows of a multiple of 32 elements/],
    ["an unknown type", () => tensorPatch(20, [16]), /a type out of F32, .*found IQ2_XXS/],
    [
      "a misaligned offset",
      () => tensorPatch(24, u64(1n)),
      /tensor w: expected data from byte \d+.*found byte \d+: it is misaligned or leaves a hole/,
    ],
    ["an offset beyond the file", () => tensorPatch(24, u64(2n ** 63n)), /expected data from byte/],
    ["a tensor as long as 2^50", () => tensorPatch(12, u64(2n ** 45n)), /overlap|the end of the file/],
    ["a tensor twice", () => forged("v", -1, Buffer.from("w")), /each tensor once, found "w" again/],
    [
      "its last kilobyte cut off",
      () => Buffer.from(good.subarray(0, good.length - 65)),
      /tensor m: expected 48 bytes from byte \d+, found the end of the file/,
    ],
    [
      "a kilobyte too much",
      () => Buffer.concat([good, Buffer.alloc(1024)]),
      /bytes \(header \d+, tensors \d+\), or padding up to \d+, found \d+ bytes/,
    ],
  ])("%s", (_, make, message) => {
    const bytes = make();
    fs.writeFileSync(file, bytes);
    let error: unknown;
    try {
      new GgufFile(file).close();
    } catch (caught) {
      error = caught;
    }
    expect(isUserError(error, "checkpoint")).toBe(true);
    const { message: text, where, remedy } = error as UserError;
    expect(text).toMatch(message);
    expect(where?.startsWith(file)).toBe(true);
    expect(remedy).not.toBe("");
  });

  /** Bytes of the first tensor's description: rank 4, sizes 8 each, type 4, offset 8. */
  function tensorPatch(at: number, patch: number[] | Buffer): Buffer {
    // The name's length is 1, then "w".
    return forged("\u0001\0\0\0\0\0\0\0w", at, patch);
  }

  it("overlapping tensors", () => {
    const name = good.indexOf("\u0001\0\0\0\0\0\0\0v");
    // Rank 1: its offset lies 16 bytes after the name.
    const copy = Buffer.from(good);
    u64(32n).copy(copy, name + 9 + 16);
    expect(() => parseGguf(memory(copy))).toThrow(/tensor v: .*the two overlap/);
  });

  it.each([3, 0, 2 ** 31 + 1])("an alignment of %s", (alignment) => {
    const zero = new Map([["general.alignment", u32(32)]]);
    writeGguf(file, zero, []);
    good = fs.readFileSync(file);
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(alignment);
    expect(() => parseGguf(memory(forged("general.alignment", 4, bytes)))).toThrow(
      /key general.alignment: expected a power of two/,
    );
  });

  it("a name that would fill an error message", () => {
    writeGguf(file, METADATA, [tensor("n".repeat(1001), [1])]);
    expect(() => new GgufFile(file)).toThrow(/tensor 1 of 1 .*at most 1000 bytes of text, found 1001/);
  });

  it("lists in lists without end", () => {
    const level = Buffer.alloc(12);
    level.writeUInt32LE(9);
    level.writeUInt32LE(1, 4);
    const head = Buffer.concat([
      good.subarray(0, 8),
      u64(0n),
      u64(1n),
      u64(1n),
      Buffer.from("k"),
      level.subarray(0, 4),
    ]);
    const deep = Buffer.concat([head, ...Array.from({ length: 100_000 }, () => level)]);
    expect(() => parseGguf(memory(deep))).toThrow(/lists at most 4 deep/);
  });
});

describe("100,000 mutations: the result is sound or a UserError, and nothing large is read", () => {
  const RUNS = 100_000;
  /** Numbers that break parsers, as 4 or 8 bytes. */
  const NASTY = [0n, 1n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n, 2n ** 64n - 8n];

  function mutate(random: Random, original: Buffer): Buffer {
    const below = (limit: number): number => random.integer(0, Math.max(1, limit) - 1);
    let bytes = Buffer.from(original);
    for (let left = 1 + below(3); left > 0; left--) {
      const at = below(bytes.length);
      const kind = below(6);
      if (kind === 0) bytes = bytes.subarray(0, at);
      else if (kind === 1) u64(NASTY[below(NASTY.length)]!).copy(bytes, at, 0, below(2) === 0 ? 8 : 4);
      else if (kind === 2 && bytes.length > 0) bytes[at] = below(256);
      else if (kind === 3 && bytes.length > 0) bytes[at]! ^= 1 << below(8);
      else if (kind === 4)
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(below(bytes.length + 1))]);
      else bytes.copyWithin(at, below(bytes.length + 1));
    }
    return bytes;
  }

  function survive(original: Buffer, parse: (bytes: Buffer) => void): { sound: number; refused: number } {
    const random = new Random("mutations", 1);
    const count = { sound: 0, refused: 0 };
    for (let run = 0; run < RUNS; run++) {
      const bytes = mutate(random, original);
      try {
        parse(bytes);
        count.sound++;
      } catch (error) {
        if (!isUserError(error, "checkpoint") || error.message.length > 2000) {
          fs.writeFileSync(join(folder, `run-${run}`), bytes);
          throw new Error(`run ${run}: ${error}`, { cause: error });
        }
        count.refused++;
      }
    }
    return count;
  }

  it("of a GGUF header", () => {
    const count = survive(good, (bytes) => {
      const source = memory(bytes);
      const { metadata, tensors } = parseGguf(source);
      expect(source.largest).toBeLessThanOrEqual(bytes.length);
      for (const { begin, end } of tensors.values()) expect(begin <= end && end <= bytes.length).toBe(true);
      expect(metadata.size).toBeLessThan(bytes.length);
    });
    // Most damage lies in the header; what lies in the data or in words goes unseen.
    expect(count.refused).toBeGreaterThan(RUNS / 3);
    expect(count.sound).toBeGreaterThan(RUNS / 100);
  });

  it("of a safetensors header", () => {
    const safe = join(folder, "x.safetensors");
    const one = { dtype: "F32" as const, shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) };
    const half = { dtype: "BF16" as const, shape: [3], data: Float32Array.of(1, 2, 3) };
    writeSafetensors(
      safe,
      new Map<string, TensorData>([
        ["a", one],
        ["blk.0.ü", half],
      ]),
      { metadata: { format: "pt" } },
    );
    const count = survive(fs.readFileSync(safe), (bytes) => {
      const length = headerLength(safe, bytes.subarray(0, 8), bytes.length);
      const { tensors, dataStart } = parseHeader(safe, bytes.subarray(8, 8 + length), bytes.length);
      for (const { begin, end } of tensors.values())
        expect(begin <= end && dataStart + end <= bytes.length).toBe(true);
    });
    expect(count.refused).toBeGreaterThan(RUNS / 3);
    expect(count.sound).toBeGreaterThan(RUNS / 100);
  });
});
