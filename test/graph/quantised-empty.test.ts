/** Products with weights of few bits over no rows at all: those of an expert that no token chose. */
import { expect, it } from "vitest";
import { dequantised, input, linear } from "../../src/graph/ops.ts";
import { Graph } from "../../src/graph/tensor.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { allocate, f32, host } from "../../src/runtime/session.ts";

it.each([
  [8, false],
  [8, true],
  [4, false],
  [4, true],
] as const)("%i bits, offsets: %s", async (bits, shifted) => {
  const graph = new Graph();
  const x = input(graph, "x", "f32", ["rows", 64]);
  const packed = input(graph, "packed", "u8", [5, 2, 4 * bits]);
  const scales = input(graph, "scales", "f32", [5, 2]);
  const offsets = shifted ? input(graph, "offsets", "f32", [5, 2]) : undefined;
  graph.output("y", linear(x, dequantised(packed, scales, { bits, activations: "f32" }, offsets)));
  const session = await new Engine({ threads: 1 }).session(graph, "test");
  // Codes of 0 stand for -2^(bits-1): every weight is -1, and 2 more with an offset.
  const scale = f32(new Float32Array(10).fill(2 ** (1 - bits)), [5, 2]);
  const feeds = {
    packed: allocate("u8", [5, 2, 4 * bits]),
    scales: scale,
    ...(shifted ? { offsets: f32(new Float32Array(10).fill(2), [5, 2]) } : {}),
  };
  const product = async (rows: number) =>
    (await session.run({ ...feeds, x: f32(new Float32Array(rows * 64).fill(0.5), [rows, 64]) })).y;
  expect(await product(0)).toMatchObject({ shape: [0, 5] });
  const { shape, data } = host(await product(2));
  expect([shape, ...data]).toEqual([[2, 5], ...new Array(10).fill(shifted ? 32 : -32)]);
  await session.release();
});
