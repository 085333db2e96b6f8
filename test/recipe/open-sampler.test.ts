/** A model opened to generate, from a folder and from a GGUF file, at a precision of its own. */
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { CheckpointError } from "../../src/checkpoint/errors.ts";
import { saveModel } from "../../src/checkpoint/folder.ts";
import { exportGguf } from "../../src/checkpoint/gguf/model.ts";
import type { DecoderConfig } from "../../src/models/config.ts";
import { asParameters, openSampler } from "../../src/recipe/options.ts";
import { CompactTokenizer } from "../../src/tokenizer/compact.ts";
import { temporaryFolder } from "../checkpoint/temporary.ts";
import { livelyParameters, tinyConfig } from "../train/tiny.ts";

const config: DecoderConfig = { ...tinyConfig, ...{ width: 64, headDim: 16, ffn: 96, tieEmbeddings: true } };
const tokenizer = new CompactTokenizer();
const parameters = asParameters(livelyParameters(config, 9, 0.15));

const options = { temperature: 0, stopIds: new Set<number>() };
const requests = [{ prompt: [1, 5, 9, 13], maxNewTokens: 3, key: ["open"] }];

describe("openSampler", () => {
  const folder = temporaryFolder();
  saveModel(folder, { config, parameters, tokenizer });
  const file = join(folder, "model.gguf");
  exportGguf(folder, file, { dtype: "Q8_0" });

  it.each([
    ["a folder", folder],
    ["a GGUF file", file],
  ])("gives int8 weights from %s, near the f32 ones", async (_label, path) => {
    const logProbs = await Promise.all(
      (["f32", "int8"] as const).map(async (precision) => {
        const { model, sampler } = await openSampler(path, { precision, threads: 1 });
        expect(model.config).toMatchObject(config);
        expect(model.parameters.size > 0).toBe(precision === "f32");
        const { generations } = await sampler.generate(model.parameters, requests, options);
        await sampler.release();
        return generations[0].logProbs[0];
      }),
    );
    expect(logProbs[0]).not.toBe(logProbs[1]);
    // Weights and activations of 8 bits: a few hundredths of a logit.
    expect(Math.abs(logProbs[0] - logProbs[1])).toBeLessThan(0.1);
  });

  it("names a tensor that the folder lacks", async () => {
    const other = temporaryFolder();
    const without = new Map(parameters);
    without.delete("model.norm.weight");
    saveModel(other, { config, parameters: without, tokenizer });
    const opening = openSampler(other, { precision: "int4" });
    await expect(opening).rejects.toThrow(CheckpointError);
    await expect(opening).rejects.toThrow("model.norm.weight");
  });
});
