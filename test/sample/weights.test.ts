/** Samplers with weights of their own: against the plain f32 sampler over what the codes stand for. */

import { readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { describe, expect, it } from "vitest";
import { type BlockSize, PRECISIONS, type Precision, quantise } from "../../src/checkpoint/quantise.ts";
import { sourceOf } from "../../src/checkpoint/weights.ts";
import { Graph } from "../../src/graph/tensor.ts";
import { allParameters, modelOf } from "../../src/models/architectures.ts";
import type { DecoderConfig } from "../../src/models/config.ts";
import type { ParameterSpec } from "../../src/models/layers.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { f32, type HostValue } from "../../src/runtime/session.ts";
import type { GenerationRequest } from "../../src/sample/requests.ts";
import { Sampler } from "../../src/sample/sampler.ts";
import { baked, bakedParameters, roundingOf } from "../../src/sample/weights.ts";
import { allocateCodes, decode } from "../checkpoint/codes.ts";
import { livelyV3, tinyV3 } from "../models/v3-tiny.ts";
import { livelyParameters, tinyConfig } from "../train/tiny.ts";
import { generateNaively } from "./naive.ts";

/** Rows of whole blocks of 32, grouped queries, a tied head. */
const config: DecoderConfig = {
  ...tinyConfig,
  ...{ hiddenSize: 64, headDim: 16, intermediateSize: 96, maxPositions: 100, tieEmbeddings: true },
};
const parameters = livelyParameters(config, 3, 0.15);

const source = sourceOf(parameters);
const engine = new Engine({ threads: 1 });

/** What the quantised weights stand for, as f32. */
function rounded(
  values: ReadonlyMap<string, HostValue>,
  parameterSpecs: readonly ParameterSpec[],
  precision: Precision,
  block?: BlockSize,
): Map<string, HostValue> {
  const specs = new Map(parameterSpecs.map((spec) => [spec.name, spec]));
  return new Map(
    [...values].map(([name, value]) => {
      const spec = specs.get(name);
      const rounding = spec && roundingOf(spec, { precision, block });
      if (!rounding) return [name, value];
      const codes = allocateCodes(value.data.length, rounding.precision, rounding.block);
      quantise(value.data as Float32Array, rounding.precision, codes);
      return [name, f32(decode(codes), value.shape)];
    }),
  );
}

const requests: GenerationRequest[] = Array.from({ length: 5 }, (_, i) => ({
  prompt: Array.from({ length: 1 + ((i * 3) % 7) }, (_, j) => 4 + ((i * 5 + j * 7) % 25)),
  maxNewTokens: 12,
  key: ["fixed", i],
}));

describe("a sampler with baked weights", () => {
  it("keeps the embedding, keys and values at 8 bits where the others have 4", () => {
    /** Of a block of 64 where nothing else is said, by the weight's name. */
    const bytes = (precision: Precision) => {
      const graph = new Graph();
      bakedParameters(graph, allParameters(config), source, { precision });
      return new Map(graph.nodes.map(({ path, outputs }) => [path, outputs[0].shape.at(-1)]));
    };
    const embedding = "model.embed_tokens.weight.packed";
    const values = "model.layers.0.self_attn.v_proj.weight.packed";
    const other = "model.layers.0.mlp.up_proj.weight.packed";
    const of = (precision: Precision) => [embedding, values, other].map((name) => bytes(precision).get(name));
    expect(of("int8")).toEqual([64, 64, 64]);
    expect(of("int4")).toEqual([64, 64, 32]);
    // Blocks of 32.
    expect(of("int4-offset")).toEqual([64, 16, 16]);
  });

  it("takes the largest blocks that rows are whole ones of, up to what 8 and 4 bits stand", () => {
    const block = (width: number, precision: Precision, most?: BlockSize) =>
      roundingOf({ role: "projection", shape: [3, width] }, { precision, block: most })?.block;
    expect([block(256, "int8"), block(256, "int4"), block(256, "int4-offset")]).toEqual([128, 128, 32]);
    expect([block(192, "int8"), block(96, "int8"), block(48, "int8")]).toEqual([64, 32, undefined]);
    expect(block(256, "int8", 32)).toBe(32);
  });

  const options = { sampling: { temperature: 0 }, stopIds: new Set<number>(), maxBatch: 3 };

  it.each(PRECISIONS)("continues as the f32 model of what its codes stand for: %s", async (precision) => {
    const sampler = await Sampler.create(config, engine, {
      weights: baked(source, { precision, activations: "f32" }),
    });
    const { generations } = await sampler.generate(requests, options);
    await sampler.release();
    const naive = await generateNaively(
      config,
      rounded(parameters, allParameters(config), precision),
      requests,
      options,
    );
    for (const [i, { ids, logProbs }] of generations.entries()) {
      expect(ids).toEqual(naive[i].ids);
      // Sums in another order, as in engine.test.ts.
      logProbs.forEach((p, t) => {
        expect(Math.abs(p - naive[i].logProbs[t])).toBeLessThan(2e-5);
      });
    }
  });

  it.each(["int8", "int4", "int4-offset"] as const)(
    "is near it where activations are rounded too: %s",
    async (precision) => {
      const logProbs = async (activations: "f32" | "int8") => {
        const sampler = await Sampler.create(config, engine, {
          weights: baked(source, { precision, activations }),
        });
        const first = requests.map((request) => ({ ...request, maxNewTokens: 1 }));
        const { generations } = await sampler.generate(first, options);
        await sampler.release();
        return generations.map((generation) => generation.logProbs[0]);
      };
      const exact = await logProbs("f32");
      const worst = (await logProbs("int8")).reduce(
        (most, p, i) => Math.max(most, Math.abs(p - exact[i])),
        0,
      );
      // 1/254 of a block's largest number a product; a few hundredths of a logit in all.
      expect(worst).toBeGreaterThan(1e-5);
      expect(worst).toBeLessThan(0.1);
    },
  );

  it("does so with blocks of 32", async () => {
    const sampler = await Sampler.create(config, engine, {
      weights: baked(source, {
        ...{ precision: "int4", block: 32, activations: "f32" },
      }),
    });
    const { generations } = await sampler.generate(requests, options);
    await sampler.release();
    const plain = rounded(parameters, allParameters(config), "int4", 32);
    const naive = await generateNaively(config, plain, requests, options);
    expect(generations.map(({ ids }) => ids)).toEqual(naive.map(({ ids }) => ids));
  });

  it("does so in DeepSeek-V3's design", async () => {
    const v3 = { ...tinyV3, hiddenSize: 32, moeIntermediateSize: 32, maxPositions: 100 };
    const values = livelyV3(v3, 5);
    const specs = modelOf(v3).parameters;
    const sampler = await Sampler.create(v3, engine, {
      weights: baked(sourceOf(values), {
        ...{ precision: "int8", activations: "f32" },
      }),
    });
    const { generations } = await sampler.generate(requests, options);
    await sampler.release();
    const naive = await generateNaively(v3, rounded(values, specs, "int8"), requests, options);
    expect(generations.map(({ ids }) => ids)).toEqual(naive.map(({ ids }) => ids));
  });

  it("leaves nothing on disk and names a weight that is missing", async () => {
    const folders = () => readdirSync(tmpdir()).filter((name) => name.startsWith("sputnik-model-"));
    const before = folders();
    const without = new Map(source);
    without.delete("model.norm.weight");
    await expect(
      Sampler.create(config, engine, { weights: baked(without, { precision: "int4" }) }),
    ).rejects.toThrow('there is no weight "model.norm.weight"');
    expect(folders().filter((name) => !before.includes(name))).toEqual([]);
  });
});
