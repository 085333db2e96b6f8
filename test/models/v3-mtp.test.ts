/** Drafting and continuing a sequence over a cache against the same computed over whole sequences. */
import { describe, expect, it } from "vitest";
import { MASKED } from "../../src/graph/ops/nn.ts";
import { input } from "../../src/graph/ops/source.ts";
import { Graph, sumDims, type Tensor } from "../../src/graph/tensor.ts";
import { type MtpModule, modelOf } from "../../src/models/architectures.ts";
import { parameterInputs } from "../../src/models/layers.ts";
import { causalMask } from "../../src/models/masks.ts";
import { v3Decoder } from "../../src/models/v3.ts";
import type { V3Config } from "../../src/models/v3-config.ts";
import { continueSequence, draftTokens, mtpModule } from "../../src/models/v3-mtp.ts";
import { v3Parameters } from "../../src/models/v3-parameters.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { f32, type HostValue, host, i32, scalar } from "../../src/runtime/session.ts";
import { furthest } from "../train/tiny.ts";
import { livelyV3, tinyV3 } from "./v3-tiny.ts";

const IDS = [4, 9, 21, 7, 7, 13, 2, 28, 11, 5, 16, 3];
/** Logits of order 3, sums of a hundred products in float32; the goal is 1e-4. */
const CLOSE = 2e-5;

async function evaluate(
  build: (graph: Graph) => Record<string, Tensor>,
  feeds: Record<string, HostValue>,
): Promise<Record<string, Float32Array>> {
  const graph = new Graph();
  for (const [name, tensor] of Object.entries(build(graph))) graph.output(name, tensor);
  const session = await new Engine({ threads: 1 }).session(graph, "test");
  const result = await session.run(feeds);
  await session.release();
  return Object.fromEntries(
    Object.entries(result).map(([name, value]) => [name, host(value).data as Float32Array]),
  );
}

const column = (values: readonly number[]): HostValue => i32(values, [values.length, 1]);
const counted = (from: number, count: number): number[] => Array.from({ length: count }, (_, i) => from + i);

/** Trunk and module over all of `ids` at once, without a cache. */
function whole(config: V3Config, parameters: ReadonlyMap<string, HostValue>, ids: readonly number[]) {
  const seq = ids.length;
  return evaluate(
    (graph) => {
      const traced = parameterInputs(graph, v3Parameters(config));
      const mask = input(graph, "mask", "f32", [1, 1, seq, seq]);
      const positions = input(graph, "positions", "i32", [1, seq]);
      const trunk = v3Decoder(traced, config, { ids: input(graph, "ids", "i32", [1, seq]), positions, mask });
      const next = input(graph, "next", "i32", [1, seq]);
      const further = mtpModule(traced, trunk, { next, mask });
      const cache = Object.fromEntries(trunk.cache.map((plane, layer) => [`latent.${layer}`, plane]));
      return { logits: trunk.logits, hidden: trunk.hidden, further: further.logits, ...cache };
    },
    {
      ...Object.fromEntries(parameters),
      ids: i32(ids, [1, seq]),
      // The last position has no next token: what stands there changes nothing before it.
      next: i32([...ids.slice(1), 0], [1, seq]),
      positions: i32(counted(0, seq), [1, seq]),
      mask: causalMask(seq),
    },
  );
}

/** A cache of `past` slots of which the first `filled` hold `entries`, and garbage behind them. */
function cacheOf(entries: Float32Array, filled: number, past: number, width: number): HostValue {
  const wide = new Float32Array(past * width).fill(1e3);
  wide.set(entries.subarray(0, filled * width));
  return f32(wide, [past, width]);
}

function maskOf(filled: number, past: number, rows: number): HostValue {
  const mask = new Float32Array(rows * (past + rows));
  for (let row = 0; row < rows; row++)
    for (let slot = 0; slot < past + rows; slot++)
      if (slot < past ? slot >= filled : slot - past > row) mask[row * (past + rows) + slot] = MASKED;
  return f32(mask, [rows, 1, past + rows]);
}

