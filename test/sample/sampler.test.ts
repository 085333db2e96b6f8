/** The engine against its slow twin, against exact probabilities, and the pitfalls of generation. */

import v8 from "node:v8";
import vm from "node:vm";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { allParameters } from "../../src/models/architectures.ts";
import type { DecoderConfig } from "../../src/models/config.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { allocate, type HostValue } from "../../src/runtime/session.ts";
import { KvCache, type PrefixCache } from "../../src/sample/cache.ts";
import type { GenerateOptions, GenerationRequest } from "../../src/sample/requests.ts";
import { Sampler } from "../../src/sample/sampler.ts";
import { Scorer } from "../../src/sample/scorer.ts";
import { sequenceFeeds } from "../../src/train/microbatch.ts";
import { furthest, livelyParameters, tinyConfig } from "../train/tiny.ts";
import { generateNaively } from "./naive.ts";

const config: DecoderConfig = { ...tinyConfig, maxPositions: 200 };
/**
 * Logits of order 3, so that no two leading ones lie within f32 noise (1e-6) in the few hundred draws below: the seeds
 * are fixed, and ids can be compared one by one although batch sizes round differently.
 */
const parameters = livelyParameters(config, 7);
const STOP = 3;
/** Sums in another order, over scores of order 3: a few 1e-6. */
const LOG_PROB = 2e-5;

let sampler: Sampler;
beforeAll(async () => {
  sampler = await Sampler.create(config, new Engine({ threads: 1 }));
});
afterAll(() => sampler.release());

/** Prompts of 1 to 8 tokens, some of them equal, and limits of 3 to 20. */
const requests: GenerationRequest[] = Array.from({ length: 13 }, (_, i) => ({
  prompt: Array.from({ length: 1 + ((i * 5) % 8) }, (_, j) => 4 + (((i % 9) * 3 + j * 7) % 25)),
  maxNewTokens: 3 + ((i * 7) % 18),
  key: [11, "request", i],
}));

/** Steps of rows that are replaced at once: each request begins where a row is free first. */
function stepsOf(lengths: readonly number[], rows: number): number {
  const free: number[] = new Array(rows).fill(0);
  for (const length of lengths) {
    const row = free.indexOf(Math.min(...free));
    free[row] += length;
  }
  return Math.max(...free);
}

/** Steps of batches of which each waits for its longest row. */
function stepsWaiting(lengths: readonly number[], rows: number): number {
  let steps = 0;
  for (let i = 0; i < lengths.length; i += rows) steps += Math.max(...lengths.slice(i, i + rows));
  return steps;
}

