/** A task of one's own in this thread: what its parts may give, and what is said of what they may not. */
import { describe, expect, expectTypeOf, it } from "vitest";
import { Random } from "../../src/lib/random.ts";
import { answerIn, defineTask, type TaskDefinition, taskOf } from "../../src/tasks/define.ts";
import type { Problem, StreamKey } from "../../src/tasks/problem.ts";

const sum = defineTask({
  generate(seed, difficulty) {
    const random = new Random(seed);
    const [a, b] = [random.integer(0, 9 * difficulty), random.integer(0, 9 * difficulty)];
    return { question: `What is ${a} + ${b}?`, answer: a + b };
  },
  verify(problem, completion) {
    expectTypeOf(problem).toEqualTypeOf<{ question: string; answer: number }>();
    // @ts-expect-error: a problem has what generate gives, and nothing else
    problem.solution;
    return answerIn(completion) === String(problem.answer);
  },
});

const key = (index: number, split: StreamKey["split"] = "train", seed = 1): StreamKey => ({
  seed,
  split,
  index,
});
const right = (answer: unknown): string => `thought</think>\n<answer>${answer}</answer>`;

describe("problems", () => {
  const task = taskOf(sum, { name: "sum", difficulty: 100 });

  it("have the prompt of a template, the data of generate and a place", () => {
    const problem = task.generate(key(17, "test"));
    expect(problem.id).toBe("sum/1/test/17");
    expect(problem.prompt).toBe(`${problem.question}\n<think>\n`);
    expect(problem.question).toBe(
      `What is ${/(\d+) \+/.exec(problem.question)![1]} + ${/\+ (\d+)/.exec(problem.question)![1]}?`,
    );
    expect(taskOf(sum, { template: "r1" }).generate(key(0)).prompt).toMatch(
      /^A conversation .*User: What is \d \+ \d\? Assistant:\n<think>\n$/s,
    );
    expect(taskOf(sum, { template: "chat" }).generate(key(0)).messages).toEqual([
      { role: "system", content: expect.stringContaining("between <answer> and </answer>") },
      { role: "user", content: expect.stringMatching(/^What is \d \+ \d\?$/) },
    ]);
    const example = { question: "What is 1 + 1?", completion: "<answer>2</answer>" };
    const shown = taskOf({ ...sum, example }, { template: "chat" }).generate(key(0)).messages!;
    expect(shown.map(({ role }) => role)).toEqual(["system", "user", "assistant", "user"]);
    expect(shown.slice(1, 3).map(({ content }) => content)).toEqual(Object.values(example));
    expect(taskOf({ ...sum, example }).generate(key(0)).messages).toBeUndefined();
  });

  it("are equal for equal keys, and other seeds and difficulties give others", () => {
    const draw = (seed: number, difficulty = 100) =>
      Array.from(
        { length: 40 },
        (_, index) => taskOf(sum, { difficulty }).generate(key(index, "train", seed)).question,
      );
    expect(draw(1)).toEqual(draw(1));
    expect(draw(1).filter((question, i) => question === draw(2)[i]).length).toBeLessThan(4);
    expect(draw(1, 1).every((question) => /^What is \d \+ \d\?$/.test(question))).toBe(true);
  });

  it("are in one split each, by content, whatever the seeds", () => {
    const small = taskOf(sum, { difficulty: 1 });
    const owner = new Map<string, string>();
    for (const split of ["train", "validation", "test"] as const)
      for (const seed of [1, 2])
        for (let index = 0; index < 100; index++) {
          const { question } = small.generate(key(index, split, seed));
          expect(owner.get(question) ?? split).toBe(split);
          owner.set(question, split);
        }
    expect(new Set(owner.values()).size).toBe(3);
  });

  it("have the split of their own content, where the definition says what that is", () => {
    const sorted = {
      ...sum,
      content: ({ question }: { question: string }) => question.split(/\D+/).sort().join(),
    };
    const task = taskOf(sorted, { difficulty: 1 });
    const splits = new Map<string, Set<string>>();
    for (const split of ["train", "validation", "test"] as const)
      for (let index = 0; index < 150; index++) {
        const content = task.content!(task.generate(key(index, split)));
        splits.set(content, (splits.get(content) ?? new Set()).add(split));
      }
    expect([...splits.values()].every((of) => of.size === 1)).toBe(true);
  });

  it("may be a whole prompt or a chat, which no template changes", () => {
    const text = taskOf({ ...sum, generate: (seed) => ({ prompt: `${seed} =` }) } as TaskDefinition, {
      template: "r1",
    });
    expect(text.generate(key(0)).prompt).toMatch(/^\d+ =$/);
    const messages = [
      { role: "system" as const, content: "Add." },
      { role: "user" as const, content: "1 + 1" },
    ];
    const chat = taskOf({ generate: (seed) => ({ messages, seed }), verify: () => true });
    expect(chat.generate(key(0))).toMatchObject({ prompt: "1 + 1", messages });
  });
});

