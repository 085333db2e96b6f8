/** GRPO's slots against PyTorch in float64 (scripts/fixtures/golden_grpo.py), and the pitfalls that live in them. */
import { readFileSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { grad } from "../../src/graph/grad.ts";
import { constant, input, mul, sum, tokenLogProbs } from "../../src/graph/ops.ts";
import { Graph } from "../../src/graph/tensor.ts";
import { Random } from "../../src/lib/random.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { f32, type HostValue, host, i32, type Session, scalar } from "../../src/runtime/session.ts";
import { sampleToken } from "../../src/sample/sampling.ts";
import { advantages, aggregations, hasSignal, importanceWeights } from "../../src/train/advantages.ts";
import { k3, LOG_RATIO_BOUND, type PolicyLossOptions, policyLoss } from "../../src/train/grpo-loss.ts";
import { microBatchFeeds, packByPrefix, packedLength, type TrainingRow } from "../../src/train/microbatch.ts";
import { furthest } from "./tiny.ts";

interface Case {
  name: string;
  aggregation: "sequence" | "token" | "constant";
  options: {
    ratio: "token" | "sequence" | "cispo" | "none";
    low: number | null;
    high: number;
    beta?: number;
    cap?: number;
  };
  loss: number;
  gradient: number[][];
}

interface Batch {
  mask: boolean[][];
  lengths: number[];
  current: number[][];
  old: number[][];
  reference: number[][];
  sampler: number[][];
  advantages: number[];
  clipFraction: Record<string, number>;
  cases: Case[];
}

const golden: {
  constantLength: number;
  klBound: number;
  advantages: ({ rewards: (number | null)[] } & Record<string, (number | null)[]>)[];
  batches: Record<string, Batch>;
  // biome-ignore lint/suspicious/noExplicitAny: four different shapes, each read once below.
  pitfalls: Record<string, any>;
} = JSON.parse(readFileSync(new URL("../fixtures/golden-grpo.json", import.meta.url), "utf8"));

/** Inputs rounded to f32 and a few dozen roundings more, against float64. */
const F32 = 2e-6;

const TOKENS = 5;

describe("advantages are PyTorch's", () => {
  for (const { rewards, ...expected } of golden.advantages)
    it(JSON.stringify(rewards), () => {
      // An unscored sample leaves the group; as it is not trained, its advantage is 0.
      const wanted = (name: string): number[] => expected[name].map((a) => a ?? 0);
      expect(furthest(advantages.grpo(rewards), wanted("grpoSample"))).toBeLessThan(1e-12);
      expect(furthest(advantages["dr-grpo"](rewards), wanted("drGrpo"))).toBeLessThan(1e-12);
      expect(furthest(advantages.rloo(rewards), wanted("rloo"))).toBeLessThan(1e-12);
    });

  it("by hand: rewards 1, 0, 0, 1", () => {
    // mean 1/2, sample standard deviation sqrt(4 · 1/4 / 3) = 0.57735; the mean of the others of a 1 is 1/3.
    expect(advantages.grpo([1, 0, 0, 1]).map((a) => a.toFixed(6))).toEqual([
      "0.866025",
      "-0.866025",
      "-0.866025",
      "0.866025",
    ]);
    expect(advantages["dr-grpo"]([1, 0, 0, 1])).toEqual([0.5, -0.5, -0.5, 0.5]);
    expect(furthest(advantages.rloo([1, 0, 0, 1]), [2 / 3, -2 / 3, -2 / 3, 2 / 3])).toBeLessThan(1e-15);
  });

  it("a group that cannot teach gives exact zeros, and says so", () => {
    for (const rewards of [[0.1, 0.1, 0.1], [null, 1, null], [null, null], [], [3]])
      for (const rule of Object.values(advantages)) {
        expect(hasSignal(rewards)).toBe(false);
        expect(rule(rewards)).toEqual(rewards.map(() => 0));
      }
    expect(hasSignal([0, null, 1])).toBe(true);
  });
});

/** The policy loss over plain [6][5] arrays: loss, gradient by current log-probabilities, and measurements. */
class Loss {
  private readonly sessions: Session[] = [];

  async run(feeds: Record<string, number[][]>, options: PolicyLossOptions) {
    const graph = new Graph();
    const [rows, tokens] = [feeds.logProbs.length, feeds.logProbs[0].length];
    const tensor = (name: string) => input(graph, name, "f32", [rows, tokens]);
    const logProbs = tensor("logProbs");
    const { loss, measurements } = policyLoss(
      {
        logProbs,
        old: tensor("old"),
        reference: options.kl > 0 ? tensor("reference") : null,
        advantage: tensor("advantage"),
        weights: tensor("weights"),
        importance: tensor("importance"),
      },
      options,
    );
    for (const [name, value] of Object.entries({
      loss,
      ...measurements,
      gradient: grad(loss, [logProbs])[0],
    }))
      graph.output(name, value);
    const session = await new Engine({ threads: 1 }).session(graph, "test");
    this.sessions.push(session);
    const ones = feeds.logProbs.map((row) => row.map(() => 1));
    const values: Record<string, HostValue> = Object.fromEntries(
      Object.entries({ importance: ones, ...feeds }).map(([name, data]) => [
        name,
        f32(data.flat(), [rows, tokens]),
      ]),
    );
    const { gradient, ...scalars } = await session.run(values);
    const numbers = Object.fromEntries(
      Object.entries(scalars).map(([name, value]) => [name, Number(host(value).data[0])]),
    );
    return { ...numbers, gradient: Array.from(host(gradient).data as Float32Array) } as Record<
      string,
      number
    > & {
      gradient: number[];
    };
  }

  async release(): Promise<void> {
    for (const session of this.sessions) await session.release();
  }
}

const losses = new Loss();
afterAll(() => losses.release());

const NAMES: Record<Case["aggregation"], keyof typeof aggregations> = {
  sequence: "sequence-mean",
  token: "token-mean",
  constant: "constant",
};

/** Weights of all positions: the row's where it counts, else 0. */
function tokenWeights(mask: boolean[][], aggregation: Case["aggregation"]): number[][] {
  const counted = mask.map((row) => row.filter(Boolean).length);
  const weights = aggregations[NAMES[aggregation]](counted, golden.constantLength);
  return mask.map((row, r) => row.map((counts) => (counts ? weights[r] : 0)));
}

describe.each(Object.entries(golden.batches))("losses and gradients are PyTorch's: %s", (_name, batch) => {
  const feedsOf = ({ aggregation, options }: Case): Record<string, number[][]> => ({
    logProbs: batch.current,
    old: batch.old,
    reference: batch.reference,
    weights: tokenWeights(batch.mask, aggregation),
    // "none" is the KL alone: without advantage, the policy term is 0.
    advantage: batch.advantages.map((a) => new Array(TOKENS).fill(options.ratio === "none" ? 0 : a)),
    importance: batch.old.map((row, r) =>
      options.cap === undefined
        ? row.map(() => 1)
        : importanceWeights(row, batch.sampler[r], "token", options.cap).weights,
    ),
  });
  const optionsOf = ({ options }: Case): PolicyLossOptions => ({
    ratio: options.ratio === "none" ? "token" : options.ratio,
    clip: { low: options.low ?? 0.2, high: options.high ?? 0.2 },
    kl: options.beta ?? 0,
  });

  // CISPO clips from above only, as its paper's experiments do; the two-sided form is not built.
  for (const one of batch.cases.filter(({ name }) => name !== "cispoBothSides"))
    it(`${one.name}, ${one.aggregation}`, async () => {
      const found = await losses.run(feedsOf(one), optionsOf(one));
      expect(Math.abs(found.loss - one.loss)).toBeLessThan(F32);
      expect(furthest(found.gradient, one.gradient.flat())).toBeLessThan(F32);
    });

  it("a process reward by position, and an entropy mask, change the gradients of their tokens alone", async () => {
    const one = batch.cases.find(
      ({ name, aggregation }) => name === "token" && aggregation === "token",
    ) as Case;
    const feeds = feedsOf(one);
    const { gradient } = await losses.run(feeds, optionsOf(one));
    const moved = gradient.findIndex((value) => value !== 0);
    const changed = async (name: "advantage" | "weights", change: (value: number) => number) => {
      const values = feeds[name].map((row) => [...row]);
      const row = values[Math.floor(moved / TOKENS)];
      row[moved % TOKENS] = change(row[moved % TOKENS]);
      const found = await losses.run({ ...feeds, [name]: values }, optionsOf(one));
      return gradient.flatMap((value, i) => (value === found.gradient[i] ? [] : [i]));
    };
    expect(await changed("advantage", (value) => 2 * value)).toEqual([moved]);
    expect(await changed("weights", () => 0)).toEqual([moved]);
  });

  it("counts the tokens whose ratio is clipped away", async () => {
    const counted = batch.mask.flat().filter(Boolean).length;
    for (const [limits, share] of Object.entries(batch.clipFraction)) {
      const [low, high] = limits.split("/").map(Number);
      const one = batch.cases.find(
        ({ name, aggregation }) => name === "token" && aggregation === "token",
      ) as Case;
      const found = await losses.run(feedsOf(one), { ratio: "token", clip: { low, high }, kl: 0 });
      expect((found.clippedLow + found.clippedHigh) / counted).toBeCloseTo(share, 12);
    }
  });
});

describe("A1: one mask above and below each mean", () => {
  const { perTokenLoss, secondMasked } = golden.pitfalls.A1;

  it("two completions of 4 tokens, the second masked: the token mean is 4/4, not 4/8", () => {
    const mean = (lengths: number[]): number =>
      aggregations["token-mean"](lengths, 8).reduce(
        (total, weight, row) =>
          total + perTokenLoss[row].reduce((sum: number, loss: number) => sum + weight * loss, 0),
        0,
      );
    expect(mean([4, 0])).toBe(secondMasked.tokenMean);
    expect(mean([4, 4])).toBe(1);
    expect(mean([0, 0])).toBe(0);
  });

  it("every aggregation leaves a masked sequence out of its denominator, and an all-masked batch is 0, not NaN", () => {
    expect(aggregations["token-mean"]([4, 0, 2], 8)).toEqual([1 / 6, 0, 1 / 6]);
    expect(aggregations["sequence-mean"]([4, 0, 2], 8)).toEqual([1 / 8, 0, 1 / 4]);
    expect(aggregations.constant([4, 0, 2], 8)).toEqual([1 / 16, 0, 1 / 16]);
    for (const rule of Object.values(aggregations)) expect(rule([0, 0], 8)).toEqual([0, 0]);
  });

  it("the loss and gradient of an all-masked batch are exactly 0", async () => {
    const batch = golden.batches.plain;
    const zero = batch.mask.map((row) => row.map(() => 0));
    const feeds = { logProbs: batch.current, old: batch.old, reference: batch.reference, weights: zero };
    const advantage = batch.advantages.map((a) => new Array(TOKENS).fill(a));
    for (const ratio of ["token", "sequence", "cispo"] as const) {
      const found = await losses.run(
        { ...feeds, advantage },
        { ratio, clip: { low: 0.2, high: 0.2 }, kl: 0.04 },
      );
      expect(Math.abs(found.loss)).toBe(0);
      expect(found.gradient.every((g) => g === 0)).toBe(true);
      expect(found.kl).toBe(0);
    }
  });
});

describe("A2: one temperature for sampler and trainer", () => {
  const { logits, temperature, token, logProbability, untempered } = golden.pitfalls.A2;

  it("logits 2, 1, 0 at T = 0.5: -0.1429 in the sampler", () => {
    const row = Float32Array.from(logits);
    const draws = Array.from({ length: 50 }, (_, i) =>
      sampleToken(row, 0, 3, { temperature }, new Random(i, "A2")),
    );
    const first = draws.find(({ id }) => id === token);
    expect(first?.logProb).toBeCloseTo(logProbability, 6);
    expect(first?.logProb).toBeCloseTo(-0.1429, 4);
    expect(first?.logProb).not.toBeCloseTo(untempered, 2);
  });

  it("and in the trainer", async () => {
    const graph = new Graph();
    const tempered = mul(
      input(graph, "logits", "f32", [1, 1, 3]),
      input(graph, "inverseTemperature", "f32", []),
    );
    graph.output("logProbs", tokenLogProbs(tempered, input(graph, "targets", "i32", [1, 1])).logProbs);
    const session = await new Engine({ threads: 1 }).session(graph, "test");
    const feeds = {
      logits: f32(logits, [1, 1, 3]),
      targets: i32([token], [1, 1]),
      inverseTemperature: scalar(1 / temperature),
    };
    expect(host((await session.run(feeds)).logProbs).data[0]).toBeCloseTo(logProbability, 6);
    await session.release();
  });
});

function trainingRow(prompt: number[], ids: number[], rest: Partial<TrainingRow> = {}): TrainingRow {
  const zeros = ids.map(() => 0);
  return {
    prompt,
    ids,
    sampled: zeros,
    old: zeros,
    reference: null,
    advantages: ids.map(() => 1),
    weights: ids.map(() => 1),
    importance: ids.map(() => 1),
    ...rest,
  };
}

describe("A3: masks come from lengths, never from ids", () => {
  it("pad = eos = 2: the closing EOS of [5, 6, 2] is trained, and a row of five without EOS is trained whole", () => {
    const rows = [trainingRow([1], [5, 6, 2]), trainingRow([1], [5, 6, 7, 8, 9])];
    const { weights, targets, ids } = microBatchFeeds({ packed: rows.map((row) => [row]), seq: 5 });
    const row = (value: HostValue, r: number): number[] =>
      Array.from(value.data as Float32Array).slice(r * 5, r * 5 + 5);
    expect(row(weights, 0)).toEqual([1, 1, 1, 0, 0]);
    expect(row(targets, 0).slice(0, 3)).toEqual([5, 6, 2]);
    expect(row(weights, 1)).toEqual([1, 1, 1, 1, 1]);
    expect(row(targets, 1)).toEqual([5, 6, 7, 8, 9]);
    expect(row(ids, 1)).toEqual([1, 5, 6, 7, 8]);
  });

  it("EOS ids inside a prompt are neither trained nor hidden", () => {
    const { weights, ids } = microBatchFeeds({ packed: [[trainingRow([2, 2, 4], [5, 2])]], seq: 6 });
    expect(Array.from(weights.data as Float32Array)).toEqual([0, 0, 1, 1, 0, 0]);
    expect(Array.from(ids.data as Int32Array).slice(0, 4)).toEqual([2, 2, 4, 5]);
  });
});

describe("A5: log-ratios are bounded before exp, and masked by Where", () => {
  const { current, reference, unmasked, masked, bound } = golden.pitfalls.A5;

  it("has the fixture's bound", () => expect(LOG_RATIO_BOUND).toBe(bound));

  it.each([
    ["unmasked", unmasked],
    ["masked", masked],
  ])("log π_ref = -1, log π = -101, %s: value and gradient are finite", async (_name, expected) => {
    const counted = expected.mask.filter(Boolean).length;
    const weights = [expected.mask.map((m: boolean) => (m ? 1 / counted : 0))];
    const feeds = {
      logProbs: [current],
      old: [current],
      reference: [reference],
      weights,
      advantage: [[0, 0]],
    };
    const found = await losses.run(feeds, { ratio: "token", clip: { low: 0.2, high: 0.2 }, kl: 1 });
    expect(Math.abs(found.loss / expected.mean - 1)).toBeLessThan(F32);
    expect(furthest(found.gradient, expected.gradient)).toBeLessThan(F32);
    expect(found.boundedKl).toBe(expected.mask[0] ? 1 : 0);
  });

  it.each(["token", "sequence", "cispo"] as const)("a policy ratio of e^±100 likewise: %s", async (ratio) => {
    for (const [advantage, away] of [
      [1, 100],
      [1, -100],
      [-1, 100],
      [-1, -100],
    ])
      for (const weight of [1, 0]) {
        const feeds = {
          logProbs: [[-1, -1]],
          old: [[-1 - away, -1]],
          weights: [[weight, 0.5]],
          advantage: [[advantage, advantage]],
        };
        const found = await losses.run(feeds, { ratio, clip: { low: 0.2, high: 0.2 }, kl: 0 });
        expect(Number.isFinite(found.loss)).toBe(true);
        expect(found.gradient.every(Number.isFinite)).toBe(true);
        expect(found.boundedRatios).toBe(weight);
        if (weight === 0) expect(Math.abs(found.gradient[0])).toBe(0);
      }
  });

  it("even an infinite log-probability on a masked position changes nothing", async () => {
    const infinite = Number.NEGATIVE_INFINITY;
    const feeds = {
      logProbs: [[infinite, -1]],
      old: [[-1, -1.1]],
      reference: [[infinite, -1.2]],
      weights: [[0, 1]],
      advantage: [[1, 1]],
    };
    const found = await losses.run(feeds, { ratio: "token", clip: { low: 0.2, high: 0.2 }, kl: 0.04 });
    // ρ = e^0.1; k3 = e^-0.2 + 0.2 - 1.
    expect(found.loss).toBeCloseTo(-Math.exp(0.1) + 0.04 * (Math.exp(-0.2) + 0.2 - 1), 6);
    expect(found.gradient[0]).toBe(0);
    expect(found.gradient[1]).toBeCloseTo(-Math.exp(0.1) + 0.04 * (1 - Math.exp(-0.2)), 6);
  });
});

describe("k3", () => {
  it("is π_ref/π - log(π_ref/π) - 1: 0 where they agree, positive elsewhere, with derivative 1 - π_ref/π", async () => {
    const graph = new Graph();
    const logProbs = input(graph, "logProbs", "f32", [4]);
    const { kl } = k3(logProbs, constant(graph, [-1, -1, -1, -1], [4]));
    graph.output("kl", kl);
    graph.output("gradient", grad(sum(kl), [logProbs])[0]);
    const session = await new Engine({ threads: 1 }).session(graph, "test");
    const { kl: values, gradient } = await session.run({ logProbs: f32([-1, -2, 0, -1.1]) });
    const x = [0, 1, -1, 0.1];
    expect(host(values).data[0]).toBe(0);
    expect(
      furthest(
        host(values).data as Float32Array,
        x.map((v) => Math.exp(v) - v - 1),
      ),
    ).toBeLessThan(F32);
    expect(
      furthest(
        host(gradient).data as Float32Array,
        x.map((v) => 1 - Math.exp(v)),
      ),
    ).toBeLessThan(F32);
    await session.release();
  });
});

describe("A7: the sampler's ids and log-probabilities are the only truth", () => {
  it("a row whose log-probabilities do not fit its ids throws", () => {
    expect(() =>
      microBatchFeeds({ packed: [[trainingRow([1], [5, 6], { sampled: [-1] })]], seq: 16 }),
    ).toThrow(/2 ids but 1 sampled/);
    expect(() =>
      microBatchFeeds({ packed: [[trainingRow([1], [5, 6], { old: [-1, -1, -1] })]], seq: 16 }),
    ).toThrow(/3 old/);
    expect(() =>
      microBatchFeeds({ packed: [[trainingRow([1], [5, 6], { reference: [-1] })]], seq: 16 }),
    ).toThrow(/1 reference/);
    expect(() =>
      microBatchFeeds({ packed: [[trainingRow([1], [5, 6], { importance: [1] })]], seq: 16 }),
    ).toThrow(/1 importance/);
    // One token longer than the row, and its end would have stood in the next one's place.
    expect(packedLength([trainingRow([1, 2, 3], [5, 6])])).toBe(4);
    expect(() => microBatchFeeds({ packed: [[trainingRow([1, 2, 3], [5, 6])]], seq: 3 })).toThrow(
      /4 tokens .* 3/,
    );
  });

  it("values stand on the positions that predict their tokens", () => {
    const row = trainingRow([9, 8], [5, 6], {
      sampled: [-0.1, -0.2],
      old: [-0.3, -0.4],
      reference: [-0.5, -0.6],
      advantages: [2, 2],
      importance: [0.7, 0.8],
    });
    const feeds = microBatchFeeds({ packed: [[row]], seq: 5 });
    const plain = Object.fromEntries(
      Object.entries(feeds).map(([name, { data }]) => [
        name,
        Array.from(data as Float32Array, (v) => Math.round(v * 10) / 10),
      ]),
    );
    expect(plain).toMatchObject({
      ids: [9, 8, 5, 0, 0],
      targets: [8, 5, 6, 0, 0],
      sampled: [0, -0.1, -0.2, 0, 0],
      old: [0, -0.3, -0.4, 0, 0],
      reference: [0, -0.5, -0.6, 0, 0],
      advantage: [0, 2, 2, 0, 0],
      weights: [0, 1, 1, 0, 0],
      importance: [0, 0.7, 0.8, 0, 0],
    });
  });
});

describe("A10: the level of importance weights is a named option", () => {
  const { logRatio, lengths, sequenceWeights, lengthNormalisedWeight, cap } = golden.pitfalls.A10;

  it("a mismatch of 0.012 a token at lengths 10, 100 and 1000", () => {
    lengths.forEach((length: number, i: number) => {
      const [old, sampled] = [new Array(length).fill(-1), new Array(length).fill(-1 - logRatio)];
      const weightOf = (level: "token" | "sequence" | "length-normalised", limit: number) =>
        importanceWeights(old, sampled, level, limit);
      const sequence = weightOf("sequence", Number.POSITIVE_INFINITY);
      expect(sequence.weights[0] / sequenceWeights[i]).toBeCloseTo(1, 9);
      expect(sequence.cut).toBe(0);
      const capped = weightOf("sequence", cap);
      expect(capped.cut).toBe(sequenceWeights[i] > cap ? length : 0);
      expect(Math.max(...capped.weights)).toBeLessThanOrEqual(cap);
      for (const level of ["token", "length-normalised"] as const) {
        const { weights, cut } = weightOf(level, cap);
        expect(cut).toBe(0);
        expect(weights.length).toBe(length);
        for (const w of weights) expect(w).toBeCloseTo(lengthNormalisedWeight, 9);
      }
    });
  });

  it("levels differ where tokens differ", () => {
    const [old, sampled] = [
      [-1, -1],
      [-1.5, -1],
    ];
    expect(importanceWeights(old, sampled, "token", 2).weights.map((w) => w.toFixed(4))).toEqual([
      "1.6487",
      "1.0000",
    ]);
    expect(importanceWeights(old, sampled, "sequence", 2).weights.map((w) => w.toFixed(4))).toEqual([
      "1.6487",
      "1.6487",
    ]);
    expect(importanceWeights(old, sampled, "length-normalised", 2).weights.map((w) => w.toFixed(4))).toEqual([
      "1.2840",
      "1.2840",
    ]);
  });
});

describe("prompts that are shared", () => {
  const rows = [
    trainingRow([9, 8, 7], [5, 6]),
    trainingRow([9, 8, 7], [4]),
    trainingRow([3], [1, 2, 3]),
    trainingRow([9, 8, 7], [1, 2, 3, 4]),
  ];

  it("by hand: one row holds the prompt once, and each answer begins at its last token", () => {
    const bundles = packByPrefix(rows, 16);
    expect(bundles.map((bundle) => bundle.map((row) => rows.indexOf(row)))).toEqual([[0, 1, 3], [2]]);
    expect(bundles.map(packedLength)).toEqual([9, 3]);
    const feeds = microBatchFeeds({ packed: bundles, seq: 10 });
    const first = (name: string) => Array.from(feeds[name].data as Int32Array).slice(0, 10);
    expect(first("ids")).toEqual([9, 8, 7, 5, 7, 7, 1, 2, 3, 0]);
    expect(first("positions")).toEqual([0, 1, 2, 3, 2, 2, 3, 4, 5, 0]);
    expect(first("targets")).toEqual([8, 7, 5, 6, 4, 1, 2, 3, 4, 0]);
    const seen = (query: number) =>
      Array.from(feeds.mask.data as Float32Array)
        .slice(query * 10, query * 10 + 10)
        .flatMap((value, key) => (value === 0 ? [key] : []));
    expect(seen(3)).toEqual([0, 1, 2, 3]);
    expect(seen(4)).toEqual([0, 1, 4]);
    expect(seen(7)).toEqual([0, 1, 5, 6, 7]);
    expect(Array.from(feeds.completionIndices.data as Int32Array)).toEqual([2, 3, 4, 5, 6, 7, 8, 10, 11, 12]);
  });

  it("splits a group that is too long, and pads at position 0", () => {
    expect(packByPrefix(rows, 6).map((bundle) => bundle.length)).toEqual([2, 1, 1]);
    const { positions } = microBatchFeeds({ packed: [[rows[2]]], seq: 6 });
    expect(Array.from(positions.data as Int32Array)).toEqual([0, 1, 2, 0, 0, 0]);
  });
});