describe("generate agrees with its slow twin, id for id", () => {
  it.each<[string, Partial<GenerateOptions>]>([
    ["greedy", { sampling: { temperature: 0 } }],
    ["T = 1, four rows for thirteen requests", { sampling: { temperature: 1 }, maxBatch: 4 }],
    ["T = 0.7, all at once", { sampling: { temperature: 0.7 } }],
    ["T = 1, top-p 0.8", { sampling: { temperature: 1, topP: 0.8 }, maxBatch: 3 }],
    ["T = 1.3, top-k 4", { sampling: { temperature: 1.3, topK: 4 }, maxBatch: 5 }],
    ["one row", { sampling: { temperature: 1 }, maxBatch: 1 }],
  ])("%s", async (_name, rest) => {
    const options: GenerateOptions = { sampling: { temperature: 1 }, stopIds: new Set([STOP, 17]), ...rest };
    const { generations, tokens, steps, flops } = await sampler.with(parameters)(requests, options);
    const naive = await generateNaively(config, parameters, requests, options);
    generations.forEach((generation, i) => {
      expect(generation.ids, `request ${i}`).toEqual(naive[i].ids);
      expect(generation.finish).toBe(naive[i].finish);
      expect(furthest(generation.logProbs, naive[i].logProbs)).toBeLessThan(LOG_PROB);
    });
    const count = generations.reduce((total, g) => total + g.ids.length, 0);
    expect(tokens).toBe(count);
    const lengths = generations.map(({ ids }) => ids.length);
    const rows = options.maxBatch ?? requests.length;
    expect(steps).toBe(stepsOf(lengths, rows));
    // Batches that wait for their slowest row take more, but where one batch is all there is or each is one row.
    const waiting = stepsWaiting(lengths, rows);
    expect(steps < waiting).toBe(rows > 1 && rows < requests.length);
    expect(flops).toBeGreaterThan(0);
  });

  it("both endings occur above, and end where they should", async () => {
    const { generations } = await sampler.with(parameters)(requests, {
      sampling: { temperature: 1 },
      stopIds: new Set([STOP, 17]),
    });
    generations.forEach(({ ids, finish, logProbs }, i) => {
      const ended = [STOP, 17].includes(ids[ids.length - 1]);
      expect(finish).toBe(ended ? "stop" : "length");
      if (!ended) expect(ids.length).toBe(requests[i].maxNewTokens);
      expect(ids.slice(0, -1).some((id) => id === STOP || id === 17)).toBe(false);
      expect(logProbs.length).toBe(ids.length);
    });
    expect(new Set(generations.map((g) => g.finish))).toEqual(new Set(["stop", "length"]));
  });

  it("beyond the first windows, with rows that join and leave", async () => {
    const long = [70, 5, 100, 130, 8].map((maxNewTokens, i) => ({
      prompt: i === 3 ? requests[3].prompt : [5 + i, 9],
      maxNewTokens,
      key: ["long", i],
    }));
    const options: GenerateOptions = { sampling: { temperature: 0.8 }, stopIds: new Set(), maxBatch: 3 };
    const { generations } = await sampler.with(parameters)(long, options);
    const naive = await generateNaively(config, parameters, long, options);
    generations.forEach(({ ids }, i) => {
      expect(ids, `request ${i}`).toEqual(naive[i].ids);
    });
    // A long prompt that arrives when the window is small again.
    const prompt = generations[2].ids.slice(0, 80);
    const next = [
      { prompt, maxNewTokens: 4, key: ["next"] },
      { prompt: [6], maxNewTokens: 4, key: ["short"] },
    ];
    const after = await sampler.with(parameters)(next, options);
    expect(after.generations.map((g) => g.ids)).toEqual(
      (await generateNaively(config, parameters, next, options)).map((g) => g.ids),
    );
  });
});

