/** A graph saved as a file and loaded again computes the same, with its constants inside the file or beside it. */
import { existsSync, mkdtempSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { lower } from "../../src/graph/lower.ts";
import { add, constant, input, matmul } from "../../src/graph/ops.ts";
import { Graph } from "../../src/graph/tensor.ts";
import { saveModelFile } from "../../src/runtime/model-file.ts";
import { f32, Session } from "../../src/runtime/session.ts";

describe("a saved model", () => {
  for (const externalBytes of [1 << 20, 16])
    it(`gives the same numbers when loaded, constants of ${externalBytes} bytes or more outside`, async () => {
      const graph = new Graph();
      const x = input(graph, "x", "f32", [4, 2]);
      const weight = constant(graph, [1, 2, 3, 4], [2, 2]);
      const bias = constant(graph, [10, 20, 30, 40, 50, 60, 70, 80], [4, 2]);
      graph.output("y", add(matmul(x, weight), bias));
      const path = join(mkdtempSync(join(tmpdir(), "sputnik-onnx-")), "step.onnx");
      saveModelFile(lower(graph), path, externalBytes);
      expect(existsSync(`${path}.data`)).toBe(externalBytes === 16);
      // The second constant begins at the next page.
      if (externalBytes === 16) expect(statSync(`${path}.data`).size).toBe(4096 + 32);

      const session = await Session.load(path, { threads: 1 });
      const { y } = await session.run({ x: f32([1, 1, 0, 1, 1, 0, 0, 0], [4, 2]) });
      // Rows: (1,1)·W = (4,6), (0,1)·W = (3,4), (1,0)·W = (1,2), (0,0)·W = 0; each plus its bias.
      expect([...y.data]).toEqual([14, 26, 33, 44, 51, 62, 70, 80]);
      await session.release();
    });
});
