/** DeepSeek-V3's fast forms against their slow twins, and what routing must not depend on. */

import { describe, expect, it } from "vitest";
import type { LanguageModelBatch } from "../../src/data/packing.ts";
import { input } from "../../src/graph/ops/source.ts";
import { Graph, type Tensor } from "../../src/graph/tensor.ts";
import { Random } from "../../src/lib/random.ts";
import { allParameters, modelOf } from "../../src/models/architectures.ts";
import { parameterInputs } from "../../src/models/layers.ts";
import { loadName } from "../../src/models/loss.ts";
import { causalMask } from "../../src/models/masks.ts";
import { balanceLoss, router } from "../../src/models/moe.ts";
import type { V3Config } from "../../src/models/v3-config.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { allocate, f32, type HostValue, host, i32 } from "../../src/runtime/session.ts";
import { batchFeeds, languageModelLoss, mtpFeeds } from "../../src/train/language-model.ts";
import { createTrainStep } from "../../src/train/step.ts";
import { traceAccumulation } from "../../src/train/trace-step.ts";
import { numbersOf } from "../support/parameters.ts";
import { adamW, copyValues, furthest, tinyContext, updateBy } from "../train/tiny.ts";
import { livelyV3, tinyV3 } from "./v3-tiny.ts";

const [batch, seq] = [3, 10];

function someBatch(seed: number): LanguageModelBatch {
  const random = new Random(seed, "batch");
  const ids = Int32Array.from({ length: batch * seq }, () => Math.floor(random.uniform() * tinyV3.vocabSize));
  const targets = Int32Array.from(ids, (_, i) => ids[(i + 1) % ids.length]);
  return { ids, targets, weights: new Float32Array(batch * seq).fill(1 / (batch * seq)), batch, seq };
}
const feedsOf = (one: LanguageModelBatch): Record<string, HostValue> => ({
  ...batchFeeds(one),
  ...mtpFeeds(one),
});

async function evaluate(
  build: (graph: Graph) => Record<string, Tensor>,
  feeds: Record<string, HostValue>,
): Promise<Record<string, HostValue>> {
  const graph = new Graph();
  for (const [name, tensor] of Object.entries(build(graph))) graph.output(name, tensor);
  const session = await new Engine({ threads: 1 }).session(graph, "test");
  const result = await session.run(feeds);
  await session.release();
  return Object.fromEntries(Object.entries(result).map(([name, value]) => [name, host(value)]));
}

function wholeSequence(
  config: V3Config,
  parameters: ReadonlyMap<string, HostValue>,
  feeds: Record<string, HostValue>,
) {
  return evaluate(
    (graph) => {
      const traced = parameterInputs(graph, modelOf(config).parameters);
      const { logits, cache } = modelOf(config).forward(traced, {
        ids: input(graph, "ids", "i32", ["batch", "seq"]),
        positions: input(graph, "positions", "i32", ["batch", "seq"]),
        mask: input(graph, "mask", "f32", [1, 1, "seq", "seq"]),
      });
      return { logits, ...Object.fromEntries(cache.map((plane, layer) => [`latent.${layer}`, plane])) };
    },
    { ...Object.fromEntries(parameters), ...feeds },
  );
}

const VARIANTS: [string, Partial<V3Config>][] = [
  ["q-LoRA, YaRN, groups", {}],
  ["plain queries, no YaRN, no groups", { queryLoraRank: null, yarn: null, groups: 1, activeGroups: 1 }],
  ["one head, all layers routed, weights as they are", { heads: 1, denseLayers: 0, normaliseWeights: false }],
  ["tied, dense layers only", { tieEmbeddings: true, denseLayers: 2 }],
];

