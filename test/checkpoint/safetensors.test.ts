import fs from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  SafetensorsFile,
  type TensorData,
  withSafetensors,
  writeSafetensors,
} from "../../src/checkpoint/safetensors.ts";
import { temporaryFolder } from "./temporary.ts";

const folder = temporaryFolder();
const file = join(folder, "x.safetensors");

const TENSORS = new Map<string, TensorData>([
  ["b", { dtype: "BF16", shape: [2, 2], data: Float32Array.of(1, -0, Number.POSITIVE_INFINITY, 3.140625) }],
  ["h", { dtype: "F16", shape: [4], data: Float32Array.of(1, -2, 65504, 2 ** -24) }],
  ["f", { dtype: "F32", shape: [2, 3], data: Float32Array.of(0, 0.5, 1, 1.5, 2, 2.5) }],
  ["i", { dtype: "I64", shape: [2], data: BigInt64Array.of(-1n, 2n ** 40n) }],
  ["u", { dtype: "U8", shape: [1], data: Uint8Array.of(7) }],
  ["s", { dtype: "F32", shape: [], data: Float32Array.of(2.5) }],
  ["e", { dtype: "F32", shape: [0, 3], data: new Float32Array(0) }],
  ["t", { dtype: "BOOL", shape: [2], data: Uint8Array.of(1, 0) }],
]);

/** The same tensors and `{"made": "by safetensors"}`, written by safetensors 0.8.0 (`safetensors.numpy.save`). */
const GOLDEN = Buffer.from(
  "6AEAAAAAAAB7Il9fbWV0YWRhdGFfXyI6eyJtYWRlIjoiYnkgc2FmZXRlbnNvcnMifSwiaSI6eyJkdHlwZSI6Ikk2NCIsInNoYXBlIjpbMl0sImRhdGFfb2Zmc2V0cyI6WzAsMTZdfSwiZSI6eyJkdHlwZSI6IkYzMiIsInNoYXBlIjpbMCwzXSwiZGF0YV9vZmZzZXRzIjpbMTYsMTZdfSwiZiI6eyJkdHlwZSI6IkYzMiIsInNoYXBlIjpbMiwzXSwiZGF0YV9vZmZzZXRzIjpbMTYsNDBdfSwicyI6eyJkdHlwZSI6IkYzMiIsInNoYXBlIjpbXSwiZGF0YV9vZmZzZXRzIjpbNDAsNDRdfSwiYiI6eyJkdHlwZSI6IkJGMTYiLCJzaGFwZSI6WzIsMl0sImRhdGFfb2Zmc2V0cyI6WzQ0LDUyXX0sImgiOnsiZHR5cGUiOiJGMTYiLCJzaGFwZSI6WzRdLCJkYXRhX29mZnNldHMiOls1Miw2MF19LCJ1Ijp7ImR0eXBlIjoiVTgiLCJzaGFwZSI6WzFdLCJkYXRhX29mZnNldHMiOls2MCw2MV19LCJ0Ijp7ImR0eXBlIjoiQk9PTCIsInNoYXBlIjpbMl0sImRhdGFfb2Zmc2V0cyI6WzYxLDYzXX19IP//////////AAAAAAABAAAAAAAAAAAAPwAAgD8AAMA/AAAAQAAAIEAAACBAgD8AgIB/SUAAPADA/3sBAAcBAA==",
  "base64",
);

/** A file from a header text and data bytes; `claim` overrides the header length that it states. */
function forge(header: string | Uint8Array, data: Uint8Array, claim?: bigint): string {
  const json = Buffer.from(header as string);
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(claim ?? BigInt(json.byteLength));
  fs.writeFileSync(file, Buffer.concat([prefix, json, data]));
  return file;
}
const readAll = (path: string) =>
  withSafetensors(
    path,
    (opened) => new Map([...opened.header.tensors.keys()].map((name) => [name, opened.read(name)])),
  );

