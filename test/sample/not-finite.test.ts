/** Logits that are not finite numbers: an error that says where, and nothing of them is left. */
import { describe, expect, it } from "vitest";
import { sourceOf } from "../../src/checkpoint/weights.ts";
import { Random } from "../../src/runtime/random.ts";
import { RuntimeError, type Value } from "../../src/runtime/session.ts";
import { Sampler } from "../../src/sample/engine.ts";
import { generateNaively } from "../../src/sample/naive.ts";
import { drawFor, LogitsError, sampleToken } from "../../src/sample/sampler.ts";
import { SpeculativeSampler } from "../../src/sample/speculative.ts";
import { verifyDraft } from "../../src/sample/verify.ts";
import { livelyV3, tinyV3 } from "../models/v3-tiny.ts";
import { livelyParameters, tinyConfig } from "../train/tiny.ts";

const { NaN: none, POSITIVE_INFINITY: high, NEGATIVE_INFINITY: low } = Number;

describe("a row of logits", () => {
  it.each<[string, number[], string]>([
    ["NaN first", [none, 1, 2], "that of id 0 is NaN"],
    ["NaN last", [0, 1, none], "that of id 2 is NaN"],
    ["+∞", [0, high, 2], "that of id 1 is Infinity"],
    ["nothing but -∞", [low, low, low], "all are -Infinity"],
  ])("%s", (_name, row, found) => {
    // The row stands between two others.
    const logits = Float32Array.from([5, 6, 7, ...row, 8, 9, 10]);
    for (const options of [
      { temperature: 0 },
      { temperature: 0.7 },
      { temperature: 1, topK: 2 },
      { temperature: 1, topP: 0.5 },
    ]) {
      const draw = () => sampleToken(logits, 3, 3, options, new Random(1));
      expect(draw).toThrow(LogitsError);
      expect(draw).toThrow(RuntimeError);
      expect(draw).toThrow(`a row: the model's logits are not finite numbers: ${found}.`);
    }
  });

  it("the weights of a graph say so too", () => {
    const logits = Float32Array.of(1, 2);
    const draw = (weights: Float32Array) => () =>
      sampleToken(logits, 0, 2, { temperature: 1e-30 }, new Random(1), weights);
    expect(draw(Float32Array.of(none, none))).toThrow("divided by the temperature they overflow");
    expect(draw(Float32Array.of(0, 1))).not.toThrow();
  });

  it("some of -∞ are tokens that are never drawn", () => {
    for (let seed = 0; seed < 20; seed++)
      expect(sampleToken(Float32Array.of(low, 1, low), 0, 3, { temperature: 1 }, new Random(seed))).toEqual({
        id: 1,
        logProb: 0,
      });
  });

  it("a draft's and a target's", () => {
    const fine = Float32Array.of(1, 2, 3);
    const bad = Float32Array.of(1, none, 3);
    const weights = (row: Float32Array) => row.map((x) => Math.exp(x - 3));
    const verify = (target: Float32Array, draft: Float32Array) => () =>
      verifyDraft(
        { logits: target, weights: weights(target), offset: 0, vocabSize: 3 },
        { id: 2, logits: draft, offset: 0 },
        { temperature: 1 },
        new Random(1),
      );
    expect(verify(fine, fine)).not.toThrow();
    expect(verify(bad, fine)).toThrow("that of id 1 is NaN");
    expect(verify(fine, bad)).toThrow("that of id 1 is NaN");
  });

  it("says whose they are, and lets other errors pass", () => {
    const draw = () => {
      throw new LogitsError("that of id 5 is NaN");
    };
    expect(() => drawFor(3, 17, 42, draw)).toThrow(
      "request 3, new token 17 (position 42): the model's logits are not finite numbers: that of id 5 is NaN.",
    );
    const other = new Error("other");
    expect(() =>
      drawFor(3, 17, 42, () => {
        throw other;
      }),
    ).toThrow(other);
    expect(drawFor(3, 17, 42, () => 7)).toBe(7);
  });
});

/** Token 13 of the vocabulary is a row of NaN. */
function spoilt(parameters: Map<string, Value>, width: number): Map<string, Value> {
  const name = "model.embed_tokens.weight";
  const table = parameters.get(name) as Value;
  const data = (table.data as Float32Array).slice().fill(none, 13 * width, 14 * width);
  return new Map(parameters).set(name, { ...table, data });
}

const config = { ...tinyConfig, maxPositions: 200 };
const parameters = spoilt(livelyParameters(config, 7), config.width);
const v3 = { ...tinyV3, maxPositions: 128 };
const v3Parameters = spoilt(livelyV3(v3, 11), v3.width);
const options = { temperature: 0, stopIds: new Set<number>() };
const clean = [5, 6, 7, 8, 9, 10, 11];
const ask = (...prompts: number[][]) => prompts.map((prompt, i) => ({ prompt, maxNewTokens: 5, key: [i] }));

describe.each([
  ["training's sampler", () => Sampler.create(config, { threads: 1 }), 2],
  ["one sequence", () => Sampler.fixed(config, sourceOf(parameters), { precision: "f32", threads: 1 }), 1],
  [
    "speculative",
    () => SpeculativeSampler.create(v3, sourceOf(v3Parameters), { precision: "f32", threads: 1 }),
    1,
  ],
] as const)("%s", (_name, open, rows) => {
  const among = (prompt: number[]) => ask(...[...Array(rows - 1).fill(clean.slice(0, 3)), prompt]);

  it("names request, token and position, and answers as before afterwards", async () => {
    const sampler = await open();
    const generate = async (requests: ReturnType<typeof ask>) =>
      sampler instanceof Sampler
        ? await sampler.generate(parameters, requests, options)
        : await sampler.generate(requests, options);
    const before = await generate(among(clean));
    for (const bad of [
      [5, 6, 7, 8, 13, 13, 13, 9],
      [5, 6, 13],
      [13, 5, 6, 7, 8, 9, 9, 9, 9, 9, 9, 9],
    ]) {
      await expect(generate(among(bad))).rejects.toThrow(
        `request ${rows - 1}, new token 0 (position ${bad.length}): the model's logits are not finite numbers`,
      );
      // What was cached of it would be NaN behind every mask.
      expect((await generate(among(clean))).generations).toEqual(before.generations);
      expect((await generate(among([7]))).generations[rows - 1].ids.length).toBe(5);
    }
    await sampler.release();
  });

  it("a reading that was stopped leaves nothing behind either", async () => {
    const sampler = await open();
    const generate = async (prompt: number[], signal?: { throwIfAborted: () => void }) =>
      sampler instanceof Sampler
        ? await sampler.generate(parameters, among(prompt), { ...options, signal })
        : await sampler.generate(among(prompt), { ...options, signal });
    let asked = 0;
    const signal = {
      throwIfAborted: () => {
        if (++asked === 2) throw new Error("enough");
      },
    };
    await expect(generate([...clean, 13, 13, 13, 13, 5], signal)).rejects.toThrow("enough");
    expect((await generate(clean)).generations[rows - 1].ids.length).toBe(5);
    await sampler.release();
  });
});

it("the slow twin says the same", async () => {
  await expect(generateNaively(config, parameters, ask([5, 13]), options)).rejects.toThrow(LogitsError);
});
