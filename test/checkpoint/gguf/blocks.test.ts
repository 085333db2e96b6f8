import { describe, expect, it } from "vitest";
import { BLOCKS, encodeBlocks, type TensorType } from "../../../src/checkpoint/gguf/blocks.ts";
import { GgufFile } from "../../../src/checkpoint/gguf/file.ts";

/** Written by Python's `gguf` package (scripts/fixtures/golden_gguf.py). */
const GOLDEN = new URL("../../fixtures/gguf/types.gguf", import.meta.url).pathname;
const opened = new GgufFile(GOLDEN);
const raw = (name: string): Buffer => {
  const { begin, end } = opened.header.tensors.get(name)!;
  return Buffer.from(opened.bytes(begin, end - begin));
};

it.each(Object.keys(BLOCKS) as TensorType[])("%s decodes bit for bit as the gguf package does", (type) => {
  const ours = opened.read(type);
  expect(ours.length).toBe(3 * 512);
  expect(Buffer.from(ours.buffer).equals(raw(`${type}.expected`))).toBe(true);
  // Random bits reach every level: a decoder that drops some would repeat values.
  expect(new Set(ours).size).toBeGreaterThan(200);
});

it.each(Object.keys(BLOCKS) as TensorType[])("a row of %s reads alone", (type) => {
  expect(opened.read(type, 512, 512)).toEqual(opened.read(type).subarray(512, 1024));
});

describe("encoding", () => {
  it.each(["F16", "Q8_0.written"])("%s is written bit for bit as by the gguf package", (name) => {
    const type = name === "F16" ? "F16" : "Q8_0";
    expect(Buffer.from(encodeBlocks(type, opened.read("F32"))).equals(raw(name))).toBe(true);
  });
});

it("every type of metadata value", () => {
  const values = Object.fromEntries(
    [...opened.header.metadata].map(([key, { value }]) => [
      key,
      ArrayBuffer.isView(value) ? [...(value as Int32Array)] : value,
    ]),
  );
  expect(values).toEqual({
    "general.architecture": "llama",
    "value.uint8": 200,
    "value.int8": -100,
    "value.uint16": 60000,
    "value.int16": -30000,
    "value.uint32": 4_000_000_000,
    "value.int32": -2_000_000_000,
    "value.float32": Math.fround(1e-5),
    "value.bool": true,
    "value.string": "naïve 😊",
    "value.uint64": 2n ** 63n + 1n,
    "value.int64": -(2n ** 62n),
    "value.float64": 0.1,
    "list.strings": ["a", "", "Ġb"],
    "list.integers": [1, -2, 3],
    "list.floats": [0.5, -1.5],
    "list.booleans": [1, 0],
  });
  expect(opened.header.metadata.number("value.float32")).toBe(1e-5);
});
