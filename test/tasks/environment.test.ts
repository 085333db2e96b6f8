/** An environment of one's own in this thread: what `step` may give, and what is said of what it may not. */
import { describe, expect, expectTypeOf, it } from "vitest";
import { Random } from "../../src/lib/random.ts";
import { attackTask } from "../../src/tasks/attacks.ts";
import { converse, judgeAgain, transcript } from "../../src/tasks/conversation.ts";
import { answerIn, taskOf } from "../../src/tasks/define.ts";
import { defineEnvironment, type EnvironmentDefinition, environmentOf } from "../../src/tasks/environment.ts";
import { completionWith, probeTask } from "../../src/tasks/probe.ts";
import type { Problem, StreamKey } from "../../src/tasks/problem.ts";

/** The number is guessed with the help of "higher" and "lower". */
const guess = defineEnvironment({
  name: "guess",
  maxTurns: 3,
  start(seed, difficulty) {
    const secret = new Random(seed).integer(1, 10 * difficulty);
    return { question: `Guess a number up to ${10 * difficulty} (${seed}).`, secret, tried: [] as number[] };
  },
  step(state, completion) {
    expectTypeOf(state).toEqualTypeOf<{ question: string; secret: number; tried: number[] }>();
    const number = Number(answerIn(completion) ?? completion);
    if (number === state.secret) return { done: { value: true, extracted: String(number) } };
    if (!Number.isInteger(number) || state.tried.includes(number)) return { done: 0 };
    const reply = number < state.secret ? "higher" : "lower";
    return { reply, state: { tried: [...state.tried, number] } };
  },
  solve: ({ secret }) => String(secret),
});

const key = (index: number, split: StreamKey["split"] = "train"): StreamKey => ({ seed: 1, split, index });
const task = environmentOf(guess, { difficulty: 2 });
const { environment } = task;
const problem = { ...task.generate(key(0)), secret: 7 };

/** Holds one conversation with these completions. */
const hold = async (texts: readonly string[], of = task, from: Problem = problem, cut = false) =>
  (await judgeAgain(of.environment!, [{ problem: from, completions: texts, cut }]))[0]!;

describe("an environment", () => {
  it("asks like a task: equal problems for equal keys, in the recipe's template, with its solver", () => {
    expect(task.generate(key(3))).toEqual(task.generate(key(3)));
    expect(task.generate(key(3))).toMatchObject({
      id: "guess/1/train/3",
      prompt: expect.stringMatching(/^Guess a number up to 20 .*\n<think>\n$/),
      tried: [],
    });
    expect(environmentOf(guess, { template: "chat" }).generate(key(0)).messages).toHaveLength(2);
    expect(task.solve!(problem)).toBe("7");
    expect(environment!.maxTurns).toBe(3);
  });

  it("goes on from the state that a step gives, and ends with its judgement", async () => {
    expect(await environment!.step([{ problem, completion: "5" }])).toEqual([
      { reply: [{ role: "user", content: "higher" }], state: { ...problem, tried: [5] } },
    ]);
    expect(await hold(["5", "9", "7"])).toMatchObject({
      completions: ["5", "9", "7"],
      replies: [[{ role: "user", content: "higher" }], [{ role: "user", content: "lower" }]],
      verdict: { value: 1, kind: "right", canonical: "7" },
      turnLimit: false,
    });
    expect(await hold(["5", "5", "7"])).toMatchObject({ completions: ["5", "5"], verdict: { value: 0 } });
    expect(transcript(await hold(["5", "7"]))).toBe("5\n[user] higher\n7");
  });

  it("gives 0 for a conversation that its limit of turns ends, and for one that the limit of tokens ends", async () => {
    expect(await hold(["5", "6", "8", "7"])).toMatchObject({
      completions: ["5", "6", "8"],
      verdict: { value: 0, kind: "unparsed", reason: "no end in 3 turns" },
      turnLimit: true,
    });
    expect(await hold(["5", "6"], task, problem, true)).toMatchObject({
      verdict: { value: 0, kind: "unparsed", reason: "cut off in turn 2, before the end" },
      turnLimit: false,
    });
    // What was cut may be an answer all the same.
    expect((await hold(["5", "7"], task, problem, true)).verdict.value).toBe(1);
  });

  it("judges one completion as a conversation of one turn, for probes and attacks", async () => {
    expect(task.verify(problem, completionWith("7"))).toMatchObject({ value: 1, format: true });
    expect(task.verify(problem, "5")).toMatchObject({ value: 0, reason: "the conversation goes on" });
    expect(await task.verifyAll!([{ problem, completion: "5" }])).toEqual([task.verify(problem, "5")]);
    const problems = Array.from({ length: 10 }, (_, index) => task.generate(key(index)));
    expect(probeTask(task, problems)).toEqual([]);
    expect(attackTask(task, problems).filter(({ passed, failed }) => passed + failed > 0)).toEqual([]);
  });

  it("with one turn gives the verdicts of the same task", async () => {
    type Asked = { question: string; answer: number };
    const generate = (seed: number): Asked => ({ question: `Q${seed}`, answer: seed % 10 });
    const verify = (state: Asked, text: string) => answerIn(text) === String(state.answer);
    const single = taskOf({ name: "one", generate, verify });
    const step = (state: Asked, text: string) => ({ done: verify(state, text) });
    const own = environmentOf({ name: "one", start: generate, maxTurns: 1, step });
    for (let index = 0; index < 5; index++) {
      const asked = single.generate(key(index));
      expect(own.generate(key(index))).toEqual(asked);
      for (const text of [
        completionWith(String(asked.answer)),
        completionWith("x"),
        "",
        "x".repeat(1_000_001),
      ])
        expect((await hold([text], own as never, asked)).verdict).toEqual(single.verify(asked, text));
    }
  });

  it("holds many conversations together, a turn of all that are open at a time", async () => {
    const asked: number[][] = [];
    const ended: number[] = [];
    const script = [["7"], ["1", "7"], ["1", "2", "3"]];
    const conversations = await converse(
      environment!,
      script.map(() => problem),
      async (open) => {
        asked.push(open.map(({ index }) => index));
        return open.map(({ index, turn }) => ({ completion: script[index]![turn]!, cut: false }));
      },
      (index) => ended.push(index),
    );
    expect(asked).toEqual([[0, 1, 2], [1, 2], [2]]);
    expect(ended).toEqual([0, 1, 2]);
    expect(conversations.map(({ verdict }) => verdict.value)).toEqual([1, 1, 0]);
  });

  it("shows its tools in a chat alone, and keeps problem and prompt whatever a step gives", async () => {
    const tools = [{ type: "function", function: { name: "add", parameters: {} } }];
    const own = { ...guess, tools, step: () => ({ reply: "x", state: { prompt: "y", id: "z", secret: 1 } }) };
    expect(environmentOf(own, { template: "chat" }).generate(key(0)).tools).toEqual(tools);
    expect(environmentOf(own).generate(key(0)).tools).toBeUndefined();
    const [outcome] = await environmentOf(own as never).environment!.step([{ problem, completion: "" }]);
    expect(outcome).toMatchObject({ state: { ...problem, secret: 1 } });
  });
});

