/** Every architecture of the table decodes over its cache what it gives for the sequence from its beginning. */
import { describe, expect, it } from "vitest";
import { MASKED } from "../../src/graph/ops/nn.ts";
import { input } from "../../src/graph/ops/source.ts";
import { Graph } from "../../src/graph/tensor.ts";
import { type CacheLayer, type ModelConfig, modelOf } from "../../src/models/architectures.ts";
import { parameterInputs } from "../../src/models/layers.ts";
import { causalMask } from "../../src/models/masks.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { f32, type HostValue, host, i32, type Session } from "../../src/runtime/session.ts";
import { furthest, livelyParameters, tinyConfig } from "../train/tiny.ts";
import { livelyV3, tinyV3 } from "./v3-tiny.ts";

const cases: [string, ModelConfig, Map<string, HostValue>][] = [
  ["dense", tinyConfig, livelyParameters(tinyConfig, 1)],
  ["DeepSeek-V3", tinyV3, livelyV3(tinyV3, 1)],
];

async function run(session: Session, feeds: Record<string, HostValue>): Promise<Record<string, HostValue>> {
  const outputs = Object.entries(await session.run(feeds));
  return Object.fromEntries(outputs.map(([name, value]) => [name, host(value)]));
}

describe.each(cases)("%s", (_name, config, parameters) => {
  const model = modelOf(config);
  const weights = Object.fromEntries(parameters);

  function traceWhole(): Graph {
    const graph = new Graph();
    const { logits, cache } = model.forward(parameterInputs(graph, model.parameters), {
      ids: input(graph, "ids", "i32", ["batch", "seq"]),
      positions: input(graph, "positions", "i32", ["batch", "seq"]),
      mask: input(graph, "mask", "f32", [1, 1, "seq", "seq"]),
    });
    graph.output("logits", logits);
    model.cacheLayers.forEach(({ name }, i) => {
      graph.output(name, cache[i]);
    });
    return graph;
  }

  /** With one token a row, or with chunks. */
  function traceCached(seq: 1 | "seq"): Graph {
    const graph = new Graph();
    const { logits, hidden, newCache } = model.decode(parameterInputs(graph, model.parameters), {
      ids: input(graph, "ids", "i32", ["batch", seq]),
      positions: input(graph, "positions", "i32", ["batch", seq]),
      mask: input(graph, "mask", "f32", ["batch", 1, 1, "past"]),
      cache: model.cacheLayers.map(({ name, heads, width }) =>
        input(graph, name, "f32", ["batch", heads, "past", width]),
      ),
      ...(seq === "seq" && {
        chunk: {
          mask: input(graph, "chunkMask", "f32", [1, 1, "seq", "seq"]),
          last: input(graph, "last", "i32", ["wanted"]),
        },
      }),
    });
    graph.output("logits", logits);
    graph.output("hidden", hidden);
    model.cacheLayers.forEach(({ name }, i) => {
      graph.output(`fresh.${name}`, newCache[i]);
    });
    return graph;
  }

  /** One row of a batch. */
  const rowOf = ({ data, shape }: HostValue, row: number): HostValue => {
    const size = data.length / shape[0];
    return f32((data as Float32Array).subarray(row * size, (row + 1) * size), [1, ...shape.slice(1)]);
  };

  /** Puts one token of a layer [1, heads, length, width] at `position` of another. */
  function put(
    to: HostValue,
    from: HostValue,
    position: number,
    at: number,
    { heads, width }: CacheLayer,
  ): void {
    const [past, length] = [to.shape[2], from.shape[2]];
    for (let head = 0; head < heads; head++) {
      const start = (head * length + at) * width;
      const values = (from.data as Float32Array).subarray(start, start + width);
      (to.data as Float32Array).set(values, (head * past + position) * width);
    }
  }

  it("greedy decoding over the cache gives the ids of greedy decoding without one", async () => {
    const whole = await new Engine({ threads: 1 }).session(traceWhole(), "test");
    const cached = await new Engine({ threads: 1 }).session(traceCached(1), "test");
    const likeliest = (logits: Float32Array) => logits.indexOf(Math.max(...logits));
    const prompt = [3, 14, 1, 5];
    const readWhole = (ids: number[]) =>
      run(whole, {
        ...weights,
        ids: i32(ids, [1, ids.length]),
        positions: i32(
          ids.map((_, i) => i),
          [1, ids.length],
        ),
        mask: causalMask(ids.length),
      });
    const slow = [...prompt];
    while (slow.length < 20) {
      const { logits } = await readWhole(slow);
      slow.push(likeliest((logits.data as Float32Array).subarray((slow.length - 1) * config.vocabSize)));
    }

    const past = 24;
    const cache = Object.fromEntries(
      model.cacheLayers.map(({ name, heads, width }) => [
        name,
        f32(new Float32Array(heads * past * width), [1, heads, past, width]),
      ]),
    );
    const prefix = await readWhole(prompt.slice(0, -1));
    for (const layer of model.cacheLayers)
      for (let i = 0; i < prompt.length - 1; i++) put(cache[layer.name], prefix[layer.name], i, i, layer);
    const fast = [...prompt];
    while (fast.length < 20) {
      const position = fast.length - 1;
      const mask = new Float32Array(past).fill(-1e9, position);
      const result = await run(cached, {
        ...weights,
        ...cache,
        ids: i32([fast[position]], [1, 1]),
        positions: i32([position], [1, 1]),
        mask: f32(mask, [1, 1, 1, past]),
      });
      for (const layer of model.cacheLayers)
        put(cache[layer.name], result[`fresh.${layer.name}`], position, 0, layer);
      fast.push(likeliest(result.logits.data as Float32Array));
    }
    expect(fast).toEqual(slow);
    expect(new Set(fast).size).toBeGreaterThan(3);
    await whole.release();
    await cached.release();
  });

  it("a chunk over the cache gives what the sequence gives from its beginning, and what one token at a time gives", async () => {
    const whole = await new Engine({ threads: 1 }).session(traceWhole(), "test");
    const chunked = await new Engine({ threads: 1 }).session(traceCached("seq"), "test");
    const single = await new Engine({ threads: 1 }).session(traceCached(1), "test");
    const [batch, length, past, seq] = [3, 9, 12, 4];
    // Row r has filled[r] tokens in the cache and reads the next four; garbage lies behind them.
    const filled = [5, 2, 0];
    const ids = Int32Array.from(
      { length: batch * length },
      (_, i) => (i * i * 7 + 3 * i + 1) % config.vocabSize,
    );
    const everything = await run(whole, {
      ...weights,
      ids: i32(ids, [batch, length]),
      positions: i32(
        Array.from(ids, (_, i) => i % length),
        [batch, length],
      ),
      mask: causalMask(length),
    });
    const cacheFeeds = (counts: readonly number[]) =>
      Object.fromEntries(
        model.cacheLayers.map((layer) => {
          const { name, heads, width } = layer;
          const value = f32(new Float32Array(batch * heads * past * width).fill(1e3), [
            batch,
            heads,
            past,
            width,
          ]);
          counts.forEach((count, row) => {
            for (let at = 0; at < count; at++)
              put(rowOf(value, row), rowOf(everything[name], row), at, at, layer);
          });
          return [name, value];
        }),
      );
    const feedsAt = (counts: readonly number[], tokens: number) => {
      const each = counts.flatMap((count) => Array.from({ length: tokens }, (_, i) => count + i));
      const mask = new Float32Array(batch * past);
      counts.forEach((count, row) => {
        mask.fill(MASKED, row * past + count, (row + 1) * past);
      });
      return {
        ...weights,
        ...cacheFeeds(counts),
        ids: i32(
          each.map((position, i) => ids[Math.floor(i / tokens) * length + position]),
          [batch, tokens],
        ),
        positions: i32(each, [batch, tokens]),
        mask: f32(mask, [batch, 1, 1, past]),
      };
    };
    const chosen = [3, 0, 2];
    const result = await run(chunked, {
      ...feedsAt(filled, seq),
      chunkMask: causalMask(seq),
      last: i32(chosen),
    });
    const { vocabSize, hiddenSize } = config;
    const part = (value: HostValue, at: number, size: number) =>
      (value.data as Float32Array).subarray(at * size, (at + 1) * size);
    expect(result.logits.shape).toEqual([chosen.length * batch, vocabSize]);
    for (const [i, token] of chosen.entries()) {
      const alone = await run(
        single,
        feedsAt(
          filled.map((count) => count + token),
          1,
        ),
      );
      for (const [row, count] of filled.entries()) {
        const logits = part(result.logits, i * batch + row, vocabSize);
        const position = row * length + count + token;
        // Logits of order 3; each form sums about a hundred products in float32.
        expect(furthest(logits, part(everything.logits, position, vocabSize))).toBeLessThan(2e-5);
        expect(furthest(logits, part(alone.logits, row, vocabSize))).toBeLessThan(2e-5);
        const hidden = part(result.hidden, row * seq + token, hiddenSize);
        expect(furthest(hidden, part(alone.hidden, row, hiddenSize))).toBeLessThan(2e-5);
      }
    }
    for (const { name, heads, width } of model.cacheLayers)
      for (const [row, count] of filled.entries())
        for (let head = 0; head < heads; head++)
          for (let i = 0; i < seq; i++) {
            const [fresh, expected] = [result[`fresh.${name}`], everything[name]];
            const added = part(fresh, (row * heads + head) * seq + i, width);
            const there = part(expected, (row * heads + head) * length + count + i, width);
            expect(furthest(added, there), name).toBeLessThan(1e-5);
          }
    for (const session of [whole, chunked, single]) await session.release();
  });
});

it("V3 keeps latent + rope numbers a token and layer, as the paper counts them (section 2.1.1)", () => {
  const numbers = modelOf(tinyV3).cacheLayers.reduce((sum, { heads, width }) => sum + heads * width, 0);
  expect(numbers).toBe(tinyV3.layers * (tinyV3.kvLoraRank + tinyV3.ropeDim));
  expect(modelOf(tinyV3).mtp?.parameters.every(({ name }) => name.startsWith("model.layers.2."))).toBe(true);
});
