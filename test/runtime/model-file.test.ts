/** A graph saved as a file and loaded again computes the same, with its constants inside the file or beside it. */

import { existsSync, mkdtempSync, rmSync, statSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { lower } from "../../src/graph/lower.ts";
import { add, constant, input, matmul } from "../../src/graph/ops.ts";
import { Graph } from "../../src/graph/tensor.ts";
import { allParameters } from "../../src/models/architectures.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { saveModelFile } from "../../src/runtime/model-file.ts";
import { allocate, f32, type HostValue, host, scalar } from "../../src/runtime/session.ts";
import { batchFeeds, languageModelLoss } from "../../src/train/language-model.ts";
import { traceStep } from "../../src/train/trace-step.ts";
import { livelyParameters, tinyConfig } from "../train/tiny.ts";

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
      // The second constant begins where Windows too can map it.
      if (externalBytes === 16) expect(statSync(`${path}.data`).size).toBe(65536 + 32);

      const session = await new Engine({ threads: 1 }).load(path);
      const { y } = await session.run({ x: f32([1, 1, 0, 1, 1, 0, 0, 0], [4, 2]) });
      // Rows: (1,1)·W = (4,6), (0,1)·W = (3,4), (1,0)·W = (1,2), (0,0)·W = 0; each plus its bias.
      expect([...host(y).data]).toEqual([14, 26, 33, 44, 51, 62, 70, 80]);
      await session.release();
    });

  it.each<[string, (data: string) => void, string]>([
    ["missing", (data) => rmSync(data), "no such file"],
    ["100 bytes short", (data) => truncateSync(data, 300), "found 300"],
  ])(
    "names its data file where that is %s, and the bytes it should have (D3)",
    async (_label, spoil, found) => {
      const graph = new Graph();
      const weight = constant(graph, new Float32Array(100), [100]);
      graph.output("y", add(input(graph, "x", "f32", [100]), weight));
      const path = join(mkdtempSync(join(tmpdir(), "sputnik-onnx-")), "step.onnx");
      saveModelFile(lower(graph), path, 16);
      spoil(`${path}.data`);
      const loading = new Engine({ threads: 1 }).load(path);
      await expect(loading).rejects.toThrow(`${path}.data: expected 400 bytes`);
      await expect(loading).rejects.toThrow(found);
    },
  );

  it("holds a whole training step: the reloaded one gives the same next parameters, bit for bit", async () => {
    const loss = languageModelLoss(tinyConfig, { batch: 2, seq: 8, mask: "shared" });
    const optimizer = {
      kind: "muon" as const,
      lr: 0.01,
      adamLr: 0.002,
      betas: [0.9, 0.95] as [number, number],
      epsilon: 1e-8,
      weightDecay: 0.1,
      clip: 1,
      momentum: 0.95,
    };
    const lowered = lower(traceStep(allParameters(tinyConfig), loss, optimizer), { provider: "cpu" });
    const path = join(mkdtempSync(join(tmpdir(), "sputnik-step-")), "step.onnx");
    saveModelFile(lowered, path);
    const ids = Int32Array.from({ length: 16 }, (_, i) => (7 * i) % tinyConfig.vocabSize);
    const batch = batchFeeds({
      ids,
      targets: ids.toReversed(),
      weights: new Float32Array(16).fill(1 / 16),
      batch: 2,
      seq: 8,
    });
    const parameters = livelyParameters(tinyConfig, 3);
    const feeds: Record<string, HostValue> = { ...Object.fromEntries(parameters), ...batch };
    for (const { name, dtype, shape } of lowered.inputs) feeds[name] ??= allocate(dtype, shape as number[]);
    for (const name of ["lr", "muonLr"]) feeds[name] = scalar(0.01);
    for (const name of ["correction1", "correction2"]) feeds[name] = scalar(10);

    const [direct, loaded] = [
      await new Engine({ threads: 1 }).prepare(lowered),
      await new Engine({ threads: 1 }).load(path),
    ];
    const [a, b] = [await direct.run(feeds), await loaded.run(feeds)];
    expect(Object.keys(b)).toEqual(Object.keys(a));
    for (const name of Object.keys(a)) expect(host(b[name]).data, name).toEqual(host(a[name]).data);
    expect(host(a["lm_head.weight.next"]).data).not.toEqual(parameters.get("lm_head.weight")?.data);
    await direct.release();
    await loaded.release();
  });
});