/** What the module caches of all pairs of `IDS`, read as one chunk over an empty cache. */
async function cachedPairs(
  config: V3Config,
  parameters: ReadonlyMap<string, HostValue>,
  hidden: Float32Array,
): Promise<Float32Array> {
  const seq = IDS.length - 1;
  const width = config.kvLoraRank + config.ropeDim;
  const { fresh } = await evaluate(
    (graph) => {
      const real = (name: string, shape: number[]) => input(graph, name, "f32", shape);
      const { fresh } = (modelOf(config).mtp as MtpModule).decode(
        parameterInputs(graph, v3Parameters(config)),
        {
          hidden: real("hidden", [1, seq, config.hiddenSize]),
          ids: input(graph, "ids", "i32", [1, seq]),
          positions: input(graph, "positions", "i32", [1, seq]),
          mask: real("mask", [1, 1, 1, 2]),
          cache: [real("cache", [1, 1, 2, width])],
          chunk: { mask: real("chunkMask", [1, 1, seq, seq]), last: input(graph, "last", "i32", [1]) },
        },
      );
      return { fresh: fresh[0] };
    },
    {
      ...Object.fromEntries(parameters),
      hidden: f32(hidden.slice(0, seq * config.hiddenSize), [1, seq, config.hiddenSize]),
      ids: i32(IDS.slice(1), [1, seq]),
      positions: i32(counted(0, seq), [1, seq]),
      mask: f32([MASKED, MASKED], [1, 1, 1, 2]),
      cache: f32(new Float32Array(2 * width), [1, 1, 2, width]),
      chunkMask: causalMask(seq),
      last: i32([0]),
    },
  );
  return fresh;
}

