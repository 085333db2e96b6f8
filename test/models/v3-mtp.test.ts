/** The MTP module over its cache against the same computed over sequences from their beginning. */
import { describe, expect, it } from "vitest";
import { MASKED } from "../../src/graph/ops/nn.ts";
import { input } from "../../src/graph/ops/source.ts";
import { Graph, type Tensor } from "../../src/graph/tensor.ts";
import { allParameters, type MtpModule, modelOf } from "../../src/models/architectures.ts";
import { parameterInputs } from "../../src/models/layers.ts";
import { causalMask } from "../../src/models/masks.ts";
import type { V3Config } from "../../src/models/v3-config.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { f32, type HostValue, host, i32 } from "../../src/runtime/session.ts";
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

const counted = (from: number, count: number): number[] => Array.from({ length: count }, (_, i) => from + i);

/** Trunk and module over all of `ids` at once, without a cache. */
function whole(config: V3Config, parameters: ReadonlyMap<string, HostValue>, ids: readonly number[]) {
  const seq = ids.length;
  return evaluate(
    (graph) => {
      const traced = parameterInputs(graph, allParameters(config));
      const mask = input(graph, "mask", "f32", [1, 1, seq, seq]);
      const positions = input(graph, "positions", "i32", [1, seq]);
      const trunk = modelOf(config).forward(traced, {
        ids: input(graph, "ids", "i32", [1, seq]),
        positions,
        mask,
      });
      const next = input(graph, "next", "i32", [1, seq]);
      const pairs = { ids: next, hidden: trunk.hidden, positions, mask };
      const module = (modelOf(config).mtp as MtpModule).forward(traced, pairs);
      const cache = Object.fromEntries(trunk.cache.map((cached, layer) => [`latent.${layer}`, cached]));
      return { logits: trunk.logits, hidden: trunk.hidden, mtp: module.logits, ...cache };
    },
    {
      ...Object.fromEntries(parameters),
      ids: i32(ids, [1, seq]),
      // The last position has no next token: its value changes nothing before it.
      next: i32([...ids.slice(1), 0], [1, seq]),
      positions: i32(counted(0, seq), [1, seq]),
      mask: causalMask(seq),
    },
  );
}

/** A cache of `past` slots of which the first `filled` hold `entries`, and garbage after them. */
function cacheOf(entries: Float32Array, filled: number, past: number, width: number): HostValue {
  const wide = new Float32Array(past * width).fill(1e3);
  wide.set(entries.subarray(0, filled * width));
  return f32(wide, [past, width]);
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
      const { newCache } = (modelOf(config).mtp as MtpModule).decode(
        parameterInputs(graph, allParameters(config)),
        {
          hidden: real("hidden", [1, seq, config.hiddenSize]),
          ids: input(graph, "ids", "i32", [1, seq]),
          positions: input(graph, "positions", "i32", [1, seq]),
          mask: real("mask", [1, 1, 1, 2]),
          cache: [real("cache", [1, 1, 2, width])],
          chunk: { mask: real("chunkMask", [1, 1, seq, seq]), last: input(graph, "last", "i32", [1]) },
        },
      );
      return { fresh: newCache[0] };
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

  it.each([1, 2, 3])(
    "the module over its cache gives what it gives over the sequence (%i tokens)",
    async (rows) => {
      const expected = await whole(config, parameters, IDS);
      const { mtp } = modelOf(config);
      const entries = await cachedPairs(config, parameters, expected.hidden);
      const result = await evaluate(
        (graph) => {
          const { logits, newCache } = (mtp as MtpModule).decode(
            parameterInputs(graph, allParameters(config)),
            {
              hidden: input(graph, "hidden", "f32", [1, "seq", config.hiddenSize]),
              ids: input(graph, "ids", "i32", [1, "seq"]),
              positions: input(graph, "positions", "i32", [1, "seq"]),
              mask: input(graph, "mask", "f32", [1, 1, 1, past]),
              cache: [input(graph, "cache", "f32", [1, 1, past, width])],
              chunk: {
                mask: input(graph, "chunkMask", "f32", [1, 1, "seq", "seq"]),
                last: input(graph, "last", "i32", [rows]),
              },
            },
          );
          return { logits, fresh: newCache[0] };
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
      const there = expected.mtp.subarray(filled * vocabSize, (filled + rows) * vocabSize);
      expect(furthest(result.logits, there)).toBeLessThan(CLOSE);
      expect(furthest(result.fresh, entries.subarray(filled * width, (filled + rows) * width))).toBeLessThan(
        CLOSE,
      );
    },
  );
});
