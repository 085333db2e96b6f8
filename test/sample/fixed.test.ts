/** Samplers with weights of their own: against the plain f32 sampler over what the codes stand for. */
import { describe, expect, it } from "vitest";
import type { DecoderConfig } from "../../src/models/config.ts";
import { decoderParameters } from "../../src/models/dense.ts";
import { f32, type Value } from "../../src/runtime/session.ts";
import { FIXED, Sampler } from "../../src/sample/engine.ts";
import { isQuantised } from "../../src/sample/fixed.ts";
import { generateNaively } from "../../src/sample/naive.ts";
import { allocateCodes, PRECISIONS, type Precision, quantise } from "../../src/sample/quantise.ts";
import type { GenerationRequest } from "../../src/sample/scheduler.ts";
import { livelyParameters, tinyConfig } from "../train/tiny.ts";
import { decode } from "./codes.ts";

/** Rows of whole blocks of 32, grouped queries, a tied head. */
const config: DecoderConfig = {
  ...tinyConfig,
  ...{ width: 64, headDim: 16, ffn: 96, maxPositions: 100, tieEmbeddings: true },
};
const parameters = livelyParameters(config, 3, 0.15);
const source = new Map(
  [...parameters].map(([name, { shape, data }]) => [
    name,
    {
      shape,
      read: (start = 0, count = data.length) => (data as Float32Array).subarray(start, start + count),
    },
  ]),
);

/** What the quantised weights stand for, as f32. */
function rounded(precision: Precision): Map<string, Value> {
  const specs = new Map(decoderParameters(config).map((spec) => [spec.name, spec]));
  return new Map(
    [...parameters].map(([name, value]) => {
      const spec = specs.get(name);
      if (precision === "f32" || spec === undefined || !isQuantised(spec)) return [name, value];
      const codes = allocateCodes(value.data.length, precision);
      quantise(value.data as Float32Array, precision, codes);
      return [name, f32(decode(codes), value.shape)];
    }),
  );
}

const requests: GenerationRequest[] = Array.from({ length: 5 }, (_, i) => ({
  prompt: Array.from({ length: 1 + ((i * 3) % 7) }, (_, j) => 4 + ((i * 5 + j * 7) % 25)),
  maxNewTokens: 12,
  key: ["fixed", i],
}));

describe("a sampler with weights of its own", () => {
  const options = { temperature: 0, stopIds: new Set<number>(), slots: 3 };

  it.each(PRECISIONS)("continues as the f32 model of what its codes stand for: %s", async (precision) => {
    const sampler = await Sampler.fixed(config, source, { precision, activations: "f32", threads: 1 });
    const { generations } = await sampler.generate(FIXED, requests, options);
    await sampler.release();
    const naive = await generateNaively(config, rounded(precision), requests, options);
    for (const [i, { ids, logProbs }] of generations.entries()) {
      expect(ids).toEqual(naive[i].ids);
      // Sums in another order, as in engine.test.ts.
      logProbs.forEach((p, t) => {
        expect(Math.abs(p - naive[i].logProbs[t])).toBeLessThan(2e-5);
      });
    }
  });

  it.each(["int8", "int4", "int4-offset"] as const)("is near it where activations are rounded too: %s", async (precision) => {
    const logProbs = async (activations: "f32" | "int8") => {
      const sampler = await Sampler.fixed(config, source, { precision, activations, threads: 1 });
      const first = requests.map((request) => ({ ...request, maxNewTokens: 1 }));
      const { generations } = await sampler.generate(FIXED, first, options);
      await sampler.release();
      return generations.map((generation) => generation.logProbs[0]);
    };
    const exact = await logProbs("f32");
    const worst = (await logProbs("int8")).reduce((most, p, i) => Math.max(most, Math.abs(p - exact[i])), 0);
    // 1/254 of a block's largest number a product; a few hundredths of a logit in all.
    expect(worst).toBeGreaterThan(1e-5);
    expect(worst).toBeLessThan(0.1);
  });
});