describe.each<[string, Partial<V3Config>]>([
  ["q-LoRA, YaRN, groups", {}],
  [
    "plain queries, no YaRN, no groups, tied",
    { queryLoraRank: null, yarn: null, groups: 1, activeGroups: 1 },
  ],
])("%s", (_label, change) => {
  const config = { ...tinyV3, ...change };
  const parameters = livelyV3(config, 5);
  const width = config.kvLoraRank + config.ropeDim;
  const [filled, past] = [7, 10];

  it.each([1, 2, 3])("%i tokens continued at once are as in the whole sequence", async (rows) => {
    const expected = await whole(config, parameters, IDS);
    const result = await evaluate(
      (graph) => {
        const { logits, hidden, fresh } = continueSequence(
          parameterInputs(graph, v3Parameters(config, { withoutMtp: true })),
          config,
          {
            ids: input(graph, "ids", "i32", [rows, 1]),
            positions: input(graph, "positions", "i32", [rows, 1]),
            cache: counted(0, config.layers).map((layer) =>
              input(graph, `past.${layer}`, "f32", ["past", width]),
            ),
            mask: input(graph, "mask", "f32", [rows, 1, sumDims(["past", rows])]),
            wanted: (all) => all,
          },
        );
        return { logits, hidden, ...Object.fromEntries(fresh.map((plane, i) => [`latent.${i}`, plane])) };
      },
      {
        ...Object.fromEntries(parameters),
        ...Object.fromEntries(
          counted(0, config.layers).map((layer) => [
            `past.${layer}`,
            cacheOf(expected[`latent.${layer}`], filled, past, width),
          ]),
        ),
        ids: column(IDS.slice(filled, filled + rows)),
        positions: column(counted(filled, rows)),
        mask: maskOf(filled, past, rows),
      },
    );
    const sizes = {
      logits: config.vocabSize,
      hidden: config.hiddenSize,
      "latent.0": width,
      "latent.1": width,
    };
    for (const [name, size] of Object.entries(sizes)) {
      const there = expected[name].subarray(filled * size, (filled + rows) * size);
      expect(furthest(result[name], there), name).toBeLessThan(CLOSE);
    }
  });

  it.each([1, 2, 3])(
    "the module over its cache gives what it gives over the sequence (%i tokens)",
    async (rows) => {
      const expected = await whole(config, parameters, IDS);
      const { mtp } = modelOf(config);
      const entries = await cachedPairs(config, parameters, expected.hidden);
      const result = await evaluate(
        (graph) => {
          const { logits, fresh } = (mtp as MtpModule).decode(parameterInputs(graph, v3Parameters(config)), {
            hidden: input(graph, "hidden", "f32", [1, "seq", config.hiddenSize]),
            ids: input(graph, "ids", "i32", [1, "seq"]),
            positions: input(graph, "positions", "i32", [1, "seq"]),
            mask: input(graph, "mask", "f32", [1, 1, 1, past]),
            cache: [input(graph, "cache", "f32", [1, 1, past, width])],
            chunk: {
              mask: input(graph, "chunkMask", "f32", [1, 1, "seq", "seq"]),
              last: input(graph, "last", "i32", [rows]),
            },
          });
          return { logits, fresh: fresh[0] };
        },
        {
          ...Object.fromEntries(parameters),
          hidden: f32(
            expected.hidden.slice(filled * config.hiddenSize, (filled + rows) * config.hiddenSize),
            [1, rows, config.hiddenSize],
          ),
          ids: i32(IDS.slice(filled + 1, filled + 1 + rows), [1, rows]),
          positions: i32(counted(filled, rows), [1, rows]),
          mask: f32(new Float32Array(past).fill(MASKED, filled), [1, 1, 1, past]),
          cache: f32(cacheOf(entries, filled, past, width).data as Float32Array, [1, 1, past, width]),
          chunkMask: causalMask(rows),
          last: i32(counted(0, rows)),
        },
      );
      const { vocabSize } = config;
      const there = expected.further.subarray(filled * vocabSize, (filled + rows) * vocabSize);
      expect(furthest(result.logits, there)).toBeLessThan(CLOSE);
      expect(furthest(result.fresh, entries.subarray(filled * width, (filled + rows) * width))).toBeLessThan(
        CLOSE,
      );
    },
  );

  it("drafts read whatever the module has not read, and the first is the module's of whole sequences", async () => {
    const known = IDS.slice(0, 9);
    const expected = await whole(config, parameters, known);
    /** The draft after all of `known`, where the module reads the last `pairs` of its 8 pairs over `cached` others. */
    const draft = async (pairs: number, cached: Float32Array, noise: Float32Array) =>
      evaluate(
        (graph) => {
          const { ids, logits, fresh } = draftTokens(parameterInputs(graph, v3Parameters(config)), config, {
            hidden: input(graph, "hidden", "f32", ["pairs", 1, config.hiddenSize]),
            next: input(graph, "next", "i32", ["pairs", 1]),
            positions: input(graph, "positions", "i32", ["pairs", 1]),
            cache: {
              past: input(graph, "module", "f32", ["past", width]),
              mask: input(graph, "mask", "f32", ["pairs", 1, sumDims(["past", "pairs"])]),
            },
            last: input(graph, "last", "i32", [1]),
            later: input(graph, "later", "i32", [3, 1]),
            scale: input(graph, "scale", "f32", []),
            noise: input(graph, "noise", "f32", [2, config.vocabSize]),
          });
          return { ids, logits, fresh };
        },
        {
          ...Object.fromEntries(parameters),
          hidden: f32(expected.hidden.slice((8 - pairs) * config.hiddenSize, 8 * config.hiddenSize), [
            pairs,
            1,
            config.hiddenSize,
          ]),
          next: column(known.slice(9 - pairs)),
          positions: column(counted(8 - pairs, pairs)),
          module: cacheOf(cached, 8 - pairs, past, width),
          mask: maskOf(8 - pairs, past, pairs),
          last: i32([pairs - 1]),
          later: column([8, 9, 10]),
          scale: scalar(1),
          noise: f32(noise, [2, config.vocabSize]),
        },
      );
    const silent = new Float32Array(2 * config.vocabSize);
    const atOnce = await draft(8, new Float32Array(), silent);
    const first = expected.further.subarray(7 * config.vocabSize, 8 * config.vocabSize);
    expect(furthest(atOnce.logits.subarray(0, config.vocabSize), first)).toBeLessThan(CLOSE);
    for (const pairs of [1, 2, 3]) {
      const later = await draft(pairs, atOnce.fresh, silent);
      expect(furthest(later.logits, atOnce.logits)).toBeLessThan(CLOSE);
      expect([...later.ids]).toEqual([...atOnce.ids]);
      expect(furthest(later.fresh, atOnce.fresh.subarray((8 - pairs) * width))).toBeLessThan(CLOSE);
    }
    // The likeliest tokens, unless the noise says otherwise.
    const likeliest = (row: number) => {
      const logits = atOnce.logits.subarray(row * config.vocabSize, (row + 1) * config.vocabSize);
      return logits.indexOf(Math.max(...logits));
    };
    expect([...atOnce.ids]).toEqual([likeliest(0), likeliest(1)]);
    const loud = silent.slice();
    loud[6] = 50;
    loud[config.vocabSize + 17] = 50;
    expect([...(await draft(2, atOnce.fresh, loud)).ids]).toEqual([6, 17]);
  });
});
