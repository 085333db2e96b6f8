/** A weight whose codes are too many for one product: in parts, over bytes that a saved model holds once. */
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { lower } from "../../src/graph/lower.ts";
import { embedding, PRODUCT_BYTES } from "../../src/graph/ops/quantised.ts";
import { weight } from "../../src/graph/ops/source.ts";
import { dequantised, input, linear } from "../../src/graph/ops.ts";
import { Graph } from "../../src/graph/tensor.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { saveModelFile } from "../../src/runtime/model-file.ts";
import { f32, host, i32 } from "../../src/runtime/session.ts";

const folder = mkdtempSync(join(tmpdir(), "sputnik-quantised-"));
afterAll(() => rmSync(folder, { recursive: true }));

const [BLOCKS, BLOCK] = [4, 128];
const WIDTH = BLOCKS * BLOCK;
/** Two products and a row more. */
const ROWS = (2 * PRODUCT_BYTES) / WIDTH + 1;
const PIECE_ROWS = 4096;

const code = (row: number, column: number): number => (31 * row + 7 * column) & 255;
const scaleOf = (row: number, block: number): number => (1 + ((row + block) % 5)) / 4096;

it("gives the numbers of the whole, and a table of the same bytes its rows", async () => {
  let read = 0;
  function* packed(): Iterable<Uint8Array> {
    read++;
    const piece = new Uint8Array(PIECE_ROWS * WIDTH);
    for (let first = 0; first < ROWS; first += PIECE_ROWS) {
      const rows = Math.min(PIECE_ROWS, ROWS - first);
      for (let i = 0; i < rows * WIDTH; i++) piece[i] = code(first + Math.floor(i / WIDTH), i % WIDTH);
      yield piece.subarray(0, rows * WIDTH);
    }
  }
  const scales = Float32Array.from({ length: ROWS * BLOCKS }, (_, i) =>
    scaleOf(Math.floor(i / BLOCKS), i % BLOCKS),
  );
  const graph = new Graph();
  const table = dequantised(
    weight(graph, "packed", "u8", [ROWS, BLOCKS, BLOCK], { length: ROWS * WIDTH, pieces: packed }),
    weight(graph, "scales", "f32", [ROWS, BLOCKS], {
      length: scales.byteLength,
      pieces: () => [new Uint8Array(scales.buffer)],
    }),
    { bits: 8, activations: "f32" },
  );
  graph.output("products", linear(input(graph, "x", "f32", [1, WIDTH]), table));
  graph.output("rows", embedding(table, input(graph, "ids", "i32", [2])));
  const lowered = lower(graph, { provider: "cpu" });
  expect(lowered.model.nodes.filter(({ opType }) => opType === "MatMulNBits")).toHaveLength(3);

  const path = join(folder, "model.onnx");
  saveModelFile(lowered, path);
  expect(read).toBe(1);
  const bytes = ROWS * WIDTH + scales.byteLength;
  expect(statSync(`${path}.data`).size).toBeGreaterThanOrEqual(bytes);
  expect(statSync(`${path}.data`).size).toBeLessThan(bytes + 2 ** 18);

  const session = await new Engine({ threads: 1 }).load(path);
  const x = Float32Array.from({ length: WIDTH }, (_, i) => ((i % 9) - 4) / 8);
  const { products, rows } = await session.run({ x: f32(x, [1, WIDTH]), ids: i32([3, ROWS - 1]) });
  const row = (at: number) =>
    Float32Array.from({ length: WIDTH }, (_, i) => scaleOf(at, Math.floor(i / BLOCK)) * (code(at, i) - 128));
  expect(products.shape).toEqual([1, ROWS]);
  const third = Math.ceil(ROWS / 3);
  for (const at of [0, 1, third - 1, third, 2 * third - 1, 2 * third, ROWS - 1]) {
    const wanted = row(at).reduce((sum, value, i) => sum + value * x[i], 0);
    expect(host(products).data[at]).toBeCloseTo(wanted, 4);
  }
  expect(host(rows).data).toEqual(Float32Array.of(...row(3), ...row(ROWS - 1)));
  await session.release();
});
