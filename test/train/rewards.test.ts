/** Rewards and their metrics on fixed completions, with values worked out by hand. */
import { afterEach, describe, expect, it } from "vitest";
import type { InferenceModel } from "../../src/sample/inference.ts";
import { countdown, countdownOptions, parseUserProblem } from "../../src/tasks/countdown.ts";
import type { CheckedCompletion, Problem, Task, Verdict } from "../../src/tasks/problem.ts";
import { locateSteps, validityByPosition } from "../../src/tasks/steps.ts";
import { checkEquations } from "../../src/tasks/thought-equations.ts";
import { checkedVerdict } from "../../src/tasks/verdict.ts";
import { inThreads, type VerifierPool } from "../../src/tasks/verifier-pool.ts";
import { BpeTokenizer } from "../../src/tokenizer/bpe.ts";
import { CompactTokenizer } from "../../src/tokenizer/compact.ts";
import { completionText } from "../../src/tokenizer/stream.ts";
import type { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { trainBpe } from "../../src/tokenizer/train.ts";
import { overlongReward, rewards as registry, rewardsOf, scoreCompletion } from "../../src/train/rewards.ts";
import { rewardedSample, rollout, rolloutMetrics, type Sample } from "../../src/train/rollout.ts";
import { id, sentencePiece } from "../tokenizer/sentencepiece.ts";

const tokenizer = new CompactTokenizer();
const task = countdown(countdownOptions.parse({ kind: "countdown" }));
const problem = parseUserProblem("82 27 11 = 44");
type Options = Parameters<typeof rewardsOf>[0];
const rewards = { accuracy: 2, format: 0.25, validity: 0.5 };
const overlong = { mode: "soft" as const, buffer: 10, penalty: 4 };

/** A completion, verified and rewarded as a rollout does it. */
function judge(
  ids: number[],
  prompt: number[],
  by: Tokenizer,
  {
    own = task as Task,
    options = { rewards },
    limit = 100,
  }: { own?: Task; options?: Options; limit?: number } = {},
): Sample {
  const { text: completion, ends } = completionText(by, prompt, ids);
  const verdict = checkedVerdict(() => own.verify(problem, completion));
  const sampled = {
    ...{ ids, logProbs: [], mask: ids.map(() => 1), tokens: ids.length },
    ...{ text: completion, ends, finish: "stop" as const, spoken: null },
  };
  return rewardedSample(
    own,
    { problem, prompt, sampled, verdict },
    { rewards: rewardsOf(options, own), maxNewTokens: limit },
  );
}

/** A completion of 82 27 11 = 44, after a prompt of five tokens. */
const sampled = (text: string, over: Parameters<typeof judge>[3] = {}) =>
  judge(tokenizer.encode(text, { specials: true }), [1, 2, 3, 4, 5], tokenizer, over);

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
    const only = (over: Options["rewards"], text: string) =>
      sampled(text, { options: { rewards: over } }).reward;
    expect([RIGHT, WRONG, NO_FORMAT].map((text) => only({ accuracy: 1 }, text))).toEqual([1, 0, 1]);
    expect([RIGHT, WRONG, NO_FORMAT].map((text) => only({ format: 1 }, text))).toEqual([1, 1, 0]);
    expect([RIGHT, NO_FORMAT, NOTHING].map((text) => only({ validity: 1 }, text))).toEqual([1, 0, 0]);
    expect([RIGHT, WRONG].map((text) => only({}, text))).toEqual([0, 0]);
  });

  it("falls with the length over the last tokens before the limit", () => {
    // NOTHING has 5 tokens: 8, 2, comma, 2, 7.
    expect(tokenizer.encode(NOTHING)).toHaveLength(5);
    const options = { rewards, overlong };
    const of = (limit: number) => sampled(NOTHING, { options, limit }).components.overlong;
    expect([15, 14, 10, 5].map(of)).toEqual([0, -4 / 10, -2, -4]);
    expect(sampled(NOTHING, { options, limit: 10 }).reward).toBe(-2);
    const soft = overlongReward({ buffer: 10, penalty: 4 });
    expect(
      [90, 91, 95, 100, 101].map((tokens) => soft(problem, { ...checked(0), tokens, maxNewTokens: 100 })),
    ).toEqual([0, -0.4, -2, -4, -4]);
  });

  it("is none where the verifier gave no value, whatever the rest would earn", () => {
    const unscored = { ...problem, target: Number.NaN };
    const broken: Task = { ...(task as Task), verify: (_problem, text) => task.verify(unscored, text) };
    expect(sampled(RIGHT, { own: broken })).toMatchObject({ reward: null, verdict: { kind: "unscored" } });
    const thrown: Task = {
      ...(task as Task),
      verify: () => {
        throw new Error("a bug");
      },
    };
    expect(sampled(RIGHT, { own: thrown })).toMatchObject({
      reward: null,
      verdict: { kind: "unscored", reason: "verifier fault: a bug" },
    });
    // So does any reward that gives none.
    const none = { name: "none", weight: 0, reward: () => null };
    expect(scoreCompletion([...rewardsOf({ rewards }, task), none], problem, checked(1)).reward).toBeNull();
  });

  it("has a share of the accuracy for a share of the value", () => {
    const steps = [true, false, false, false].map((holds, index) => ({ index, holds }));
    const completion = { ...checked(0.5), steps, tokens: 95, maxNewTokens: 100 };
    expect(scoreCompletion(rewardsOf({ rewards, overlong }, task), problem, completion)).toEqual({
      components: { accuracy: 1, format: 0.25, validity: 0.125, overlong: -2 },
      reward: -0.625,
    });
  });
});

