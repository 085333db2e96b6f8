/** Logits that are not finite numbers: an error that says where, and nothing of them is left. */
import { describe, expect, it } from "vitest";
import { sourceOf } from "../../src/checkpoint/weights.ts";
import { Engine } from "../../src/runtime/engine.ts";
import type { HostValue } from "../../src/runtime/value.ts";
import { Sampler } from "../../src/sample/sampler.ts";
import { baked } from "../../src/sample/weights.ts";
import { livelyV3, tinyV3 } from "../models/v3-tiny.ts";
import { livelyParameters, tinyConfig } from "../train/tiny.ts";
import { generateNaively } from "./naive.ts";

/** Token 13 of the vocabulary is a row of NaN. */
function spoilt(parameters: Map<string, HostValue>, width: number): Map<string, HostValue> {
  const name = "model.embed_tokens.weight";
  const table = parameters.get(name) as HostValue;
  const data = (table.data as Float32Array).slice().fill(Number.NaN, 13 * width, 14 * width);
  return new Map(parameters).set(name, { ...table, data });
}

const config = { ...tinyConfig, maxPositions: 200 };
const parameters = spoilt(livelyParameters(config, 7), config.hiddenSize);
const v3 = { ...tinyV3, maxPositions: 128 };
const v3Parameters = spoilt(livelyV3(v3, 11), v3.hiddenSize);
const engine = new Engine({ threads: 1 });
const f32 = (values: Map<string, HostValue>) => baked(sourceOf(values), { precision: "f32" });
const options = { sampling: { temperature: 0 }, stopIds: new Set<number>() };
const clean = [5, 6, 7, 8, 9, 10, 11];
const ask = (...prompts: number[][]) => prompts.map((prompt, i) => ({ prompt, maxNewTokens: 5, key: [i] }));

describe.each([
  ["training's sampler", () => Sampler.create(config, engine), 2],
  ["one sequence", () => Sampler.create(config, engine, { weights: f32(parameters) }), 1],
  ["speculative", () => Sampler.create(v3, engine, { weights: f32(v3Parameters), drafts: 2 }), 1],
] as const)("%s", (_name, open, rows) => {
  const among = (prompt: number[]) => ask(...[...Array(rows - 1).fill(clean.slice(0, 3)), prompt]);

  it("names request, token and position, and answers as before afterwards", async () => {
    const sampler = await open();
    // Baked weights are used whatever parameters are given.
    const generate = async (requests: ReturnType<typeof ask>) =>
      await sampler.generate(requests, { ...options, parameters });
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
      await sampler.generate(among(prompt), { ...options, parameters, signal });
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
  await expect(generateNaively(config, parameters, ask([5, 13]), options)).rejects.toMatchObject({
    kind: "logits",
  });
});
