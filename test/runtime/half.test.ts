/** Half-precision values go in and come out bit for bit, whatever typed array this Node has for them (D4). */
import { expect, it } from "vitest";
import { cast, input, reshape } from "../../src/graph/ops.ts";
import { Graph } from "../../src/graph/tensor.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { type HostValue, host } from "../../src/runtime/session.ts";

/** 1, the smallest subnormal, the largest number, -0, infinity, a NaN. */
const BITS = Uint16Array.of(0x3c00, 0x0001, 0x7bff, 0x8000, 0x7c00, 0x7e00);

it("an f16 input comes out as it went in, and is read as the number it is", async () => {
  const graph = new Graph();
  const x = input(graph, "x", "f16", [6]);
  graph.output("same", reshape(x, [2, 3]));
  graph.output("wide", cast(x, "f32"));
  const session = await new Engine({ threads: 1 }).session(graph, "test");
  const half: HostValue = { device: "host", dtype: "f16", shape: [6], data: BITS };
  const { same, wide } = await session.run({ x: half });
  await session.release();
  expect(same.dtype).toBe("f16");
  const { buffer, byteOffset, byteLength } = host(same).data;
  expect([...new Uint16Array(buffer, byteOffset, byteLength / 2)]).toEqual([...BITS]);
  expect([...host(wide).data]).toEqual([1, 2 ** -24, 65504, -0, Number.POSITIVE_INFINITY, Number.NaN]);
});