describe("where a thought's equations are", () => {
  it("is counted in tokens, the prompt's first", () => {
    // 8 2 - 2 7 = 5 5 comma: nine tokens to the second equation, and as many to the third.
    expect(sampled(WRONG).steps).toEqual([
      { position: 5, holds: true },
      { position: 14, holds: true },
      { position: 23, holds: false },
    ]);
    // The opening tag is one token, and no part of the thought.
    expect(sampled(`<think>\n${WRONG}`).steps?.map(({ position }) => position)).toEqual([6, 15, 24]);
  });

  it("is found in the verifier's own text: what the reward pays is what the text says", () => {
    const bytes = new BpeTokenizer(trainBpe([], { vocabSize: 259 }));
    const text = "é 3 × 4 = 12\n9 − 2 = 8\n</think>\n1 + 1 = 2";
    const own = (ids: number[], prompt: number[], by: BpeTokenizer) =>
      judge(ids, prompt, by, { limit: 1000 });
    // Bytes: é has two, × two, − three. So "é " is 3 and "3 × 4 = 12\n" 12 tokens long.
    const sample = own(bytes.encode(text), bytes.encode("ab"), bytes);
    expect(sample.text).toBe(text);
    expect(sample.steps).toEqual([
      { position: 2 + 3, holds: true },
      { position: 2 + 3 + 12, holds: false },
    ]);
    expect(sample.components.validity).toBe(0.25);
    // A decoder that drops the first blank of a text: after a prompt it is kept, and 7 8 stay two numbers.
    const pieces = ["▁3", "▁+", "▁4", "▁=", "▁7", "▁", "8"].map(id);
    const spoken = own(pieces, [pieces[0]], sentencePiece("Llama 2"));
    expect(spoken.text).toBe(" 3 + 4 = 7 8");
    expect(spoken.steps).toEqual(locateSteps(checkEquations(spoken.text), [2, 4, 6, 8, 10, 11, 12], 1));
  });
});

/** A scored completion in the format, right or in part. */
const checked = (value: number): CheckedCompletion => ({
  text: "",
  verdict: { value, kind: "right", extracted: null, canonical: null, format: true, reason: "" },
  ...{ steps: [], tokens: 1, maxNewTokens: 100 },
});