describe("requests", () => {
  const base: GenerateOptions = { sampling: { temperature: 1 }, stopIds: new Set([STOP]) };

  it("equal keys give equal completions, other keys others", async () => {
    const of = (key: (string | number)[]) => ({ prompt: [4, 9], maxNewTokens: 12, key });
    const { generations } = await sampler.with(parameters)([of(["a"]), of(["b"]), of(["a"])], {
      ...base,
      stopIds: new Set(),
    });
    expect(generations[0].ids).toEqual(generations[2].ids);
    expect(generations[0].ids).not.toEqual(generations[1].ids);
  });

  it("tells of each token as it is sampled", async () => {
    const seen: number[][] = requests.map(() => []);
    const onToken = (index: number, id: number) => seen[index].push(id);
    const { generations } = await sampler.with(parameters)(requests, { ...base, onToken, maxBatch: 4 });
    expect(seen).toEqual(generations.map((g) => g.ids));
  });

  it("none gives none", async () => {
    expect(await sampler.with(parameters)([], base)).toEqual({
      generations: [],
      flops: 0,
      tokens: 0,
      steps: 0,
      drafted: 0,
      accepted: 0,
    });
  });

  it.each<[string, GenerationRequest, RegExp]>([
    [
      "an empty prompt",
      { prompt: [], maxNewTokens: 3, key: [1] },
      /request 0 has an empty prompt; begin it with the BOS token/,
    ],
    ["no new token", { prompt: [4], maxNewTokens: 0, key: [1] }, /request 0 asks for 0 new tokens/],
    [
      "too long",
      { prompt: [4, 5], maxNewTokens: 199, key: [1] },
      /2 prompt tokens and 199 new ones exceed the model's 200 positions/,
    ],
    [
      "an id that is none",
      { prompt: [4, undefined as unknown as number], maxNewTokens: 3, key: [1] },
      /request 0: id undefined at position 1 of the prompt .* 29 tokens/,
    ],
    [
      "an id outside the vocabulary",
      { prompt: [4, 29], maxNewTokens: 3, key: [1] },
      /request 0: id 29 .* 29 tokens/,
    ],
  ])("refuses %s", async (_name, request, message) => {
    await expect(sampler.with(parameters)([request], base)).rejects.toThrow(message);
  });

  it("replaces a row at the step after it ended: 6 steps for 6, 1, 1, 1, 1 and 1 tokens in two rows, not 8", async () => {
    const many = [6, 1, 1, 1, 1, 1].map((maxNewTokens, i) => ({ prompt: [4, 9], maxNewTokens, key: [i] }));
    const options = { sampling: { temperature: 1 }, stopIds: new Set<number>(), maxBatch: 2 };
    const { steps, tokens } = await sampler.with(parameters)(many, options);
    expect([steps, tokens]).toEqual([6, 11]);
  });

  it("holds few prompts' caches at once, and reads each prompt once", async () => {
    v8.setFlagsFromString("--expose-gc");
    const gc = vm.runInNewContext("gc") as () => void;
    const [count, length, rows] = [120, 30, 2];
    const many = Array.from({ length: count }, (_, i) => ({
      // Each begins with two digits of its own.
      prompt: Array.from(
        { length },
        (_, j) => 4 + (j === 0 ? i % 11 : j === 1 ? Math.floor(i / 11) : j % 25),
      ),
      maxNewTokens: 2,
      key: [i],
    }));
    const prefixes: WeakRef<PrefixCache>[] = [];
    const original = KvCache.prototype.prefix;
    let live = 0;
    KvCache.prototype.prefix = function (row, tokens) {
      const prefix = original.call(this, row, tokens);
      prefixes.push(new WeakRef(prefix));
      return prefix;
    };
    try {
      let sampled = 0;
      const onToken = () => {
        if (++sampled % 40 !== 39) return;
        gc();
        live = Math.max(live, prefixes.filter((ref) => ref.deref() !== undefined).length);
      };
      await sampler.with(parameters)(many, {
        sampling: { temperature: 0 },
        stopIds: new Set(),
        maxBatch: rows,
        onToken,
      });
    } finally {
      KvCache.prototype.prefix = original;
    }
    expect(prefixes.length).toBe(count);
    // Two rows take theirs, and two are next in line.
    expect(live).toBeLessThanOrEqual(2 * rows);
  });

  it("stops when asked to, and works again afterwards", async () => {
    const controller = new AbortController();
    let tokens = 0;
    const onToken = () => {
      if (++tokens === 10) controller.abort(new Error("enough"));
    };
    const request = { prompt: [4], maxNewTokens: 150, key: ["abort"] };
    const options = { ...base, stopIds: new Set<number>() };
    await expect(
      sampler.with(parameters)([request], { ...options, onToken, signal: controller.signal }),
    ).rejects.toThrow("enough");
    expect(tokens).toBe(10);
    const again = { ...request, maxNewTokens: 5 };
    expect((await sampler.with(parameters)([again], options)).generations[0].ids.length).toBe(5);
  });
});

describe("Scorer", () => {
  it("gives the sampler's log-probabilities at its temperature", async () => {
    const temperature = 0.7;
    const { generations } = await sampler.with(parameters)(requests, {
      sampling: { temperature },
      stopIds: new Set([STOP]),
    });
    const scorer = await Scorer.create(config, new Engine({ threads: 1 }));
    const rows = requests.map(({ prompt }, i) => {
      const { ids, logProbs } = generations[i];
      return {
        prompt,
        ids,
        sampled: logProbs,
      };
    });
    const seq = 40;
    const scores = await scorer.score(
      parameters,
      sequenceFeeds({ packed: rows.map((row) => [row]), seq }),
      temperature,
    );
    rows.forEach(({ prompt, sampled }, r) => {
      const start = r * seq + prompt.length - 1;
      expect(furthest(scores.slice(start, start + sampled.length), sampled)).toBeLessThan(LOG_PROB);
    });
    await scorer.release();
  });
});

// ── a model whose probabilities are known ───────────────────────────────────────────────────────────────────────────

/** One layer that adds nothing, and one-hot embeddings: a Markov chain with logits[next] = chain[current][next]. */
const chainConfig: DecoderConfig = {
  ...config,
  layers: 1,
  vocabSize: 10,
  hiddenSize: 16,
  heads: 2,
  kvHeads: 2,
  headDim: 8,
};

