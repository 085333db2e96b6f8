/** Our model folders opened by transformers: the same logits, whatever the design, the type on disk and the shards. */

import { execFileSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadModel, saveModel } from "../src/checkpoint/folder.ts";
import { writeSafetensors } from "../src/checkpoint/safetensors.ts";
import { asValues } from "../src/checkpoint/values.ts";
import { expectedShapes } from "../src/checkpoint/weights.ts";
import { Graph } from "../src/graph/tensor.ts";
import { Random } from "../src/lib/random.ts";
import { allParameters, type ModelConfig, modelOf } from "../src/models/architectures.ts";
import { sequenceInputs } from "../src/models/decoder.ts";
import { initialise, parameterInputs } from "../src/models/layers.ts";
import { causalMask } from "../src/models/masks.ts";
import { Engine } from "../src/runtime/engine.ts";
import { host, i32 } from "../src/runtime/session.ts";
import { tokenizerFrom } from "../src/tokenizer/load.ts";
import { trainBpe } from "../src/tokenizer/train.ts";
import { asParameters } from "../test/support/parameters.ts";
import type { Row } from "./rows.ts";

const SEQ = 24;
const tokenizer = tokenizerFrom(trainBpe(["the sum of two and three is five"], { vocabSize: 300 }));
const shared = {
  vocabSize: tokenizer.vocabSize,
  layers: 2,
  hiddenSize: 64,
  heads: 4,
  intermediateSize: 96,
  maxPositions: 64,
};
const dense = {
  ...{ ...shared, kvHeads: 2, headDim: 16, ropeTheta: 10_000, normEps: 1e-6 },
  tieEmbeddings: false,
};

const CASES: Record<string, { config: ModelConfig; dtype?: "F32" | "BF16" | "F16"; shardBytes?: number }> = {
  llama: { config: dense },
  "llama-tied-bf16-shards": { config: { ...dense, tieEmbeddings: true }, dtype: "BF16", shardBytes: 60_000 },
  "qwen2-f16": { config: { ...dense, qkvBias: true }, dtype: "F16" },
  qwen3: { config: { ...dense, qkNorm: true } },
  "v3-shards": {
    config: {
      ...{
        ...shared,
        architecture: "deepseek_v3",
        queryLoraRank: 24,
        kvLoraRank: 32,
        nopeDim: 16,
        ropeDim: 8,
      },
      ...{
        valueDim: 16,
        denseLayers: 1,
        moeIntermediateSize: 32,
        experts: 8,
        activeExperts: 2,
        sharedExperts: 1,
      },
      ...{ groups: 2, activeGroups: 1, normaliseWeights: true, routedScale: 2.5, ropeTheta: 10_000 },
      ...{ yarn: null, normEps: 1e-6, mtpLayers: 0, tieEmbeddings: false },
    },
    shardBytes: 200_000,
  },
};

export async function benchRoundTrip(): Promise<Row[]> {
  const root = mkdtempSync(join(tmpdir(), "sputnik-round-trip-"));
  for (const [name, { config, ...options }] of Object.entries(CASES)) {
    const folder = join(root, name);
    const fresh = initialise(allParameters(config), 5);
    // Livelier than fresh: logits of order 1.
    for (const { data } of fresh.values())
      for (let i = 0; i < data.length; i++) data[i] = Number(data[i]) * 5;
    saveModel(folder, { config, tokenizer, parameters: asParameters(fresh) }, options);
    const stored = asValues(loadModel(folder, expectedShapes).parameters);
    const graph = new Graph();
    const inputs = sequenceInputs(graph, { batch: 1, seq: SEQ, mask: "shared" });
    const traced = parameterInputs(graph, modelOf(config).parameters);
    graph.output("logits", modelOf(config).forward(traced, inputs).logits);
    const session = await new Engine().session(graph, "test");
    const random = new Random(7, name);
    const ids = Int32Array.from({ length: SEQ }, () => random.integer(0, config.vocabSize - 1));
    const { logits } = await session.run({
      ...Object.fromEntries(stored),
      ids: i32(ids, [1, SEQ]),
      positions: i32(
        ids.map((_, i) => i),
        [1, SEQ],
      ),
      mask: causalMask(SEQ),
    });
    await session.release();
    writeSafetensors(
      join(folder, "ours.safetensors"),
      new Map([
        ["ids", { dtype: "I32" as const, shape: [1, SEQ], data: ids }],
        ["logits", { dtype: "F32" as const, shape: logits.shape, data: host(logits).data as Float32Array }],
      ]),
    );
  }
  const python = process.env.SPUTNIK_PEER_PYTHON ?? "python3";
  const script = fileURLToPath(new URL("peers/transformers_logits.py", import.meta.url));
  const folders = Object.keys(CASES).map((name) => join(root, name));
  const told = execFileSync(python, [script, ...folders], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  return told
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { folder: string; difference: number; left: Record<string, string[]> })
    .map(({ folder, difference, left }) => ({
      name: `round-trip/transformers-${folder}`,
      value: difference,
      unit: "relative difference of logits",
      atMost: 1e-4,
      note: Object.keys(left).length === 0 ? "no tensor missing or left over" : JSON.stringify(left),
    }));
}