describe.each(VARIANTS)("absorbed and expanded attention agree: %s", (_label, change) => {
  const config = { ...tinyV3, mtpLayers: 0, ...change };
  const parameters = livelyV3(config, 3);
  const width = config.kvLoraRank + config.ropeDim;

  it("one cached token gives what the whole sequence gives at its end, for rows of different lengths", async () => {
    const feeds: Record<string, HostValue> = { ...feedsOf(someBatch(1)), mask: causalMask(seq) };
    const everything = await wholeSequence(config, parameters, feeds);
    // Row r has r + 5 tokens in the cache and reads the next one; what lies behind is garbage that the mask hides.
    const past = 12;
    const lengths = [5, 6, 7];
    const mask = new Float32Array(batch * past);
    lengths.forEach((length, row) => {
      mask.fill(-1e9, row * past + length, (row + 1) * past);
    });
    const cached: Record<string, HostValue> = {};
    for (let layer = 0; layer < config.layers; layer++) {
      const wide = new Float32Array(batch * past * width).fill(1e3);
      const source = everything[`latent.${layer}`];
      expect(source.shape).toEqual([batch, 1, seq, width]);
      lengths.forEach((length, row) => {
        const from = (source.data as Float32Array).subarray(row * seq * width, (row * seq + length) * width);
        wide.set(from, row * past * width);
      });
      cached[`latent.${layer}`] = f32(wide, [batch, 1, past, width]);
    }
    const ids = feeds.ids.data as Int32Array;
    const result = await evaluate(
      (graph) => {
        const traced = parameterInputs(graph, allParameters(config));
        const { logits, newCache } = modelOf(config).decode(traced, {
          ids: input(graph, "ids", "i32", ["batch", 1]),
          positions: input(graph, "positions", "i32", ["batch", 1]),
          mask: input(graph, "mask", "f32", ["batch", 1, 1, "past"]),
          cache: Array.from({ length: config.layers }, (_, layer) =>
            input(graph, `latent.${layer}`, "f32", ["batch", 1, "past", width]),
          ),
        });
        return { logits, ...Object.fromEntries(newCache.map((added, layer) => [`fresh.${layer}`, added])) };
      },
      {
        ...Object.fromEntries(parameters),
        ...cached,
        ids: i32(
          lengths.map((length, row) => ids[row * seq + length]),
          [batch, 1],
        ),
        positions: i32(lengths, [batch, 1]),
        mask: f32(mask, [batch, 1, 1, past]),
      },
    );
    const rowOf = (value: HostValue, at: number, size: number) =>
      (value.data as Float32Array).subarray(at * size, (at + 1) * size);
    lengths.forEach((length, row) => {
      const at = row * seq + length;
      const { vocabSize } = config;
      // Logits are of the order of 3; both forms sum a hundred products in float32.
      expect(
        furthest(rowOf(result.logits, row, vocabSize), rowOf(everything.logits, at, vocabSize)),
      ).toBeLessThan(2e-5);
      for (let layer = 0; layer < config.layers; layer++)
        expect(
          furthest(
            rowOf(result[`fresh.${layer}`], row, width),
            rowOf(everything[`latent.${layer}`], at, width),
          ),
        ).toBeLessThan(1e-5);
    });
  });
});

