/** A folder saved by transformers (bf16, two shards), read by us: weights, stops, template, and logits of the model. */

import fs from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { loadModel, saveModel } from "../../src/checkpoint/folder.ts";
import { withSafetensors } from "../../src/checkpoint/safetensors.ts";
import { asValues } from "../../src/checkpoint/values.ts";
import { expectedShapes } from "../../src/checkpoint/weights.ts";
import { Graph } from "../../src/graph/tensor.ts";
import { modelOf } from "../../src/models/architectures.ts";
import { sequenceInputs } from "../../src/models/decoder.ts";
import { parameterInputs } from "../../src/models/layers.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { host } from "../../src/runtime/session.ts";
import { batchFeeds } from "../../src/train/language-model.ts";
import { temporaryFolder } from "./temporary.ts";

const folder = fileURLToPath(new URL("../fixtures/golden-folder", import.meta.url));
const expected = withSafetensors(join(folder, "expected.safetensors"), (file) => ({
  ids: file.read("ids").data as Int32Array,
  logits: file.readFloat32("logits").data,
}));

/** Largest difference from transformers' logits, over their largest value. */
async function difference(path: string): Promise<number> {
  const { config, parameters } = loadModel(path, expectedShapes);
  const graph = new Graph();
  const { parameters: specs, forward } = modelOf(config);
  const traced = parameterInputs(graph, specs);
  const seq = expected.ids.length;
  graph.output("logits", forward(traced, sequenceInputs(graph, { batch: 1, seq, mask: "shared" })).logits);
  const session = await new Engine({ threads: 1 }).session(graph, "test");
  const none = { targets: new Int32Array(seq), weights: new Float32Array(seq) };
  const feeds = batchFeeds({ batch: 1, seq, ids: expected.ids, ...none });
  const { logits } = await session.run({ ...Object.fromEntries(asValues(parameters)), ...feeds });
  const largest = expected.logits.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  return (
    expected.logits.reduce((a, b, i) => Math.max(a, Math.abs(b - Number(host(logits).data[i]))), 0) / largest
  );
}

describe("a folder of transformers", () => {
  it("gives its logits", async () => {
    // Float32 sums in another order.
    expect(await difference(folder)).toBeLessThan(1e-5);
  });

  it("gives tokenizer, every stop id, and the chat template of chat_template.jinja", () => {
    const { tokenizer, generation, tokenizerConfig } = loadModel(folder, expectedShapes);
    expect([...tokenizer.encode("The sum of two and three is five."), 4]).toEqual([...expected.ids]);
    expect([...tokenizer.stopIds].sort()).toEqual([2, 4]);
    expect(generation).toMatchObject({ temperature: 0.6, top_p: 0.95 });
    expect(tokenizerConfig.chat_template).toBe(fs.readFileSync(join(folder, "chat_template.jinja"), "utf8"));
  });

  it.each(["F32", "BF16"] as const)(
    "gives the same logits after our own saving in shards of %s",
    async (dtype) => {
      const copy = temporaryFolder();
      saveModel(copy, loadModel(folder, expectedShapes), { dtype, shardBytes: 50_000 });
      expect(fs.existsSync(join(copy, "model.safetensors.index.json"))).toBe(true);
      // The weights were bf16 to begin with, so saving them as such loses nothing.
      expect(loadModel(copy, expectedShapes).parameters).toEqual(
        loadModel(folder, expectedShapes).parameters,
      );
      expect(await difference(copy)).toBeLessThan(1e-5);
    },
  );
});