function chainParameters(chain: Record<number, Record<number, number>>): Map<string, HostValue> {
  const { hiddenSize: width, vocabSize } = chainConfig;
  const values = new Map(allParameters(chainConfig).map(({ name, shape }) => [name, allocate("f32", shape)]));
  for (const [name, { data }] of values) if (name.includes("norm")) (data as Float32Array).fill(1);
  const matrix = (name: string): Float32Array => values.get(name)?.data as Float32Array;
  const [table, head] = [matrix("model.embed_tokens.weight"), matrix("lm_head.weight")];
  head.fill(-60);
  for (let id = 0; id < vocabSize; id++) {
    table[id * width + id] = 1;
    // The norm makes the one-hot row sqrt(width) = 4 high.
    for (const [next, probability] of Object.entries(chain[id] ?? { [id]: 1 }))
      head[Number(next) * width + id] = Math.log(probability) / 4;
  }
  return values;
}

describe("a Markov chain with known probabilities", () => {
  const chain = chainParameters({ 4: { 4: 0.5, 7: 0.25, 9: 0.25 }, 5: { 4: 0.9, 6: 0.1 }, 6: { 5: 1 } });
  let engine: Sampler;
  beforeAll(async () => {
    engine = await Sampler.create(chainConfig, new Engine({ threads: 1 }));
  });
  afterAll(() => engine.release());

  it("is sampled with its probabilities", async () => {
    const rows = 3000;
    const many = Array.from({ length: rows }, (_, i) => ({
      prompt: [4],
      maxNewTokens: 3,
      key: ["chain", i],
    }));
    const { generations } = await engine.with(chain)(many, {
      sampling: { temperature: 1 },
      stopIds: new Set([7, 9]),
    });
    const share = (of: (ids: number[]) => boolean): number =>
      generations.filter((g) => of(g.ids)).length / rows;
    // 5 standard errors.
    for (const [text, p] of [
      ["7", 0.25],
      ["9", 0.25],
      ["4,7", 0.125],
      ["4,4,7", 0.0625],
      ["4,4,4", 0.125],
    ] as const)
      expect(Math.abs(share((ids) => ids.join() === text) - p), text).toBeLessThan(
        5 * Math.sqrt((p * (1 - p)) / rows),
      );
    for (const { ids, logProbs } of generations)
      expect(
        furthest(
          logProbs,
          ids.map((id) => Math.log(id === 4 ? 0.5 : 0.25)),
        ),
      ).toBeLessThan(1e-5);
  });

  it("A4: stop ids {7, 9}, EOS 9, completion [4, 4, 7]: ended at 7, length 3, not truncated", async () => {
    const many = Array.from({ length: 200 }, (_, i) => ({ prompt: [4], maxNewTokens: 50, key: ["A4", i] }));
    const { generations } = await engine.with(chain)(many, {
      sampling: { temperature: 1 },
      stopIds: new Set([7, 9]),
    });
    expect(generations).toContainEqual(expect.objectContaining({ ids: [4, 4, 7], finish: "stop" }));
    for (const { ids, finish } of generations) {
      expect([7, 9]).toContain(ids[ids.length - 1]);
      expect(finish).toBe("stop");
    }
  });

  it("a request's own test ends its completion, and no other's", async () => {
    const long = { prompt: [4], maxNewTokens: 6, key: ["own"] };
    const seen: number[] = [];
    const third = (id: number) => seen.push(id) === 3;
    const { generations } = await engine.with(chain)([long, { ...long, ends: third }], {
      sampling: { temperature: 1 },
      stopIds: new Set(),
    });
    const [free, ended] = generations;
    expect(free).toMatchObject({ finish: "length" });
    expect(ended).toMatchObject({ ids: free.ids.slice(0, 3), finish: "stop" });
    expect(seen).toEqual(ended.ids);
  });

  it("a stop id at the very last allowed token is a stop, not a truncation", async () => {
    const one = [{ prompt: [6], maxNewTokens: 1, key: ["last"] }];
    const generate = async (stop: number[]) =>
      (await engine.with(chain)(one, { sampling: { temperature: 1 }, stopIds: new Set(stop) }))
        .generations[0];
    expect(await generate([5])).toMatchObject({ ids: [5], finish: "stop" });
    expect(await generate([9])).toMatchObject({ ids: [5], finish: "length" });
  });
});