describe("against the reference implementation", () => {
  it("reads its file", () => {
    fs.writeFileSync(file, GOLDEN);
    expect(readAll(file)).toEqual(new Map([...TENSORS].sort()));
    expect(withSafetensors(file, ({ header }) => header.metadata)).toEqual({ made: "by safetensors" });
  });

  it("writes the same bytes", () => {
    writeSafetensors(file, TENSORS, { metadata: { made: "by safetensors" } });
    expect(fs.readFileSync(file).equals(GOLDEN)).toBe(true);
  });
});

describe("size against header (C5)", () => {
  const big = new Map<string, TensorData>([
    ["w", { dtype: "F32", shape: [1000], data: new Float32Array(1000) }],
  ]);

  it.each([
    ["a kilobyte cut off", -1024, "1024 too few"],
    ["a kilobyte too much", 1024, "1024 too many"],
    ["a byte cut off", -1, "1 too few"],
  ])("%s is refused before anything is read", (_, change, message) => {
    writeSafetensors(file, big);
    const size = fs.statSync(file).size;
    fs.truncateSync(file, size + change);
    expect(() => new SafetensorsFile(file)).toThrow(
      `${file}: expected ${size} bytes (header ${size - 4000}, tensors 4000), found ${size + change} bytes, ${message}`,
    );
  });

  it.each([0, 5, 8, 50])("a file of its first %i bytes is refused", (size) => {
    writeSafetensors(file, big);
    fs.truncateSync(file, size);
    expect(() => new SafetensorsFile(file)).toThrow(/cut short/);
  });
});

describe("hostile headers", () => {
  const two = (first: number[], second: number[]) =>
    `{"a":{"dtype":"U8","shape":[2],"data_offsets":[${first}]},"b":{"dtype":"U8","shape":[2],"data_offsets":[${second}]}}`;

  it.each([
    ["overlap", two([0, 2], [1, 3]), 3, /tensor b: .*offset 1: the two overlap/],
    ["hole", two([0, 2], [3, 5]), 5, /tensor b: .*offset 3: a hole/],
    ["hole at the start", two([1, 3], [3, 5]), 5, /tensor a: .*the header ends, found offset 1/],
    ["shape against bytes", two([0, 3], [3, 5]), 5, /tensor a: expected 2 bytes for U8 \[2\], found 3 bytes/],
    ["end before begin", two([2, 0], [0, 2]), 2, /tensor a: .*found -2 bytes/],
    [
      "shape that overflows",
      '{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}',
      0,
      /tensor a/,
    ],
    [
      "infinite times zero",
      `{"a":{"dtype":"U8","shape":[${"1e15,".repeat(25)}0],"data_offsets":[0,0]}}`,
      0,
      /tensor a/,
    ],
    ["negative size", '{"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,0]}}', 0, /shape of whole numbers/],
    ["fraction", '{"a":{"dtype":"U8","shape":[0.5],"data_offsets":[0,0]}}', 0, /shape of whole numbers/],
    [
      "unknown type",
      '{"a":{"dtype":"F8_E5M2","shape":[1],"data_offsets":[0,1]}}',
      1,
      /expected a type out of .*"F8_E5M2"/,
    ],
    [
      "inherited name as type",
      '{"a":{"dtype":"toString","shape":[1],"data_offsets":[0,1]}}',
      1,
      /expected a type out of/,
    ],
    [
      "lists in lists without end",
      `{"a":{"dtype":${"[".repeat(1e6)}${"]".repeat(1e6)},"shape":[1],"data_offsets":[0,1]}}`,
      1,
      /expected a type out of .*found lists in lists/,
    ],
    ["no offsets", '{"a":{"dtype":"U8","shape":[1]}}', 1, /two data_offsets, found nothing/],
    ["a list", "[]", 0, /JSON object in UTF-8, found a list/],
    ["no JSON", "{", 0, /JSON object in UTF-8/],
    ["number as metadata", '{"__metadata__":{"step":3}}', 0, /__metadata__ with text values only/],
  ])("%s", (_, header, bytes, message) => {
    expect(() => new SafetensorsFile(forge(header, new Uint8Array(bytes)))).toThrow(message);
  });

  it("bad UTF-8", () => {
    expect(() => new SafetensorsFile(forge(Uint8Array.of(0x7b, 0xff, 0x7d), new Uint8Array(0)))).toThrow(
      /UTF-8/,
    );
  });

  it.each([2n ** 63n, 2n ** 64n - 1n, 100n])("a claimed header length of %s allocates nothing", (claim) => {
    expect(() => new SafetensorsFile(forge("{}", new Uint8Array(0), claim))).toThrow(
      `expected a header of at most 2 bytes (the file has 10), found a header length of ${claim}`,
    );
  });
});