describe("a problem that is none", () => {
  class Odd {
    question = "Q";
  }
  const circle: Record<string, unknown> = { question: "Q" };
  circle.self = circle;
  it.each<[string, unknown, string]>([
    ["nothing", undefined, "nothing"],
    ["null", null, "null"],
    ["a number", 5, "the number 5"],
    ["a list", [{ question: "Q" }], "a list"],
    ["a promise", Promise.resolve({ question: "Q" }), "a promise"],
    ["one without a question", { answer: 5 }, "a problem without a question, a prompt or messages"],
    ["an empty question", { question: " " }, "a problem without a question, a prompt or messages"],
    [
      "messages of another form",
      { messages: [{ role: "tool", content: "x" }] },
      "a problem without a question, a prompt or messages",
    ],
    ["no messages", { messages: [] }, "a problem without a question, a prompt or messages"],
    [
      "a Map",
      { question: "Q", data: new Map() },
      'a problem whose "data" a file cannot keep (plain data alone)',
    ],
    [
      "a function within",
      { question: "Q", data: [{ of: () => 1 }] },
      'a problem whose "data" a file cannot keep (plain data alone)',
    ],
    [
      "NaN within",
      { question: "Q", answer: Number.NaN },
      'a problem whose "answer" a file cannot keep (plain data alone)',
    ],
    [
      "a bigint",
      { question: "Q", answer: 5n },
      'a problem whose "answer" a file cannot keep (plain data alone)',
    ],
    [
      "an object of a class",
      { question: "Q", data: new Odd() },
      'a problem whose "data" a file cannot keep (plain data alone)',
    ],
    ["a circle", circle, 'a problem whose "self" a file cannot keep (plain data alone)'],
  ])("%s is told with the seed", (_, given, said) => {
    const task = taskOf({ generate: () => given as never, verify: () => true }, { name: "odd" });
    const start = "The task odd: generate gave ";
    let message = "";
    try {
      task.generate(key(0));
    } catch (error) {
      expect(error).toMatchObject({ kind: "task" });
      message = (error as Error).message;
    }
    expect(message).toMatch(/ for the seed \d+$/);
    expect(message.slice(start.length).replace(/ for the seed \d+$/, "")).toBe(said);
  });

  it("an undefined key is left out, as in a file", () => {
    const generate = (seed: number) => ({ question: `Q${seed}`, hint: undefined, data: [1, { a: null }] });
    const problem = taskOf({ generate, verify: () => true }).generate(key(0));
    expect(Object.keys(problem).sort()).toEqual(["data", "id", "prompt", "question"]);
  });

  it("a generator that throws, or that is not a function of the seed, is told with the seed", () => {
    const thrower: TaskDefinition = {
      generate() {
        throw new RangeError("too hard");
      },
      verify: () => true,
    };
    expect(() => taskOf(thrower, { name: "t" }).generate(key(0))).toThrow(
      /^The task t: generate threw for the seed \d+: RangeError: too hard$/,
    );
    const chance: TaskDefinition = {
      generate: () => ({ question: String(Math.random()) }),
      verify: () => true,
    };
    expect(() => taskOf(chance, { name: "t" }).generate(key(0))).toThrow(
      /^The task t: generate gave two different problems for the seed \d+: use new Random\(seed\) for chance$/,
    );
  });
});

