/** Rewards and their metrics on fixed completions, with values worked out by hand. */
import { afterEach, describe, expect, it } from "vitest";
import type { InferenceModel } from "../../src/sample/inference.ts";
import { countdown, countdownOptions, parseUserProblem } from "../../src/tasks/countdown.ts";
import type { Task, Verdict } from "../../src/tasks/problem.ts";
import { inThreads, type VerifierPool } from "../../src/tasks/verifier-pool.ts";
import { BpeTokenizer } from "../../src/tokenizer/bpe.ts";
import { CompactTokenizer } from "../../src/tokenizer/compact.ts";
import { trainBpe } from "../../src/tokenizer/train.ts";
import { validityByPosition, validityMetrics } from "../../src/train/grpo-metrics.ts";
import {
  overlongPenalty,
  type RewardOptions,
  rewardComponents,
  rewardMetrics,
  thoughtEquations,
  totalReward,
} from "../../src/train/rewards.ts";
import { judge, rollout, type Sample } from "../../src/train/rollout.ts";
import { id, sentencePiece } from "../tokenizer/sentencepiece.ts";

const tokenizer = new CompactTokenizer();
const task = countdown(countdownOptions.parse({ kind: "countdown" }));
const problem = parseUserProblem("82 27 11 = 44");
const rewards: RewardOptions = {
  accuracy: 2,
  format: 0.25,
  validity: 0.5,
  overlong: { buffer: 10, penalty: 4 },
};

/** A completion of 82 27 11 = 44, after a prompt of five tokens. */
const sampled = (text: string, over: Partial<{ rewards: RewardOptions; limit: number; task: Task }> = {}) =>
  judge(
    problem,
    { ids: tokenizer.encode(text, { specials: true }), logProbs: [], finish: "stop" },
    [1, 2, 3, 4, 5],
    over.task ?? (task as Task),
    { tokenizer },
    over.rewards ?? { ...rewards, overlong: null },
    over.limit ?? 100,
  );

const RIGHT = "82 - 27 = 55, 55 - 11 = 44, yes!\n</think>\n<answer>(82 - 27) - 11</answer>";
/** Two of three equations are true. */
const WRONG = "82 - 27 = 55, 55 + 11 = 66, 66 - 1 = 60, no.\n</think>\n<answer>82 - 27 + 11</answer>";
const NO_FORMAT = "82 - 27 = 54, no.\n<answer>(82 - 27) - 11</answer>";
const NOTHING = "82, 27";

describe("the reward of a completion, 2 for a right answer, 1/4 for the format, 1/2 for true equations", () => {
  it.each<[string, string, number[], number]>([
    ["right, in the template, all equations true", RIGHT, [2, 0.25, 0.5], 2.75],
    ["wrong, in the template, two of three equations true", WRONG, [0, 0.25, 1 / 3], 7 / 12],
    ["right, without the template, its equation false", NO_FORMAT, [2, 0, 0], 2],
    ["nothing", NOTHING, [0, 0, 0], 0],
    ["the template alone", "</think>\n<answer></answer>", [0, 0.25, 0], 0.25],
    ["a true equation alone", "3 + 4 = 7", [0, 0, 0.5], 0.5],
    ["a true equation in the answer only", "</think>\n<answer>3 + 4 = 7</answer>", [0, 0.25, 0], 0.25],
    ["a false one in the thought, a true one after it", "3 + 4 = 8</think>\n3 + 4 = 7", [0, 0, 0], 0],
    [
      "a true one, and a false one behind an answer without thought's end",
      "3 + 4 = 7<answer>1 + 1 = 3</answer>",
      [0, 0, 0.5],
      0.5,
    ],
  ])("%s", (_name, text, [accuracy, format, validity], sum) => {
    const { components, reward } = sampled(text);
    expect(components.accuracy).toBe(accuracy);
    expect(components.format).toBe(format);
    expect(components.validity).toBeCloseTo(validity, 12);
    expect(components.overlong).toBe(0);
    expect(reward).toBeCloseTo(sum, 12);
  });

  it("is made of what has a weight", () => {
    const only = (over: Partial<RewardOptions>, text: string) =>
      sampled(text, { rewards: { accuracy: 0, format: 0, validity: 0, overlong: null, ...over } }).reward;
    expect([RIGHT, WRONG, NO_FORMAT].map((text) => only({ accuracy: 1 }, text))).toEqual([1, 0, 1]);
    expect([RIGHT, WRONG, NO_FORMAT].map((text) => only({ format: 1 }, text))).toEqual([1, 1, 0]);
    expect([RIGHT, NO_FORMAT, NOTHING].map((text) => only({ validity: 1 }, text))).toEqual([1, 0, 0]);
    expect([RIGHT, WRONG].map((text) => only({}, text))).toEqual([0, 0]);
  });

  it("falls with the length over the last tokens before the limit", () => {
    // NOTHING has 5 tokens: 8, 2, comma, 2, 7.
    expect(tokenizer.encode(NOTHING)).toHaveLength(5);
    const of = (limit: number) => sampled(NOTHING, { rewards, limit }).components.overlong;
    expect([15, 14, 10, 5].map(of)).toEqual([0, -4 / 10, -2, -4]);
    expect(sampled(NOTHING, { rewards, limit: 10 }).reward).toBe(-2);
    expect(
      [90, 91, 95, 100, 101].map((length) => overlongPenalty(length, 100, { buffer: 10, penalty: 4 })),
    ).toEqual([0, -0.4, -2, -4, -4]);
  });

  it("is none where the verifier gave no value, whatever the rest would earn", () => {
    const unscored = { ...problem, target: Number.NaN };
    const broken: Task = { ...(task as Task), verify: (_problem, text) => task.verify(unscored, text) };
    expect(sampled(RIGHT, { task: broken })).toMatchObject({ reward: null, verdict: { kind: "unscored" } });
    const thrown: Task = {
      ...(task as Task),
      verify: () => {
        throw new Error("a bug");
      },
    };
    expect(sampled(RIGHT, { task: thrown })).toMatchObject({
      reward: null,
      verdict: { kind: "unscored", reason: "verifier fault: a bug" },
    });
    expect(totalReward({ value: null }, { accuracy: 1, format: 1, validity: 1, overlong: 0 })).toBeNull();
    expect(totalReward({ value: 0 }, { accuracy: 1, format: 2, validity: 4, overlong: -8 })).toBe(-1);
  });

  it("has a share of the accuracy for a share of the value", () => {
    const found = [{ holds: true }, { holds: false }, { holds: false }, { holds: false }];
    expect(
      rewardComponents({ value: 0.5, format: true }, found, { length: 95, limit: 100 }, rewards),
    ).toEqual({ accuracy: 1, format: 0.25, validity: 0.125, overlong: -2 });
  });
});

