/** A sequence asked for behind another: what both begin with is read once, and the answers stay the same. */
import { describe, expect, it } from "vitest";
import { sourceOf, type TensorSource } from "../../src/checkpoint/weights.ts";
import type { DecoderConfig } from "../../src/models/config.ts";
import type { V3Config } from "../../src/models/v3-config.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { Sampler } from "../../src/sample/sampler.ts";
import { type BakedOptions, baked } from "../../src/sample/weights.ts";
import { livelyV3, tinyV3 } from "../models/v3-tiny.ts";
import { furthest, livelyParameters, tinyConfig } from "../train/tiny.ts";
import { generateNaively } from "./naive.ts";

const dense: DecoderConfig = {
  ...tinyConfig,
  ...{ hiddenSize: 64, headDim: 16, intermediateSize: 96, maxPositions: 1400, tieEmbeddings: true },
};
const v3 = { ...tinyV3, hiddenSize: 32, moeIntermediateSize: 32, maxPositions: 1400 };
const [denseParameters, v3Parameters] = [livelyParameters(dense, 3, 0.15), livelyV3(v3, 5)];
const [denseSource, v3Source] = [sourceOf(denseParameters), sourceOf(v3Parameters)];

const engine = new Engine({ threads: 1 });

const open =
  (config: DecoderConfig | V3Config, source: TensorSource, drafts = 0) =>
  (options: BakedOptions) =>
    Sampler.create(config, engine, { weights: baked(source, options), drafts });

const designs: Record<string, (options: BakedOptions) => Promise<Sampler>> = {
  dense: open(dense, denseSource),
  "V3 with drafts": open(v3, v3Source, 2),
  "V3 without drafts": open(v3, v3Source),
};

const greedy = { sampling: { temperature: 0 }, stopIds: new Set<number>() };
const NEW = 12;
const ask = (prompt: readonly number[]) => [{ prompt, maxNewTokens: NEW, key: ["reuse"] }];
const said = (length: number, seed: number): number[] =>
  Array.from({ length }, (_, i) => 4 + ((seed * 11 + i * 7 + ((i * i) % 5)) % 25));

/** Sums in another order, as in engine.test.ts. */
const LOG_PROB = 2e-5;

/** Every turn of a conversation by a sampler that goes on, with what another made that began anew. */
async function converse(open: () => Promise<Sampler>) {
  const kept = await open();
  const turns: { ids: number[][]; accepted: unknown[]; distance: number; share: number }[] = [];
  const turn = async (prompt: readonly number[]): Promise<number[]> => {
    const fresh = await open();
    const [own, other] = [
      await kept.generate(ask(prompt), greedy),
      await fresh.generate(ask(prompt), greedy),
    ];
    await fresh.release();
    const [a, b] = [own.generations[0], other.generations[0]];
    const distance = furthest(a.logProbs, b.logProbs);
    const accepted = [own, other].map((result) => result.accepted);
    turns.push({ ids: [a.ids, b.ids], accepted, distance, share: own.flops / other.flops });
    return a.ids;
  };
  let history = said(40, 1);
  for (let i = 0; i < 5; i++) history = [...history, ...(await turn(history)), ...said(9, i)];
  // A token in the middle is another.
  history = history.with(60, 5);
  history = [...history, ...(await turn(history)), ...said(5, 6)];
  // The oldest turns are left out, and a question is asked again.
  history = [...history.slice(0, 12), ...history.slice(70)];
  await turn(history);
  await turn(history);
  // The beginning alone.
  await turn(history.slice(0, 1));
  await kept.release();
  return turns;
}