describe("verdicts", () => {
  const problem = { ...taskOf(sum).generate(key(0)), answer: 7 } as Problem & {
    question: string;
    answer: number;
  };
  const judge = (given: unknown, completion = right(5)) =>
    taskOf({ generate: () => ({ question: "Q" }), verify: () => given as never }, { name: "t" }).verify(
      problem,
      completion,
    );

  it("of the answer that a completion gives", () => {
    const task = taskOf(sum);
    expect(task.verify(problem, right(7))).toEqual({
      ...{ value: 1, kind: "right", extracted: "7", canonical: "7", format: true, reason: "right" },
    });
    expect(task.verify(problem, right(8))).toMatchObject({
      value: 0,
      kind: "wrong",
      canonical: "8",
      reason: "wrong",
    });
    expect(task.verify(problem, "7")).toMatchObject({
      value: 0,
      kind: "unparsed",
      canonical: null,
      reason: "no answer block",
    });
    expect(task.verify(problem, `${right(7)}${right(8)}`)).toMatchObject({
      value: 0,
      kind: "unparsed",
      extracted: "8",
      canonical: null,
    });
  });

  it.each<[unknown, object]>([
    [true, { value: 1, kind: "right" }],
    [false, { value: 0, kind: "wrong" }],
    [0.5, { value: 0.5, kind: "wrong" }],
    [{ value: true }, { value: 1, extracted: "5", canonical: "5" }],
    [
      { value: 0, extracted: "five", reason: "not a digit" },
      { value: 0, kind: "wrong", canonical: "five", reason: "not a digit" },
    ],
    [
      { value: 0, extracted: null },
      { value: 0, kind: "unparsed", canonical: null, extracted: "5" },
    ],
    [
      { value: null, reason: "no compiler" },
      { value: null, kind: "unscored", reason: "no compiler" },
    ],
  ])("%j is taken", (given, verdict) => {
    expect(judge(given)).toMatchObject(verdict);
  });

  it.each<[unknown, string]>([
    [Number.NaN, "the number NaN"],
    [2, "the number 2"],
    [-1, "the number -1"],
    [Number.POSITIVE_INFINITY, "the number Infinity"],
    [undefined, "nothing"],
    ["right", 'the text "right"'],
    [{ value: "1" }, 'the text "1"'],
    [{}, "nothing"],
    [[1], "nothing"],
  ])("%s is a fault of the verifier", (given, said) => {
    expect(judge(given)).toMatchObject({
      ...{ value: null, kind: "unscored" },
      reason: `verifier fault: The task t: verify gave ${said}, neither true nor false nor a number from 0 to 1`,
    });
  });

  it("a verifier that throws is unscored, one that is asynchronous is awaited", async () => {
    const thrower = taskOf(
      { generate: () => ({ question: "Q" }), verify: () => JSON.parse("{") },
      { name: "t" },
    );
    expect(thrower.verify(problem, "").reason).toMatch(
      /^verifier fault: The task t: verify threw: SyntaxError: /,
    );
    const late = taskOf({ ...sum, verify: async (p, text) => sum.verify(p, text) });
    const rejects = taskOf({ ...sum, verify: () => Promise.reject(new Error("no")) });
    expect((await late.verifyAll!([{ problem, completion: right(7) }]))[0]).toMatchObject({ value: 1 });
    expect((await rejects.verifyAll!([{ problem, completion: "" }]))[0]).toMatchObject({
      reason: expect.stringContaining("verify threw: Error: no"),
    });
    expect(late.verify(problem, right(7))).toMatchObject({
      value: null,
      reason: "the verifier is asynchronous",
    });
  });

  it("a completion of more than a million characters is 0 and not read, and a verdict keeps a part of a long answer", () => {
    const text = "x".repeat(1_000_001);
    expect(judge(true, text)).toMatchObject({ value: 0, kind: "unparsed" });
    expect(judge({ value: 0, extracted: "y".repeat(5000) }).canonical).toHaveLength(1001);
  });

  it("the format rule holds where the prompt opens the thought, and is R1's whole template where it does not", () => {
    const chat = taskOf(sum, { template: "chat" });
    const asked = chat.generate(key(0));
    expect(chat.verify(asked, right(1)).format).toBe(false);
    expect(chat.verify(asked, `<think>\n${right(1)}`).format).toBe(true);
  });
});

describe("rewards and the solver", () => {
  const problem = taskOf(sum).generate(key(0));
  const completion = {
    text: "",
    verdict: taskOf(sum).verify(problem, ""),
    steps: [],
    tokens: 5,
    maxNewTokens: 10,
  };
  const rewarded = (given: unknown) =>
    taskOf({ ...sum, rewards: { short: () => given as never } }, { name: "t" }).rewards!.short!;

  it("are numbers from -1 to 1, or null", () => {
    const short = taskOf({
      ...sum,
      rewards: { short: (_, { tokens, maxNewTokens }) => tokens / maxNewTokens },
    });
    expect(short.rewards!.short!(problem, completion)).toBe(0.5);
    for (const value of [-1, 0, 1, null]) expect(rewarded(value)(problem, completion)).toBe(value);
    for (const value of [1.01, -2, Number.NaN, Number.POSITIVE_INFINITY, undefined, "1", true])
      expect(() => rewarded(value)(problem, completion), String(value)).toThrow(
        /^The task t: rewards gave .* for short, neither null nor a number from -1 to 1$/,
      );
  });

  it("the solver's answer is text, and what it throws is told", () => {
    expect(taskOf({ ...sum, solve: ({ answer }) => answer as never }).solve!({ ...problem, answer: 3 })).toBe(
      "3",
    );
    const broken = taskOf({ ...sum, solve: () => JSON.parse("{") }, { name: "t" });
    expect(() => broken.solve!(problem)).toThrow(/^The task t: solve threw: SyntaxError/);
    expect(taskOf(sum).solve).toBeUndefined();
  });
});