describe("the registry", () => {
  it("language: of the thought's words, the share in the prompt's language (2501.12948, section 2.3.2)", () => {
    const reward = (prompt: string, text: string) =>
      registry.language({ ...problem, prompt }, { ...checked(1), text });
    const bulgarian = "82, 27, 11 правят 44\n<think>\n";
    expect(reward(bulgarian, "82 - 27 = 55, не. 55 - 11 = 44, да!</think><answer>so 44</answer>")).toBe(1);
    expect(reward(bulgarian, "no, no, не. да!</think>")).toBe(0.5);
    expect(reward("82, 27, 11 make 44\n<think>\n", "no, no, не. да!</think>")).toBe(0.5);
    // Without words there is nothing in the language: leaving them out does not pay.
    expect(reward(bulgarian, "82 - 27 = 55</think><answer>не</answer>")).toBe(0);
    expect(reward("82, 27, 11\n<think>\n", "no</think>")).toBeNull();
    const messages = [
      { role: "system" as const, content: "Answer briefly." },
      { role: "user" as const, content: "Колко е 2 + 2?" },
    ];
    expect(registry.language({ ...problem, messages }, { ...checked(1), text: "четири" })).toBe(1);
  });

  it("readable: the form, one language, no false step, no repetition, and an end of its own", () => {
    const prompt = "82, 27, 11 make 44\n<think>\n";
    const fine = { ...checked(0), text: "82 - 27 = 55, no.\n</think>\n<answer>1</answer>" };
    const readable = (changed: Partial<CheckedCompletion>) =>
      registry.readable({ ...problem, prompt }, { ...fine, ...changed });
    expect(readable({})).toBe(1);
    expect(readable({ steps: [{ index: 0, holds: true }] })).toBe(1);
    expect(readable({ steps: [{ index: 0, holds: false }] })).toBe(0);
    expect(readable({ text: fine.text.replace("no", "не") })).toBe(0);
    expect(readable({ text: `82 - 27 = 55, no.\n${fine.text}` })).toBe(0);
    expect(readable({ tokens: 100 })).toBe(0);
    expect(readable({ verdict: { ...fine.verdict, format: false } })).toBe(0);
  });

  it("length: right completions earn more the shorter they are, wrong ones lose less the longer (2502.03373)", () => {
    const length = (value: number, tokens: number) => registry.length(problem, { ...checked(value), tokens });
    const right = [0, 50, 100, 120].map((tokens) => length(1, tokens));
    const wrong = [0, 50, 100].map((tokens) => length(0, tokens));
    [1, 0.5, 0, 0].forEach((value, i) => {
      expect(right[i]).toBeCloseTo(value, 12);
    });
    [-1, -0.5, 0].forEach((value, i) => {
      expect(wrong[i]).toBeCloseTo(value, 12);
    });
    const { verdict } = checked(0);
    expect(registry.length(problem, { ...checked(0), verdict: { ...verdict, value: null } })).toBeNull();
  });

  it("refuses a reward that neither it nor the task has, with those that there are", () => {
    expect(() => rewardsOf({ rewards: { accuracy: 1, validty: 1 } }, task)).toThrow(
      'rewards.validty: expected a reward that the task countdown has: accuracy, format, length, language, readable, validity, found "validty". Correct its name, or leave it out.',
    );
    expect(() => rewardsOf({ rewards: { validity: 1 } }, { name: "other" })).toThrow(
      "accuracy, format, length, language, readable,",
    );
  });

  it("a task's own reward sees the problem and the completion", () => {
    const shout = {
      name: "shout",
      rewards: { loud: (_: Problem, { text }: CheckedCompletion) => text.length },
    };
    const [loud] = rewardsOf({ rewards: { loud: 0.5 } }, shout);
    expect(scoreCompletion([loud], problem, { ...checked(1), text: "HEY" })).toEqual({
      reward: 1.5,
      components: { loud: 1.5 },
    });
  });
});

