/** A model opened to answer, from a folder and from a GGUF file, at a precision of its own. */

import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { saveModel } from "../../src/checkpoint/folder.ts";
import { exportGguf } from "../../src/checkpoint/gguf/model.ts";
import { writeSafetensors } from "../../src/checkpoint/safetensors.ts";
import { UserError } from "../../src/lib/errors.ts";
import type { ModelConfig } from "../../src/models/architectures.ts";
import type { DecoderConfig } from "../../src/models/config.ts";
import { threadCount } from "../../src/runtime/device.ts";
import { Engine } from "../../src/runtime/engine.ts";
import type { HostValue } from "../../src/runtime/session.ts";
import { openForInference, usefulThreads } from "../../src/sample/inference.ts";
import type { GenerationResult } from "../../src/sample/requests.ts";
import { Sampler } from "../../src/sample/sampler.ts";
import { CompactTokenizer } from "../../src/tokenizer/compact.ts";
import { temporaryFolder } from "../checkpoint/temporary.ts";
import { livelyV3, tinyV3 } from "../models/v3-tiny.ts";
import { asParameters } from "../support/parameters.ts";
import { furthest, livelyParameters, tinyConfig } from "../train/tiny.ts";

const config: DecoderConfig = {
  ...tinyConfig,
  ...{ hiddenSize: 64, headDim: 16, intermediateSize: 96, tieEmbeddings: true },
};
const tokenizer = new CompactTokenizer();
const parameters = livelyParameters(config, 9, 0.15);
const generation = { temperature: 0.9, top_k: 40 };

const options = { sampling: { temperature: 0 }, stopIds: new Set<number>() };
const requests = [{ prompt: [1, 5, 9, 13], maxNewTokens: 12, key: ["open"] }];

function saved(config: ModelConfig, values: ReadonlyMap<string, HostValue>): string {
  const folder = temporaryFolder();
  saveModel(folder, { config, parameters: asParameters(values), tokenizer, generation });
  return folder;
}

async function answer(...[path, opening]: Parameters<typeof openForInference>): Promise<GenerationResult> {
  const model = await openForInference(path, opening);
  const result = await model.generate(requests, options);
  await model.release();
  return result;
}

describe("openForInference", () => {
  const folder = saved(config, parameters);
  const file = join(folder, "model.gguf");
  exportGguf(folder, file, { dtype: "F32" });

  it.each([
    ["a folder", folder],
    ["a GGUF file", file],
  ])("answers from %s as training does at f32, and near it at int8", async (_label, path) => {
    const sampler = await Sampler.create(config, new Engine({ threads: 1 }));
    const [expected] = (await sampler.with(parameters)(requests, options)).generations;
    await sampler.release();
    const [plain] = (await answer(path)).generations;
    expect(plain.ids).toEqual(expected.ids);
    expect(furthest(plain.logProbs, expected.logProbs)).toBeLessThan(2e-5);
    const [rounded] = (await answer(path, { precision: "int8" })).generations;
    const distance = Math.abs(rounded.logProbs[0] - expected.logProbs[0]);
    // Weights and activations of 8 bits: a few hundredths of a logit.
    expect(distance).toBeGreaterThan(1e-5);
    expect(distance).toBeLessThan(0.1);
  });

  it("brings what comes with a model, at every precision", async () => {
    for (const precision of ["f32", "int8"] as const) {
      const model = await openForInference(folder, { precision });
      expect(model).toMatchObject({ config, generation });
      expect(model.tokenizer.vocabSize).toBe(tokenizer.vocabSize);
      await model.release();
    }
  });

  it("drafts with a module that was trained, one sequence at a time, at every precision", async () => {
    const v3 = { ...tinyV3, hiddenSize: 32, moeIntermediateSize: 32 };
    const whole = saved(v3, livelyV3(v3, 5));
    for (const precision of ["f32", "int8"] as const) {
      const drafting = await answer(whole, { precision });
      expect(drafting.drafted).toBeGreaterThan(0);
      const batched = await answer(whole, { precision, batched: true });
      expect(batched.drafted).toBe(0);
      // At int8 the two see f32 noise of other products, which may round another way.
      if (precision === "f32") expect(drafting.generations[0].ids).toEqual(batched.generations[0].ids);
    }
    const bare = { ...v3, mtpLayers: 0 };
    const stored = new Map(
      [...livelyV3(v3, 5)].filter(([name]) => !name.startsWith(`model.layers.${v3.layers}.`)),
    );
    const alone = await answer(saved(bare, stored));
    expect(alone).toMatchObject({ drafted: 0, steps: 12 });
  });

  it("names a tensor that the folder lacks", async () => {
    const without = new Map(parameters);
    without.delete("model.norm.weight");
    const opening = openForInference(saved(config, without), { precision: "int4" });
    await expect(opening).rejects.toThrow(UserError);
    await expect(opening).rejects.toThrow("model.norm.weight");
  });

  it("refuses a tied pair that differs", async () => {
    const path = saved(config, parameters);
    const tensors = new Map(
      [...asParameters(parameters)].map(([name, tensor]) => [name, { ...tensor, dtype: "F32" as const }]),
    );
    const embedding = tensors.get("model.embed_tokens.weight")!;
    const other = embedding.data.slice();
    other[70] += 1;
    tensors.set("lm_head.weight", { ...embedding, data: other });
    writeSafetensors(join(path, "model.safetensors"), tensors);
    await expect(openForInference(path)).rejects.toThrow("first at element 70");
  });

  it("gives a small model one thread, and both cores to a large one or a batch", () => {
    const large = { ...config, hiddenSize: 1024, intermediateSize: 4096, layers: 4 };
    expect([usefulThreads(config, 1), usefulThreads(large, 1)]).toEqual([1, threadCount()]);
    const medium = { ...config, hiddenSize: 128, headDim: 32, intermediateSize: 344, layers: 4 };
    expect([usefulThreads(medium, 1), usefulThreads(medium, 128)]).toEqual([1, threadCount()]);
  });
});
