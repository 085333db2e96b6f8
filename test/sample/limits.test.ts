/** Sizes are checked against memory and disk before anything of that size is made. */
import fs from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { modelNotes } from "../../src/checkpoint/generation-config.ts";
import { checkMemory } from "../../src/checkpoint/weights.ts";
import { lower } from "../../src/graph/lower.ts";
import { weight } from "../../src/graph/ops/source.ts";
import { Graph } from "../../src/graph/tensor.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { modelFileBytes, saveModelFile } from "../../src/runtime/model-file.ts";
import { openForInference } from "../../src/sample/inference.ts";
import { openBaked } from "../../src/sample/weights.ts";
import { temporaryFolder } from "../checkpoint/temporary.ts";

const root = temporaryFolder();

/** One weight of that many numbers, which must not be asked for. */
function graphOf(rows: number, pieces: () => Iterable<Uint8Array>): Graph {
  const graph = new Graph();
  graph.output("w", weight(graph, "w", "f32", [rows, 1024], { length: 4096 * rows, pieces }));
  return graph;
}

it("a model that the disk cannot hold is refused before a byte is written", async () => {
  const graph = graphOf(2 ** 40, () => {
    throw new Error("asked for");
  });
  await expect(async () => openBaked(graph, new Engine({ threads: 1 }))).rejects.toThrow(
    /expected space for the weights while they run, found .* GB, where 4503599.6 GB are needed. Free some space/,
  );
});

it("the bytes that it counts are those that are written", () => {
  const graph = graphOf(3, () => [new Uint8Array(3 * 4096)]);
  const file = join(root, "m.onnx");
  const lowered = lower(graph, { provider: "cpu" });
  saveModelFile(lowered, file);
  expect(modelFileBytes(lowered)).toBe(fs.statSync(`${file}.data`).size);
});

it("weights that the memory cannot hold are refused before one is read", () => {
  const read = () => {
    throw new Error("asked for");
  };
  const tensors = new Map([
    ["a", { shape: [1_000_000, 1000], read }],
    ["b", { shape: [250_000_000], read }],
  ]);
  checkMemory("f", tensors, 5_000_000_000);
  expect(() => checkMemory("f", tensors, 4_900_000_000)).toThrow(
    "f: expected weights that fit the memory as f32: 4.9 GB, found 5.0 GB.",
  );
});

it("a small folder that claims 2^53 positions opens, answers, and says how many are used", async () => {
  const folder = join(root, "claims");
  fs.cpSync(new URL("../../models/tiny-r1-zero", import.meta.url), folder, { recursive: true });
  const file = join(folder, "config.json");
  const config = JSON.parse(fs.readFileSync(file, "utf8")) as object;
  fs.writeFileSync(file, JSON.stringify({ ...config, max_position_embeddings: 2 ** 53 - 1 }));
  const model = await openForInference(folder, { engine: new Engine({ threads: 1 }) });
  expect(model.config.maxPositions).toBe(262_144);
  const { generations } = await model.generate([{ prompt: [1, 5], maxNewTokens: 4, key: [1] }], {
    sampling: { temperature: 0 },
    stopIds: new Set(),
  });
  expect(generations[0]!.ids).toHaveLength(4);
  await model.release();
  expect(modelNotes(folder)).toEqual([
    `${folder}: of its 9,007,199,254,740,991 positions the first 262,144 are used here.`,
  ]);
});