describe("where a thought's equations are", () => {
  it("is counted in tokens, the prompt's first", () => {
    // 8 2 - 2 7 = 5 5 comma: nine tokens to the second equation, and as many to the third.
    expect(sampled(WRONG).equations).toEqual([
      { position: 5, holds: true },
      { position: 14, holds: true },
      { position: 23, holds: false },
    ]);
    // The opening tag is one token, and no part of the thought.
    expect(sampled(`<think>\n${WRONG}`).equations.map(({ position }) => position)).toEqual([6, 15, 24]);
  });

  it("is found in the verifier's own text: what the reward pays is what the text says", () => {
    const bytes = new BpeTokenizer(trainBpe([], { vocabSize: 259 }));
    const text = "é 3 × 4 = 12\n9 − 2 = 8\n</think>\n1 + 1 = 2";
    const own = (ids: number[], prompt: number[], by: BpeTokenizer) =>
      judge(
        problem,
        { ids, logProbs: [], finish: "stop" },
        prompt,
        task as Task,
        { tokenizer: by },
        rewards,
        1000,
      );
    // Bytes: é has two, × two, − three. So "é " is 3 and "3 × 4 = 12\n" 12 tokens long.
    const sample = own(bytes.encode(text), bytes.encode("ab"), bytes);
    expect(sample.text).toBe(text);
    expect(sample.equations).toEqual([
      { position: 2 + 3, holds: true },
      { position: 2 + 3 + 12, holds: false },
    ]);
    expect(sample.components.validity).toBe(0.25);
    // A decoder that drops the first blank of a text: after a prompt it is kept, and 7 8 stay two numbers.
    const pieces = ["▁3", "▁+", "▁4", "▁=", "▁7", "▁", "8"].map(id);
    const spoken = own(pieces, [pieces[0]], sentencePiece("Llama 2"));
    expect(spoken.text).toBe(" 3 + 4 = 7 8");
    expect(spoken.equations).toEqual(
      thoughtEquations({ text: spoken.text, ends: [2, 4, 6, 8, 10, 11, 12] }, 1),
    );
  });
});