describe("a step that is none", () => {
  const stepping = (step: unknown, more: object = {}) =>
    environmentOf({ start: () => ({ question: "Q" }), step, ...more } as EnvironmentDefinition, {
      name: "t",
    });
  const outcome = async (given: unknown) =>
    (await stepping(() => given).environment!.step([{ problem, completion: "a" }]))[0]!;
  const FAULT = "verifier fault: The environment t: step gave ";

  it.each<[unknown, string]>([
    [undefined, "nothing, neither { reply } nor { done }"],
    ["right", 'the text "right", neither { reply } nor { done }'],
    [true, "true, neither { reply } nor { done }"],
    [{ answer: 5 }, "an object, neither { reply } nor { done }"],
    [{ reply: 5 }, "an object, neither { reply } nor { done }"],
    [{ reply: [] }, "an object, neither { reply } nor { done }"],
    [{ reply: [{ role: "system", content: "x" }] }, "an object, neither { reply } nor { done }"],
    [{ reply: { role: "tool", content: 84 } }, "an object, neither { reply } nor { done }"],
    [{ reply: "x".repeat(100_001) }, "a reply of more than 100000 characters"],
    [{ reply: "x", state: [1] }, "a state that a file cannot keep (an object of plain data alone)"],
    [
      { reply: "x", state: { at: new Map() } },
      "a state that a file cannot keep (an object of plain data alone)",
    ],
    [{ reply: "x", state: null }, "a state that a file cannot keep (an object of plain data alone)"],
    [{ done: Number.NaN }, "the number NaN, neither true nor false nor a number from 0 to 1, as done"],
    [{ done: 2 }, "the number 2, neither true nor false nor a number from 0 to 1, as done"],
    [{ done: "yes" }, 'the text "yes", neither true nor false nor a number from 0 to 1, as done'],
  ])("%j leaves the conversation without a score", async (given, said) => {
    expect(await outcome(given)).toEqual({
      verdict: expect.objectContaining({ value: null, kind: "unscored", reason: FAULT + said }),
    });
    expect(stepping(() => given).verify(problem, "a").reason).toBe(FAULT + said);
  });

  it("that throws, now or later, says what", async () => {
    const now = stepping(() => JSON.parse("{"));
    const later = stepping(() => Promise.reject(new RangeError("no")));
    for (const [of, said] of [
      [now, "SyntaxError: "],
      [later, "RangeError: no"],
    ] as const) {
      const [first] = await of.environment!.step([{ problem, completion: "" }]);
      expect(first).toMatchObject({
        verdict: {
          value: null,
          reason: expect.stringContaining(`verifier fault: The environment t: step threw: ${said}`),
        },
      });
    }
    expect(now.verify(problem, "").reason).toContain("step threw: SyntaxError");
    expect(later.verify(problem, "").reason).toBe("the step is asynchronous");
  });

  it("that remembers outside of its state is found out", async () => {
    let calls = 0;
    const [first] = await stepping(() => ({ reply: `${++calls}` })).environment!.step([
      { problem, completion: "" },
    ]);
    expect(first).toMatchObject({
      verdict: {
        reason: `${FAULT}two results for one state and completion: what it remembers belongs in the state`,
      },
    });
  });

  it("that changes its state in place does not change the problem", async () => {
    const own = stepping((state: { tried: number[] }) => {
      state.tried.push(1);
      return { reply: "x", state };
    });
    const from = { ...problem, tried: [] };
    const [first] = await own.environment!.step([{ problem: from, completion: "" }]);
    expect(first).toMatchObject({ state: { tried: [1] } });
    expect(from.tried).toEqual([]);
  });

  it("a start that throws and a limit that is none are told by name", () => {
    const broken = environmentOf(
      {
        start: () => JSON.parse("{"),
        step: () => ({ done: true }),
      },
      { name: "t" },
    );
    expect(() => broken.generate(key(0))).toThrow(/^The environment t: start threw for the seed \d+: Syntax/);
    for (const maxTurns of [0, 1.5, Number.POSITIVE_INFINITY, "3"])
      expect(() => stepping(() => ({ done: true }), { maxTurns })).toThrow(
        /^The environment t: maxTurns is /,
      );
  });
});