describe("the metrics of a step's rewards", () => {
  const metricsOf = (list: Sample[]) => rolloutMetrics([{ problem, samples: list }]);
  const validityOf = (list: Sample[]) =>
    Object.fromEntries(Object.entries(metricsOf(list)).filter(([name]) => name.startsWith("validity")));
  const samples = [RIGHT, WRONG, NO_FORMAT, NOTHING].map((text) =>
    sampled(text, { options: { rewards, overlong }, limit: 1000 }),
  );
  const unscored: Sample = {
    ...samples[0],
    reward: null,
    verdict: { ...samples[0].verdict, value: null, kind: "unscored" },
  };
  const ended = (reason: string): Sample => ({
    ...unscored,
    verdict: { ...unscored.verdict, reason },
  });

  it("are means over scored samples, part by part, which add up to the reward's", () => {
    const metrics = metricsOf([...samples, unscored]);
    // (2.75 + 7/12 + 2 + 0) / 4 = 16/12
    expect(metrics["reward/mean"]).toBeCloseTo(4 / 3, 12);
    expect(metrics["reward/accuracy"]).toBe(1);
    expect(metrics["reward/format"]).toBe(0.125);
    // (1/2 + 1/3 + 0 + 0) / 4 = 5/24
    expect(metrics["reward/validity"]).toBeCloseTo(5 / 24, 12);
    expect(metrics["reward/overlong"]).toBe(0);
    expect(metrics).toMatchObject({
      "pass@1": 0.5,
      format: 0.5,
      unscored: 1,
      unparsed: 1,
      "verifier/ended": 0,
    });
  });

  it("count what could not be read, and verifiers that were ended", () => {
    expect(metricsOf([samples[3], ended("timeout"), ended("memory"), ended("other")])).toMatchObject({
      unparsed: 1,
      unscored: 3,
      "verifier/ended": 2,
    });
  });

  it("are null where nothing was scored", () => {
    expect(metricsOf([unscored])).toMatchObject({
      "reward/mean": null,
      "reward/accuracy": null,
      "reward/format": null,
      "reward/validity": null,
      "reward/overlong": null,
      "pass@1": null,
      format: null,
      unscored: 1,
      unparsed: 0,
      "verifier/ended": 0,
    });
  });

  it("tell the share of true equations in all and by position", () => {
    const at = (...equations: [position: number, holds: boolean][]): Sample => ({
      ...samples[0],
      steps: equations.map(([position, holds]) => ({ position, holds })),
    });
    const two = [
      at([0, true], [63, false], [64, true]),
      at([128, false], [63, true], [191, false], [192, true]),
    ];
    expect(validityByPosition(two.map(({ steps }) => ({ steps: steps ?? [] })))).toEqual([
      { from: 0, to: 64, share: 2 / 3, steps: 3 },
      { from: 64, to: 128, share: 1, steps: 1 },
      { from: 128, to: 192, share: 0, steps: 2 },
      { from: 192, to: 256, share: 1, steps: 1 },
    ]);
    expect(validityOf(two)).toEqual({
      validity: 4 / 7,
      "validity/0-63": 2 / 3,
      "validity/64-127": 1,
      "validity/128-191": 0,
      "validity/192-255": 1,
    });
    expect(validityOf([at()])).toEqual({ validity: null });
    // A task that checks no steps has none.
    expect(validityOf([{ ...samples[0], steps: null }])).toEqual({});
  });
});

describe("a rollout of a task whose verifier may hang", () => {
  let pool: VerifierPool;
  afterEach(() => pool.close());

  it("pitfall B10: ends it, leaves it unscored, judges all others, and counts it", async () => {
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
    const groups = await rollout(model, threaded, [7, 9], {
      seed: 1,
      groupSize: 4,
      maxNewTokens: 10,
      sampling: { temperature: 1 },
      rewards: rewardsOf({ rewards: { accuracy: 1 } }, threaded),
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
        ["unscored", null, "timeout"],
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
    expect(rolloutMetrics(groups)).toMatchObject({
      "pass@1": 4 / 5,
      unscored: 3,
      unparsed: 0,
      "verifier/ended": 1,
    });
    expect(pool).toMatchObject({ ended: 1, faults: 2 });
  });
});