describe.each(Object.keys(designs))("%s", (design) => {
  const open = designs[design];

  it.each([{ precision: "f32" }, { precision: "int8", activations: "f32" }] as BakedOptions[])(
    "%o: a conversation, edited and cut, is answered as if read anew",
    async (options) => {
      const turns = await converse(() => open(options));
      for (const [i, { ids, distance, share }] of turns.entries()) {
        expect(ids[0], `turn ${i}`).toEqual(ids[1]);
        expect(distance).toBeLessThan(LOG_PROB);
        // From the second turn on about 10 tokens of 60 and more are read, beside the 12 that are decoded.
        if (i > 0 && i < 5) expect(share).toBeLessThan(0.6);
      }
      expect(turns[0].share).toBe(1);
      expect(turns[4].share).toBeLessThan(0.35);
      expect(turns[5].share).toBeLessThan(turns[6].share);
      expect(turns[7].share).toBeLessThan(0.4);
    },
  );

  it.each(["int8", "int4", "int4-offset"] as const)(
    "%s: equal questions have answers that are equal to the bit, whatever was asked before",
    async (precision) => {
      const kept = await open({ precision });
      const drawn = { ...greedy, sampling: { temperature: 1 } };
      const first = said(700, 1);
      const questions = [
        first,
        [...first.slice(0, 600), ...said(80, 2)],
        // Nothing in common, a beginning that is short, one that ends with a piece, and one in the middle of another.
        said(50, 3),
        first.slice(0, 40),
        first.slice(0, 512),
        first.slice(0, 513),
        [...first.slice(0, 300), ...said(9, 4)],
      ];
      const answers = new Map<string, object>();
      // A second turn behind each answer, asked at once and later again.
      const answer = async (prompt: readonly number[], sampler = kept) => {
        const { generations, flops } = await sampler.generate(ask(prompt), drawn);
        return { ids: generations[0].ids, logProbs: generations[0].logProbs, flops };
      };
      for (const prompt of [...questions]) {
        const fresh = await open({ precision });
        const { flops: _, ...alone } = await answer(prompt, fresh);
        answers.set(prompt.join(), alone);
        const next = [...prompt, ...alone.ids, ...said(6, 5)];
        questions.push(next);
        await fresh.release();
        const again = await open({ precision });
        const { flops: __, ...second } = await answer(next, again);
        answers.set(next.join(), second);
        await again.release();
      }
      const order = questions.flatMap((_, i) => [i, (i * 5) % questions.length, (i + 7) % questions.length]);
      for (const i of order) {
        const { flops: _, ...given } = await answer(questions[i]);
        expect(given, `question ${i}`).toEqual(answers.get(questions[i].join()));
      }
      // Pieces that are whole are kept all the same: 512 tokens of 700.
      const whole = await answer(first);
      await answer(said(5, 9));
      const cold = await answer(first);
      const warm = await answer(questions[1]);
      expect(whole.flops).toBeLessThanOrEqual(cold.flops);
      expect(warm.flops / cold.flops).toBeLessThan(0.5);
      await kept.release();
    },
  );

  it("goes on behind an answer that was stopped, and a prompt whose reading was", async () => {
    const [kept, fresh] = [await open({ precision: "f32" }), await open({ precision: "f32" })];
    const controller = new AbortController();
    let tokens = 0;
    const onToken = () => {
      if (++tokens === 5) controller.abort(new Error("enough"));
    };
    const stopped = kept.generate(ask(said(40, 1)), { ...greedy, onToken, signal: controller.signal });
    await expect(stopped).rejects.toThrow("enough");
    let asked = 0;
    const signal = {
      throwIfAborted: () => {
        if (++asked === 2) throw new Error("enough");
      },
    };
    const long = [...said(20, 1), ...said(1100, 2)];
    await expect(kept.generate(ask(long), { ...greedy, signal })).rejects.toThrow("enough");
    for (const prompt of [long.slice(0, 60), said(50, 1)]) {
      const [a, b] = [await kept.generate(ask(prompt), greedy), await fresh.generate(ask(prompt), greedy)];
      expect(a.generations[0].ids).toEqual(b.generations[0].ids);
      expect(furthest(a.generations[0].logProbs, b.generations[0].logProbs)).toBeLessThan(LOG_PROB);
    }
    await Promise.all([kept.release(), fresh.release()]);
  });

  it("goes on behind an answer that a stop token ended, and holds no token that was not accepted (E5)", async () => {
    const [kept, fresh] = [await open({ precision: "f32" }), await open({ precision: "f32" })];
    const whole = (await fresh.generate(ask(said(40, 1)), greedy)).generations[0].ids;
    const stop = whole.findIndex((id, i) => i > 0 && !whole.slice(0, i).includes(id));
    const ending = { ...greedy, stopIds: new Set([whole[stop]]) };
    const { ids, finish } = (await kept.generate(ask(said(40, 1)), ending)).generations[0];
    expect([ids, finish]).toEqual([whole.slice(0, stop + 1), "stop"]);
    // The same prompt, the answer and more behind it, and another answer in its place.
    for (const prompt of [said(40, 1), [...said(40, 1), ...ids, 7], [...said(40, 1), ...said(9, 8)]]) {
      const [a, b] = [await kept.generate(ask(prompt), greedy), await fresh.generate(ask(prompt), greedy)];
      expect(a.generations[0].ids).toEqual(b.generations[0].ids);
      expect(furthest(a.generations[0].logProbs, b.generations[0].logProbs)).toBeLessThan(LOG_PROB);
    }
    await Promise.all([kept.release(), fresh.release()]);
  });

  it("reads a long prompt in pieces", async () => {
    const sampler = await open({ precision: "f32" });
    const prompt = said(1100, 3);
    const { generations } = await sampler.generate(ask(prompt), greedy);
    await sampler.release();
    const [config, parameters] = design === "dense" ? [dense, denseParameters] : [v3, v3Parameters];
    const [naive] = await generateNaively(config, parameters, ask(prompt), greedy);
    expect(generations[0].ids).toEqual(naive.ids);
    // Sums over a thousand positions.
    expect(furthest(generations[0].logProbs, naive.logProbs)).toBeLessThan(5e-5);
  });

  it("draws the same tokens, whatever came before", async () => {
    const drawn = { ...greedy, sampling: { temperature: 1 } };
    const [kept, fresh] = [await open({ precision: "f32" }), await open({ precision: "f32" })];
    await kept.generate(ask(said(40, 1)), drawn);
    const prompt = [...said(40, 1), 9, 9];
    const [a, b] = [await kept.generate(ask(prompt), drawn), await fresh.generate(ask(prompt), drawn)];
    expect(a.generations[0].ids).toEqual(b.generations[0].ids);
    await Promise.all([kept.release(), fresh.release()]);
  });
});

it("a batch between two turns takes nothing along", async () => {
  const [kept, fresh] = [
    await designs.dense({ precision: "f32" }),
    await designs.dense({ precision: "f32" }),
  ];
  const prompt = said(40, 1);
  await kept.generate(ask(prompt), greedy);
  await kept.generate([...ask(said(700, 4)), ...ask(said(30, 5)), ...ask(said(3, 6))], greedy);
  const next = [...prompt, 7, 8];
  const [a, b] = [await kept.generate(ask(next), greedy), await fresh.generate(ask(next), greedy)];
  expect(a).toEqual(b);
  await Promise.all([kept.release(), fresh.release()]);
});
