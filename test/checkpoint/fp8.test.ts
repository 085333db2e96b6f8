import fs from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { fromFloat8 } from "../../src/checkpoint/dtypes.ts";
import { type TensorData, writeSafetensors } from "../../src/checkpoint/safetensors.ts";
import {
  applyScales,
  type Block,
  blockSize,
  checkedWeights,
  readAll,
  withOpenWeights,
} from "../../src/checkpoint/weights.ts";
import { temporaryFolder } from "./temporary.ts";

const folder = temporaryFolder();
const file = join(folder, "model.safetensors");
const read = (block?: Block, expected?: Map<string, number[]>, from = folder) =>
  withOpenWeights(
    from,
    (tensors) => readAll(from, checkedWeights(tensors, { tied: false, expected }, from)),
    block,
  );

describe("E4M3", () => {
  it.each([
    [0x00, 0],
    [0x80, -0],
    [0x01, 2 ** -9],
    [0x07, 7 * 2 ** -9],
    [0x08, 2 ** -6],
    [0x38, 1],
    [0x39, 1.125],
    [0xc0, -2],
    [0x7e, 448],
    [0xfe, -448],
    [0x7f, Number.NaN],
    [0xff, Number.NaN],
  ])("%i is %f", (bits, value) => {
    expect(fromFloat8(bits)).toBe(value);
  });
});

/** A weight [rows, columns] whose byte at (r, c) is a function of both, and scales that name their block. */
function stored(rows: number, columns: number, block: number): Map<string, TensorData> {
  const bytes = Uint8Array.from({ length: rows * columns }, (_, i) => (i * 37 + (i >> 3)) & 0x7e);
  const [down, across] = [Math.ceil(rows / block), Math.ceil(columns / block)];
  const scales = Float32Array.from({ length: down * across }, (_, i) => 0.1 * (i + 1));
  return new Map<string, TensorData>([
    ["x.weight", { dtype: "F8_E4M3", shape: [rows, columns], data: bytes }],
    ["x.weight_scale_inv", { dtype: "F32", shape: [down, across], data: scales }],
  ]);
}

describe("block scales", () => {
  it.each([
    [256, 128],
    [300, 200],
    [5, 129],
    [128, 1],
  ])("a weight of %i x %i is bytes times the scale of their block", (rows, columns) => {
    const tensors = stored(rows, columns, 128);
    writeSafetensors(file, tensors);
    const found = read();
    expect([...found.keys()]).toEqual(["x.weight"]);
    const [bytes, scales] = [tensors.get("x.weight")!.data, tensors.get("x.weight_scale_inv")!.data];
    const across = Math.ceil(columns / 128);
    const wanted = Float32Array.from({ length: rows * columns }, (_, i) => {
      const [row, column] = [Math.floor(i / columns), i % columns];
      return fromFloat8(Number(bytes[i])) * Number(scales[(row >> 7) * across + (column >> 7)]);
    });
    expect(found.get("x.weight")).toEqual({ shape: [rows, columns], data: wanted });
    // Parts of some rows, which need not end with a block.
    const step = 3 * columns;
    withOpenWeights(folder, (open) => {
      for (let start = 0; start < wanted.length; start += step) {
        const count = Math.min(step, wanted.length - start);
        const part = open.get("x.weight")!.read(start, count, new Float32Array(step));
        expect(part).toEqual(wanted.subarray(start, start + count));
      }
    });
  });

  it("other blocks by the config", () => {
    writeSafetensors(file, stored(4, 6, 2));
    const { data } = read(
      blockSize(file, { quantization_config: { quant_method: "fp8", weight_block_size: [2, 2] } }),
    ).get("x.weight")!;
    const expected = {
      shape: [4, 6],
      data: Float32Array.from(stored(4, 6, 2).get("x.weight")!.data as Uint8Array, fromFloat8),
    };
    applyScales(
      expected,
      { shape: [2, 3], data: Float32Array.from({ length: 6 }, (_, i) => 0.1 * (i + 1)) },
      [2, 2],
    );
    expect(data).toEqual(expected.data);
  });

  it("scales in another shard than their weight", () => {
    const other = temporaryFolder();
    const tensors = stored(2, 2, 128);
    const weight_map: Record<string, string> = {};
    for (const [name, tensor] of tensors) {
      weight_map[name] = `${name}.safetensors`;
      writeSafetensors(join(other, `${name}.safetensors`), new Map([[name, tensor]]));
    }
    fs.writeFileSync(join(other, "model.safetensors.index.json"), JSON.stringify({ weight_map }));
    writeSafetensors(file, tensors);
    expect(read(undefined, undefined, other)).toEqual(read());
  });

  it("missing and mis-shaped scales, and scales of a weight that is not FP8, are named", () => {
    const tensors = stored(130, 4, 128);
    writeSafetensors(file, new Map([["x.weight", tensors.get("x.weight")!]]));
    expect(() => read()).toThrow(
      /tensor x.weight_scale_inv: expected scales \[2, 1\] for F8_E4M3 \[130, 4\] in blocks of 128 x 128, found none/,
    );
    writeSafetensors(
      file,
      new Map([
        ...tensors,
        ["x.weight_scale_inv", { dtype: "F32", shape: [1, 2], data: new Float32Array(2) }],
      ]),
    );
    expect(() => read()).toThrow(/found \[1, 2\]/);
    writeSafetensors(
      file,
      new Map([...tensors, ["x.weight", { dtype: "F32", shape: [130, 4], data: new Float32Array(520) }]]),
    );
    expect(() => read([128, 128], new Map([["x.weight", [130, 4]]]))).toThrow(
      /tensor x.weight_scale_inv: expected only the 1 tensors/,
    );
  });

  it("another quantisation is refused in words", () => {
    expect(() =>
      blockSize("config.json", { quantization_config: { quant_method: "gptq", bits: 4 } }),
    ).toThrow(
      /config.json: expected quantization_config with quant_method "fp8".*gptq.*Take the same model in bf16/,
    );
    expect(blockSize("config.json", {})).toEqual([128, 128]);
  });
});