describe("routing", () => {
  it.each([1, 2, 3, 4, 5, 6])(
    "a permutation of experts changes nothing but their names (%i)",
    async (seed) => {
      const config = { ...tinyV3, mtpLayers: 0 };
      const parameters = livelyV3(config, seed);
      // Groups of two change places, and so do the members of each.
      const random = new Random(seed, "permutation");
      const renamed = random
        .shuffle([0, 1, 2, 3])
        .flatMap((pair) => random.shuffle([2 * pair, 2 * pair + 1]));
      const permuted = copyValues(parameters);
      for (const [name, value] of parameters) {
        const expert = /^(.*mlp\.experts\.)(\d+)(\..*)$/.exec(name);
        if (expert !== null)
          permuted.set(`${expert[1]}${renamed.indexOf(Number(expert[2]))}${expert[3]}`, value);
        if (!/mlp\.gate\.(weight|e_score_correction_bias)$/.test(name)) continue;
        const row = value.data.length / config.experts;
        renamed.forEach((old, now) => {
          const source = (value.data as Float32Array).subarray(old * row, (old + 1) * row);
          (permuted.get(name) as HostValue as { data: Float32Array }).data.set(source, now * row);
        });
      }
      const feeds = feedsOf(someBatch(2));
      const [a, b] = [
        await wholeSequence(config, parameters, feeds),
        await wholeSequence(config, permuted, feeds),
      ];
      expect(furthest(a.logits.data as Float32Array, b.logits.data as Float32Array)).toBeLessThan(5e-6);
    },
  );

  /** Scores are sigmoid(u) where the gate is the identity. */
  async function choose(config: Partial<V3Config>, affinities: number[], bias: number[]) {
    const experts = affinities.length;
    const logits = affinities.map((s) => Math.log(s / (1 - s)));
    const identity = Float32Array.from({ length: experts ** 2 }, (_, i) => (i % (experts + 1) === 0 ? 1 : 0));
    const { choices, weights } = await evaluate(
      (graph) => {
        const { choices, weights } = router(
          input(graph, "u", "f32", [1, experts]),
          input(graph, "gate", "f32", [experts, experts]),
          input(graph, "bias", "f32", [experts]),
          { ...tinyV3, experts, ...config },
        );
        return { choices, weights };
      },
      {
        u: f32(logits, [1, experts]),
        gate: f32(identity, [experts, experts]),
        bias: f32(bias, [experts]),
      },
    );
    return {
      choices: Array.from(choices.data as unknown as BigInt64Array, Number),
      weights: Array.from(weights.data as Float32Array),
    };
  }

  it("a group is worth its best two, and experts of other groups are out even where all scores are negative", async () => {
    // The best expert, 0, stands in a weak group: 0.9 + 0.1 < 0.6 + 0.6.
    const affinities = [0.9, 0.1, 0.6, 0.6, 0.3, 0.2, 0.2, 0.2];
    const groups = { groups: 4, activeGroups: 1, activeExperts: 2 };
    const low = await choose(groups, affinities, new Array(8).fill(-5));
    expect(low.choices.sort()).toEqual([2, 3]);
    // Without groups it is chosen.
    const free = await choose(
      { groups: 1, activeGroups: 1, activeExperts: 1 },
      affinities,
      new Array(8).fill(-5),
    );
    expect(free.choices).toEqual([0]);
  });

  it("the bias decides who is chosen and not with what weight", async () => {
    const bias = [0, 0, 0, 0, 0, 0, 0, 0.7];
    const options = { groups: 1, activeGroups: 1, activeExperts: 2, routedScale: 2.5 };
    const { choices, weights } = await choose(options, [0.5, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.3], bias);
    expect(choices).toEqual([7, 0]);
    expect(weights[0]).toBeCloseTo((2.5 * 0.3) / 0.8, 5);
    expect(weights[1]).toBeCloseTo((2.5 * 0.5) / 0.8, 5);
  });

  it("an expert without tokens computes nothing and has a gradient of exact zeros", async () => {
    const config = { ...tinyV3, mtpLayers: 0 };
    const parameters = livelyV3(config, 5);
    const bias = "model.layers.1.mlp.gate.e_score_correction_bias";
    // Group 3 is never chosen.
    parameters.get(bias)?.data.fill(-9 as never, 6, 8);
    const specs = allParameters(config);
    const graph = traceAccumulation(
      specs,
      languageModelLoss(config, { batch, seq, mask: "shared" }, { balanceFactor: 0, mtpFactor: 0 }),
    );
    const session = await new Engine({ threads: 1 }).session(graph, "test");
    const sums = specs.map(({ name, shape }) => [`${name}.sum`, allocate("f32", shape)]);
    const feeds = {
      ...Object.fromEntries(parameters),
      ...Object.fromEntries(sums),
      ...feedsOf(someBatch(1)),
    };
    // Twice, so that memory is dirty.
    await session.run(feeds);
    const result = await session.run(feeds);
    for (const expert of [6, 7])
      for (const part of ["gate", "up", "down"]) {
        const gradient = result[`model.layers.1.mlp.experts.${expert}.${part}_proj.weight.sum.next`];
        expect(host(gradient).data.length).toBeGreaterThan(0);
        expect((host(gradient).data as Float32Array).every((g) => g === 0)).toBe(true);
      }
    expect([...(host(result[`${bias}.sum.next`]).data as Float32Array).subarray(6)]).toEqual([0, 0]);
    await session.release();
  });

  it("the balance loss is 1 for even affinities and choices, and larger for uneven ones", async () => {
    const config = { ...tinyV3, experts: 4, activeExperts: 1 };
    const lossOf = async (scores: number[][]) => {
      const rows = scores.length;
      const { loss } = await evaluate(
        (graph) => ({ loss: balanceLoss(input(graph, "scores", "f32", [rows, 4]), 1, rows, config) }),
        { scores: f32(scores.flat(), [rows, 4]) },
      );
      return loss.data[0];
    };
    const row = (best: number, high: number) =>
      Array.from({ length: 4 }, (_, i) => (i === best ? high : 0.2));
    // Each expert is best once; P is 1/4 each: sum of 1 · 1/4.
    expect(await lossOf([0, 1, 2, 3].map((best) => row(best, 0.4)))).toBeCloseTo(1, 6);
    // All tokens choose expert 0: f = 4, P = 0.4 / 1.0.
    expect(await lossOf([0, 0, 0, 0].map((best) => row(best, 0.4)))).toBeCloseTo(1.6, 6);
  });
});