describe("alignment and odd shapes (C6)", () => {
  it("reads an F32 at an odd address behind a header of 2 bytes beyond a multiple of 8, a scalar, an empty tensor and the name __proto__", () => {
    const header =
      '{"__proto__":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"w":{"dtype":"F32","shape":[],"data_offsets":[1,5]}}';
    const path = forge(
      header.padEnd(header.length + ((10 - header.length) & 7)),
      Uint8Array.of(9, 0, 0, 128, 63),
    );
    const all = readAll(path);
    expect(all.get("w")).toEqual({ dtype: "F32", shape: [], data: Float32Array.of(1) });
    expect(all.get("__proto__")).toEqual({ dtype: "U8", shape: [1], data: Uint8Array.of(9) });
  });

  it("accepts a file without tensors", () => {
    expect(readAll(forge("{}", new Uint8Array(0)))).toEqual(new Map());
  });

  it("writes a view into a larger buffer, and bf16 over several conversions", () => {
    const length = (1 << 20) + 3;
    const base = Float32Array.from({ length: length + 5 }, (_, i) => i % 128);
    const tensors = new Map<string, TensorData>([
      ["f", { dtype: "F32", shape: [length], data: base.subarray(5) }],
      ["b", { dtype: "BF16", shape: [length], data: base.subarray(5) }],
    ]);
    writeSafetensors(file, tensors);
    const read = readAll(file);
    for (const name of ["f", "b"])
      expect(Buffer.compare(...bytes(read.get(name)!.data, base.subarray(5)))).toBe(0);
  });
});

describe("what else goes wrong", () => {
  it("names a missing file, a missing tensor and an integer used as weight", () => {
    expect(() => new SafetensorsFile(join(folder, "none"))).toThrow(
      /none: expected a safetensors file, found no such file/,
    );
    writeSafetensors(file, TENSORS);
    withSafetensors(file, (opened) => {
      expect(() => opened.read("zz")).toThrow(
        /tensor zz: expected the tensor to be in the file, found 8 others/,
      );
      expect(() => opened.readFloat32("i")).toThrow(
        /tensor i: expected a weight: F32, F16, BF16, F64, F8_E4M3, found I64/,
      );
    });
  });

  it("refuses a shape unlike its data", () => {
    const wrong = new Map<string, TensorData>([
      ["w", { dtype: "F32", shape: [2, 2], data: new Float32Array(3) }],
    ]);
    expect(() => writeSafetensors(file, wrong)).toThrow(
      /tensor w: expected 4 elements for shape \[2,2\], found 3/,
    );
  });

  it.runIf(fs.existsSync("/dev/full"))("a full disk", () => {
    expect(() => writeSafetensors("/dev/full", TENSORS)).toThrow(
      /The disk is full: \/dev\/full could not be written/,
    );
  });
});

function bytes(a: ArrayBufferView, b: ArrayBufferView): [Buffer, Buffer] {
  const view = (x: ArrayBufferView) => Buffer.from(x.buffer as ArrayBuffer, x.byteOffset, x.byteLength);
  return [view(a), view(b)];
}
