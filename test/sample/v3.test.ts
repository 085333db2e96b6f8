/** The sampler on DeepSeek-V3: the cache holds latents, and decoding agrees with its slow twin, id for id. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Engine } from "../../src/runtime/engine.ts";
import type { HostValue } from "../../src/runtime/session.ts";
import type { GenerateOptions, GenerationRequest } from "../../src/sample/requests.ts";
import { Sampler } from "../../src/sample/sampler.ts";
import { Scorer } from "../../src/sample/scorer.ts";
import { microBatchFeeds } from "../../src/train/microbatch.ts";
import { livelyV3, tinyV3 } from "../models/v3-tiny.ts";
import { furthest } from "../train/tiny.ts";
import { generateNaively } from "./naive.ts";

const config = { ...tinyV3, maxPositions: 128 };
const parameters: ReadonlyMap<string, HostValue> = livelyV3(config, 11);
const LOG_PROB = 5e-5;

let sampler: Sampler;
beforeAll(async () => {
  sampler = await Sampler.create(config, new Engine({ threads: 1 }));
});
afterAll(() => sampler.release());

/** Prompts of 1 to 8 tokens, some of them equal; one outgrows the first window. */
const requests: GenerationRequest[] = Array.from({ length: 11 }, (_, i) => ({
  prompt: Array.from({ length: 1 + ((i * 5) % 8) }, (_, j) => 4 + (((i % 9) * 3 + j * 7) % 25)),
  maxNewTokens: i === 4 ? 90 : 3 + ((i * 7) % 18),
  key: [11, "request", i],
}));

describe("generate agrees with its slow twin", () => {
  it.each<[string, Partial<GenerateOptions>]>([
    ["greedy", { sampling: { temperature: 0 } }],
    ["T = 1, four rows for eleven requests", { maxBatch: 4 }],
    ["one row", { maxBatch: 1 }],
  ])("%s", async (_name, rest) => {
    const options: GenerateOptions = { sampling: { temperature: 1 }, stopIds: new Set([3, 17]), ...rest };
    const { generations } = await sampler.with(parameters)(requests, options);
    const naive = await generateNaively(config, parameters, requests, options);
    generations.forEach((generation, i) => {
      expect(generation.ids, `request ${i}`).toEqual(naive[i].ids);
      expect(furthest(generation.logProbs, naive[i].logProbs)).toBeLessThan(LOG_PROB);
    });
  });
});

it("the sampler's log-probabilities are those of training's whole sequences", async () => {
  const { generations } = await sampler.with(parameters)(requests, {
    sampling: { temperature: 0.7 },
    stopIds: new Set([3]),
  });
  const scorer = await Scorer.create(config, new Engine({ threads: 1 }));
  const rows = generations.map(({ ids, logProbs }, i) => ({
    prompt: requests[i].prompt,
    ids,
    sampled: logProbs,
    old: logProbs,
    reference: null,
    advantage: 0,
    weight: 0,
    importance: logProbs,
  }));
  const seq = 96;
  const scores = await scorer.score(
    parameters,
    microBatchFeeds(
      rows.map((row) => [row]),
      seq,
    ),
    0.7,
  );
  rows.forEach(({ prompt, sampled }, r) => {
    const start = r * seq + prompt.length - 1;
    expect(furthest(scores.slice(start, start + sampled.length), sampled)).toBeLessThan(LOG_PROB);
  });
  await scorer.release();
});

it("refuses what its vocabulary and positions do not hold", async () => {
  const options: GenerateOptions = { sampling: { temperature: 1 }, stopIds: new Set() };
  const request = (prompt: number[], maxNewTokens: number) => [{ prompt, maxNewTokens, key: ["x"] }];
  await expect(sampler.with(parameters)(request([29], 1), options)).rejects.toMatchObject({
    kind: "generation",
  });
  await expect(sampler.with(parameters)(request([1], 128), options)).rejects.toThrow("128 positions");
});
