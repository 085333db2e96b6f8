/** D3 at its real size: more constants than a protobuf message can hold. `npm run soak` runs it; it takes 5 GB of memory. */
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { lower } from "../../src/graph/lower.ts";
import { constant, input, matmul } from "../../src/graph/ops.ts";
import { Graph } from "../../src/graph/tensor.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { saveModelFile } from "../../src/runtime/model-file.ts";
import { f32, host } from "../../src/runtime/session.ts";

const [MATRICES, WIDTH] = [3, 13_400];

describe.skipIf(process.env.SPUTNIK_SOAK_GIGABYTES === undefined)(
  "a saved model of 2.1 GB, skipped unless SPUTNIK_SOAK_GIGABYTES is set",
  () => {
    it("is loaded and computes (D3)", async () => {
      const graph = new Graph();
      let x = input(graph, "x", "f32", [1, WIDTH]);
      for (let i = 0; i < MATRICES; i++) {
        // A cyclic shift by one place, times i + 2.
        const shift = new Float32Array(WIDTH * WIDTH);
        for (let row = 0; row < WIDTH; row++) shift[row * WIDTH + ((row + 1) % WIDTH)] = i + 2;
        x = matmul(x, constant(graph, shift, [WIDTH, WIDTH]));
      }
      graph.output("y", x);
      const folder = mkdtempSync(join(tmpdir(), "sputnik-onnx-"));
      try {
        const path = join(folder, "large.onnx");
        saveModelFile(lower(graph), path);
        expect(statSync(`${path}.data`).size).toBeGreaterThan(2 ** 31);
        expect(statSync(path).size).toBeLessThan(2 ** 20);
        const session = await new Engine({ threads: 1 }).load(path);
        const { y } = await session.run({ x: f32([1, ...new Array(WIDTH - 1).fill(0)], [1, WIDTH]) });
        // Three shifts move the first entry to place 3, times 2 · 3 · 4.
        expect([...host(y).data].flatMap((value, place) => (value === 0 ? [] : [[place, value]]))).toEqual([
          [3, 24],
        ]);
        await session.release();
      } finally {
        rmSync(folder, { recursive: true });
      }
    }, 600_000);
  },
);
