/** Every architecture of the table decodes over its planes what the whole sequence gives. */
import { describe, expect, it } from "vitest";
import { input } from "../../src/graph/ops/source.ts";
import { Graph } from "../../src/graph/tensor.ts";
import { type CachePlane, designOf, type ModelConfig } from "../../src/models/architecture.ts";
import { parameterInputs } from "../../src/models/layers.ts";
import { causalMask } from "../../src/models/masks.ts";
import { f32, type HostValue, host, i32, Session } from "../../src/runtime/session.ts";
import { livelyParameters, tinyConfig } from "../train/tiny.ts";
import { livelyV3, tinyV3 } from "./v3-tiny.ts";

const cases: [string, ModelConfig, Map<string, HostValue>][] = [
  ["dense", tinyConfig, livelyParameters(tinyConfig, 1)],
  ["DeepSeek-V3", tinyV3, livelyV3(tinyV3, 1)],
];

describe.each(cases)("%s", (_name, config, parameters) => {
  const design = designOf(config);
  const weights = Object.fromEntries(parameters);

  function traceWhole(): Graph {
    const graph = new Graph();
    const { logits, cache } = design.whole(parameterInputs(graph, design.parameters), {
      ids: input(graph, "ids", "i32", ["batch", "seq"]),
      positions: input(graph, "positions", "i32", ["batch", "seq"]),
      mask: input(graph, "mask", "f32", [1, 1, "seq", "seq"]),
    });
    graph.output("logits", logits);
    design.planes.forEach(({ name }, i) => {
      graph.output(name, cache[i]);
    });
    return graph;
  }

  function traceCached(): Graph {
    const graph = new Graph();
    const { logits, fresh } = design.cached(parameterInputs(graph, design.parameters), {
      ids: input(graph, "ids", "i32", ["batch", 1]),
      positions: input(graph, "positions", "i32", ["batch", 1]),
      mask: input(graph, "mask", "f32", ["batch", 1, 1, "past"]),
      cache: design.planes.map(({ name, heads, width }) =>
        input(graph, name, "f32", ["batch", heads, "past", width]),
      ),
    });
    graph.output("logits", logits);
    design.planes.forEach(({ name }, i) => {
      graph.output(`fresh.${name}`, fresh[i]);
    });
    return graph;
  }

  /** Puts one token of a plane [1, heads, length, width] at `position` of another. */
  function put(
    to: HostValue,
    from: HostValue,
    position: number,
    at: number,
    { heads, width }: CachePlane,
  ): void {
    const [past, length] = [to.shape[2], from.shape[2]];
    for (let head = 0; head < heads; head++) {
      const start = (head * length + at) * width;
      const values = (from.data as Float32Array).subarray(start, start + width);
      (to.data as Float32Array).set(values, (head * past + position) * width);
    }
  }

  it("greedy decoding over the cache gives the ids of greedy decoding without one", async () => {
    const whole = await Session.create(traceWhole(), { threads: 1 });
    const cached = await Session.create(traceCached(), { threads: 1 });
    const likeliest = (logits: Float32Array) => logits.indexOf(Math.max(...logits));
    const prompt = [3, 14, 1, 5];
    const run = (ids: number[]) =>
      whole.run({
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
      const { logits } = await run(slow);
      slow.push(
        likeliest((host(logits).data as Float32Array).subarray((slow.length - 1) * config.vocabSize)),
      );
    }

    const past = 24;
    const cache = Object.fromEntries(
      design.planes.map(({ name, heads, width }) => [
        name,
        f32(new Float32Array(heads * past * width), [1, heads, past, width]),
      ]),
    );
    const prefix = await run(prompt.slice(0, -1));
    for (const plane of design.planes)
      for (let i = 0; i < prompt.length - 1; i++)
        put(cache[plane.name], host(prefix[plane.name]), i, i, plane);
    const fast = [...prompt];
    while (fast.length < 20) {
      const position = fast.length - 1;
      const mask = new Float32Array(past).fill(-1e9, position);
      const result = await cached.run({
        ...weights,
        ...cache,
        ids: i32([fast[position]], [1, 1]),
        positions: i32([position], [1, 1]),
        mask: f32(mask, [1, 1, 1, past]),
      });
      for (const plane of design.planes)
        put(cache[plane.name], host(result[`fresh.${plane.name}`]), position, 0, plane);
      fast.push(likeliest(host(result.logits).data as Float32Array));
    }
    expect(fast).toEqual(slow);
    expect(new Set(fast).size).toBeGreaterThan(3);
    await whole.release();
    await cached.release();
  });
});

it("V3 keeps latent + rope numbers a token and layer, as the paper counts them (section 2.1.1)", () => {
  const numbers = designOf(tinyV3).planes.reduce((sum, { heads, width }) => sum + heads * width, 0);
  expect(numbers).toBe(tinyV3.layers * (tinyV3.kvLoraRank + tinyV3.ropeDim));
  expect(designOf(tinyV3).further.every(({ name }) => name.startsWith("model.layers.2."))).toBe(true);
});