describe("the metrics of a step's rewards", () => {
  const samples = [RIGHT, WRONG, NO_FORMAT, NOTHING].map((text) => sampled(text, { rewards, limit: 1000 }));
  const unscored: Sample = {
    ...samples[0],
    reward: null,
    verdict: { ...samples[0].verdict, value: null, kind: "unscored" },
  };
  const ended = (reason: string): Sample => ({
    ...samples[3],
    verdict: { ...samples[3].verdict, reason },
  });

  it("are means over scored samples, part by part, which add up to the reward's", () => {
    const metrics = rewardMetrics([...samples, unscored]);
    // (2.75 + 7/12 + 2 + 0) / 4 = 16/12
    expect(metrics["reward/mean"]).toBeCloseTo(4 / 3, 12);
    expect(metrics["reward/accuracy"]).toBe(1);
    expect(metrics["reward/format"]).toBe(0.125);
    // (1/2 + 1/3 + 0 + 0) / 4 = 5/24
    expect(metrics["reward/validity"]).toBeCloseTo(5 / 24, 12);
    expect(metrics["reward/overlong"]).toBe(0);
    expect(metrics).toMatchObject({ pass1: 0.5, format: 0.5, unscored: 1, unparsed: 1, "verifier/ended": 0 });
  });

  it("count what could not be read, and verifiers that were ended", () => {
    expect(rewardMetrics([ended("timeout"), ended("memory"), ended("other")])).toMatchObject({
      unparsed: 3,
      "verifier/ended": 2,
    });
  });

  it("are null where nothing was scored", () => {
    for (const none of [[], [unscored]])
      expect(rewardMetrics(none)).toEqual({
        "reward/mean": null,
        "reward/accuracy": null,
        "reward/format": null,
        "reward/validity": null,
        "reward/overlong": null,
        pass1: null,
        format: null,
        unscored: none.length,
        unparsed: 0,
        "verifier/ended": 0,
      });
  });

  it("tell the share of true equations in all and by position", () => {
    const at = (...equations: [position: number, holds: boolean][]): Sample => ({
      ...samples[0],
      equations: equations.map(([position, holds]) => ({ position, holds })),
    });
    const two = [
      at([0, true], [63, false], [64, true]),
      at([128, false], [63, true], [191, false], [192, true]),
    ];
    expect(validityByPosition(two)).toEqual([
      { from: 0, to: 64, share: 2 / 3, equations: 3 },
      { from: 64, to: 128, share: 1, equations: 1 },
      { from: 128, to: 192, share: 0, equations: 2 },
      { from: 192, to: 256, share: 1, equations: 1 },
    ]);
    expect(validityMetrics(two)).toEqual({
      validity: 4 / 7,
      "validity/0-63": 2 / 3,
      "validity/64-127": 1,
      "validity/128-191": 0,
      "validity/192-255": 1,
    });
    expect(validityMetrics([at()])).toEqual({ validity: null });
  });
});

describe("a rollout of a task whose verifier may hang", () => {
  let pool: VerifierPool;
  afterEach(() => pool.close());

  it("pitfall B10: ends it, pays nothing for it, judges all others, and counts it", async () => {
    const url = new URL("../tasks/naughty-task.ts", import.meta.url).href;
    const { naughtyTask } = await import("../tasks/naughty-task.ts");
    const bytes = new BpeTokenizer(trainBpe([], { vocabSize: 259 }));
    const options = { right: "42" };
    // In place nothing may be judged: it would hang this very test.
    const inPlace = () => {
      throw new Error("judged in place");
    };
    const threaded = inThreads(
      { ...naughtyTask(options), verify: inPlace },
      { module: url, factory: "naughtyTask", options },
      { limitMs: 1500 },
    );
    pool = threaded.pool;
    const texts = ["42", "hang", "41", "throw", "42", "nan", "42", "42"];
    // What a sampler would return, prompt by prompt.
    const model = {
      tokenizer: bytes,
      generate: async (requests: readonly unknown[]) => ({
        generations: texts
          .slice(0, requests.length)
          .map((text) => ({ ids: bytes.encode(text), logProbs: [], finish: "stop" })),
        flops: 3,
        tokens: 5,
      }),
    } as unknown as InferenceModel;
    const { groups } = await rollout(model, threaded, [7, 9], {
      seed: 1,
      split: "train",
      groupSize: 4,
      maxNewTokens: 10,
      sampling: { temperature: 1 },
      rewards: { accuracy: 1, format: 0, validity: 0, overlong: null },
    });
    const told = ({ verdict, reward }: Sample): [string, number | null, string] => [
      verdict.kind satisfies Verdict["kind"],
      reward,
      verdict.reason,
    ];
    expect(groups.map(({ problem: { id } }) => id)).toEqual(["naughty/7", "naughty/9"]);
    expect(groups.map(({ samples }) => samples.map(told))).toEqual([
      [
        ["right", 1, "naughty/7"],
        ["unparsed", 0, "timeout"],
        ["wrong", 0, "naughty/7"],
        ["unscored", null, "verifier fault: a bug"],
      ],
      [
        ["right", 1, "naughty/9"],
        ["unscored", null, "verifier fault: the value of its verdict is NaN, neither null nor from 0 to 1"],
        ["right", 1, "naughty/9"],
        ["right", 1, "naughty/9"],
      ],
    ]);
    expect(rewardMetrics(groups.flatMap(({ samples }) => samples))).toMatchObject({
      pass1: 4 / 6,
      unscored: 2,
      unparsed: 1,
      "verifier/ended": 1,
    });
    expect(pool).toMatchObject({ timeouts: 1, faults: 2 });
  });
});