describe("training", () => {
  const specs = allParameters(tinyV3);
  const shape = { batch, seq, mask: "shared" as const };
  const options = { balanceFactor: 1e-3, mtpFactor: 0.3 };
  const bias = "model.layers.1.mlp.gate.e_score_correction_bias";

  it("moves a router's bias by γ against the load, and leaves it alone otherwise", async () => {
    const start = livelyV3(tinyV3, 6);
    const before = Float32Array.from(start.get(bias)?.data as Float32Array);
    const step = await createTrainStep(
      specs,
      copyValues(start),
      languageModelLoss(tinyV3, shape, options),
      adamW,
      {
        engine: tinyContext.engine,
        accumulate: true,
      },
    );
    const micro = [someBatch(1), someBatch(2)];
    const halves = micro.map((one) => feedsOf({ ...one, weights: one.weights.map((w) => w / 2) }));
    await step.update(halves, { lr: 1e-3, muonLr: 0, biasRate: 0.25 });
    const after = numbersOf(step.parameters().get(bias));
    // The load of both micro-batches, counted apart.
    const load = new Float64Array(tinyV3.experts);
    const graph = new Graph();
    const { routing } = modelOf(tinyV3).forward(parameterInputs(graph, specs), {
      ids: input(graph, "ids", "i32", [batch, seq]),
      positions: input(graph, "positions", "i32", [batch, seq]),
      mask: input(graph, "mask", "f32", [1, 1, seq, seq]),
    });
    graph.output("load", routing[0].load);
    const session = await new Engine({ threads: 1 }).session(graph, "test");
    for (const one of micro) {
      const { load: counts } = await session.run({ ...Object.fromEntries(start), ...feedsOf(one) });
      host(counts).data.forEach((count, e) => {
        load[e] += Number(count);
      });
    }
    const mean = (2 * batch * seq * tinyV3.activeExperts) / tinyV3.experts;
    const moves = Array.from(after, (value, e) => value - before[e]);
    expect(load.some((l) => l > mean) && load.some((l) => l < mean)).toBe(true);
    moves.forEach((move, e) => {
      expect(move, `load ${load[e]}`).toBeCloseTo(0.25 * Math.sign(mean - load[e]), 6);
    });
    expect([...step.moments().keys()].some((name) => name.startsWith(bias))).toBe(false);
    await session.release();
    await step.release();
  });

  it("lowers all three losses, with one fused step as with accumulation", async () => {
    const fused = await createTrainStep(
      specs,
      copyValues(livelyV3(tinyV3, 7)),
      languageModelLoss(tinyV3, shape, options),
      adamW,
      { engine: tinyContext.engine },
    );
    const split = await createTrainStep(
      specs,
      copyValues(livelyV3(tinyV3, 7)),
      languageModelLoss(tinyV3, shape, options),
      adamW,
      { engine: tinyContext.engine, accumulate: true },
    );
    const feeds = feedsOf(someBatch(3));
    const history: Readonly<Record<string, number>>[] = [];
    let vectors: ReadonlyMap<string, Float32Array> = new Map();
    for (let i = 0; i < 30; i++) {
      const { measured } = await fused.update([feeds], { lr: 1e-2, muonLr: 0 });
      history.push(measured[0].scalars);
      vectors = measured[0].vectors;
      const result = await updateBy(split, feeds, { lr: 1e-2, muonLr: 0 });
      if (i < 5) expect(Math.abs(result.loss - history[i].loss)).toBeLessThan(1e-4);
    }
    const [first, last] = [history[0], history[29]];
    expect(last["cross-entropy"]).toBeLessThan(0.3 * first["cross-entropy"]);
    expect(last["mtp-cross-entropy"]).toBeLessThan(0.5 * first["mtp-cross-entropy"]);
    // Every token of both layers is with its two experts.
    for (const layer of [1, 2])
      expect(vectors.get(loadName(layer))?.reduce((a, b) => a + b)).toBe(batch * seq * tinyV3.activeExperts);
    await fused.release();
    await split.release();
  });
});
