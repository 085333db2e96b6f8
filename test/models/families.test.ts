/**
 * The families and the rotary variants against transformers: logits of sequences beyond every trained length, and the
 * cached form against the whole-sequence form. The families' own logits, losses and gradients are in
 * test/train/golden-step.test.ts.
 */

import { describe, expect, it } from "vitest";
import { Graph } from "../../src/graph/tensor.ts";
import { allParameters, modelOf, toHuggingFace } from "../../src/models/architectures.ts";
import type { DecoderConfig } from "../../src/models/config.ts";
import { sequenceInputs } from "../../src/models/decoder.ts";
import { denseFromHuggingFace } from "../../src/models/dense-hugging-face.ts";
import { parameterInputs } from "../../src/models/layers.ts";
import { causalMask } from "../../src/models/masks.ts";
import { rotaryFrequencies, rotaryTables } from "../../src/models/rope.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { type HostValue, host, i32 } from "../../src/runtime/session.ts";
import { Sampler } from "../../src/sample/sampler.ts";
import { generateNaively } from "../sample/naive.ts";
import { json, tensors } from "../train/fixture.ts";
import { furthest } from "../train/tiny.ts";

const TOKENS = { bosId: 1, eosIds: [2], padId: 0 };
const configs =
  json<Record<string, { old: Record<string, unknown>; new: Record<string, unknown> }>>(
    "golden-rope/configs.json",
  );
const weights = tensors("golden-rope/model.safetensors");
const expected = tensors("golden-rope/expected.safetensors");
const ids = json<number[][]>("golden-rope/ids.json");
const [batch, seq] = [ids.length, ids[0].length];

async function logitsOf(config: DecoderConfig): Promise<Float32Array> {
  const graph = new Graph();
  const traced = parameterInputs(graph, allParameters(config));
  const inputs = sequenceInputs(graph, { batch: "batch", seq: "seq", mask: "shared" });
  graph.output("logits", modelOf(config).forward(traced, inputs).logits);
  const session = await new Engine({ threads: 1 }).session(graph, "test");
  const { logits } = await session.run({
    ...Object.fromEntries(weights),
    ids: i32(ids.flat(), [batch, seq]),
    positions: i32(
      ids.flat().map((_, i) => i % seq),
      [batch, seq],
    ),
    mask: causalMask(seq),
  });
  await session.release();
  return host(logits).data as Float32Array;
}

describe.each(Object.keys(configs))("rotary positions: %s", (name) => {
  const config = denseFromHuggingFace(configs[name].new);

  it("old and new spelling of config.json say the same, and ours reads back as it was", () => {
    expect(denseFromHuggingFace(configs[name].old)).toEqual(config);
    expect(denseFromHuggingFace(JSON.parse(JSON.stringify(toHuggingFace(config, TOKENS))))).toEqual(config);
  });

  it("gives the logits of transformers beyond the trained length", async () => {
    const wanted = expected.get(`logits.${name}`)?.data as Float32Array;
    // transformers' float32 lies up to 4e-5 from its float64 here, of logits up to 7; another variant's logits, 6 away.
    expect(furthest(await logitsOf(config), wanted)).toBeLessThan(1e-4 * Math.max(...wanted));
  });

  it("decodes over the cache what it decodes without one", () => cachedEqualsNaive(config, weights, 44));
});

describe.each(["golden-llama3", "golden-qwen2", "golden-qwen3"])("%s", (folder) => {
  const config = denseFromHuggingFace(json(`${folder}/config.json`));

  it("writes a config.json that reads back as it was", () => {
    const written = toHuggingFace(config, TOKENS);
    expect(written.architectures).toEqual(
      json<{ architectures: string[] }>(`${folder}/config.json`).architectures,
    );
    expect(denseFromHuggingFace(JSON.parse(JSON.stringify(written)))).toEqual(config);
  });

  it("decodes over the cache what it decodes without one", () =>
    cachedEqualsNaive(config, tensors(`${folder}/model.safetensors`), 20));
});

/** Prompts of different lengths in one batch, greedily and by chance. */
async function cachedEqualsNaive(config: DecoderConfig, parameters: Map<string, HostValue>, length: number) {
  const sampler = await Sampler.create(config, new Engine({ threads: 1 }));
  const requests = [3, 1, 9].map((prompt, i) => ({
    prompt: Array.from({ length: prompt }, (_, j) => (5 * i + 7 * j) % config.vocabSize),
    maxNewTokens: length - prompt,
    key: [3, "request", i],
  }));
  for (const temperature of [0, 1]) {
    const options = { sampling: { temperature }, stopIds: new Set<number>() };
    const { generations } = await sampler.with(parameters)(requests, options);
    const naive = await generateNaively(config, parameters, requests, options);
    generations.forEach((generation, i) => {
      expect(generation.ids).toEqual(naive[i].ids);
      // Sums in another order, over logits of order 5.
      expect(furthest(generation.logProbs, naive[i].logProbs)).toBeLessThan(5e-5);
    });
  }
  await sampler.release();
}

describe("frequencies by hand", () => {
  const plain = (theta: number, headDim: number) =>
    Array.from({ length: headDim / 2 }, (_, i) => theta ** ((-2 * i) / headDim));

  it("YaRN of DeepSeek-V3: kept up to dimension 10, a fortieth from 23, a line between", () => {
    const ropeScaling = {
      kind: "yarn",
      factor: 40,
      originalPositions: 4096,
      betaFast: 32,
      betaSlow: 1,
    } as const;
    const settings = { maxPositions: 163840, headDim: 64, ropeTheta: 10000, ropeScaling };
    const shares = rotaryFrequencies(settings, 1).map((f, i) => f / plain(10000, 64)[i]);
    for (const i of [0, 5, 10]) expect(shares[i]).toBeCloseTo(1, 12);
    for (const i of [23, 31]) expect(shares[i]).toBeCloseTo(1 / 40, 12);
    expect(shares[15]).toBeCloseTo((8 / 13) * 1 + 5 / 13 / 40, 12);
  });

  it("dynamic: nothing changes up to the trained length; each position beyond has its own base", () => {
    const ropeScaling = { kind: "dynamic", factor: 4, originalPositions: 8 } as const;
    const settings = { maxPositions: 32, headDim: 6, ropeTheta: 10000, ropeScaling };
    expect(rotaryFrequencies(settings, 8)).toEqual(plain(10000, 6));
    // At twice the length the base grows by (4 · 2 - 3) ^ (6 / 4).
    rotaryFrequencies(settings, 16).forEach((f, i) => {
      expect(f).toBeCloseTo(plain(10000 * 5 ** 1.5, 6)[i], 12);
    });
    const { cos } = rotaryTables(new Graph(), settings);
    expect(cos.shape).toEqual([32, 3]);
  });
});
