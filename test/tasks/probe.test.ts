/** What the first problems of a task show of its faults. */
import { describe, expect, it } from "vitest";
import { type Asked, answerIn, type TaskDefinition, taskOf } from "../../src/tasks/define.ts";
import { completionWith, leakIn, probeTask } from "../../src/tasks/probe.ts";
import type { Problem, StreamKey } from "../../src/tasks/problem.ts";

type Known = Asked & { answer: string };

const asks = (
  question: (answer: string, seed: number) => string,
  answer = (seed: number) => String(seed % 97),
) =>
  taskOf<Known>(
    {
      generate: (seed) => ({ question: question(answer(seed), seed), answer: answer(seed) }),
      verify: (problem, completion) => answerIn(completion) === problem.answer,
    },
    { name: "t" },
  );
const problems = (task: { generate(key: StreamKey): Problem }, count = 20): Problem[] =>
  Array.from({ length: count }, (_, index) => task.generate({ seed: 1, split: "train", index }));
const leak = (task: ReturnType<typeof asks>, count?: number) => leakIn(task, problems(task, count));

describe("a prompt that says its answer", () => {
  it.each<[string, Parameters<typeof asks>[0], string]>([
    ["in the form of an answer", (answer, seed) => `Q${seed}? <answer>${answer}</answer>`, 'after "er>"'],
    ["after fixed words", (answer, seed) => `What is ${seed} mod 97? Solution: ${answer}.`, 'after "n: "'],
    ["in data that was printed", (answer, seed) => JSON.stringify({ seed, answer }), 'after "\\":\\""'],
    ["at its beginning", (answer, seed) => `${answer} is the rest of ${seed}`, "at its beginning"],
  ])("%s is found", (_, question, place) => {
    expect(leak(asks(question))).toBe(
      `t: the prompt says the right answer ${place}, in each of 20 problems: it can be copied.`,
    );
  });

  it.each<[string, Parameters<typeof asks>[0], ((seed: number) => string)?]>([
    ["that is not there", (_, seed) => `What is ${seed} mod 97?`],
    [
      "that is one of a list",
      (answer, seed) => `Which is a rest? ${seed % 2 ? `0x, ${answer}` : `${answer}, 0x`}`,
    ],
    [
      "that is yes or no",
      (_, seed) => `Is ${seed} even? Answer yes or no.`,
      (seed) => (seed % 2 ? "no" : "yes"),
    ],
    ["that is a part of a longer number", (answer) => `What ends 1${answer}?`],
    ["that is nearly always there", (answer, seed) => (seed % 3 ? `Say: ${answer}` : `Say ${seed}`)],
  ])("an answer %s is none", (_, question, answer) => {
    expect(leak(asks(question, answer))).toBeNull();
  });

  it("is looked for where there are problems enough, and in all messages of a chat", () => {
    const copy = asks((answer, seed) => `Q${seed}? Answer: ${answer}`);
    expect([leak(copy, 7), leak(copy, 8)]).toEqual([null, expect.stringContaining("in each of 8 problems")]);
    const chat = taskOf<Known>({
      generate: (seed) => ({
        messages: [
          { role: "system", content: `The answer: ${seed % 97}` },
          { role: "user", content: `${seed}?` },
        ],
        answer: String(seed % 97),
      }),
      verify: () => false,
    });
    expect(leakIn(chat, problems(chat))).toContain('after "r: "');
    const unknown = taskOf({ generate: (seed) => ({ question: `${seed}` }), verify: () => false });
    expect(leakIn(unknown, problems(unknown))).toBeNull();
  });
});

describe("probeTask", () => {
  const good: TaskDefinition<Known> = {
    generate: (seed) => ({ question: `What is ${seed} mod 97?`, answer: String(seed % 97) }),
    verify: (problem, completion) => answerIn(completion) === problem.answer,
  };
  const probe = (changes: Partial<TaskDefinition<Known>>, rewards: string[] = []) => {
    const task = taskOf<Known>({ ...good, ...changes }, { name: "t" });
    return () => probeTask(task, problems(task), rewards);
  };

  it("finds nothing in a sound task", () => {
    expect(probe({})()).toEqual([]);
    expect(
      probe({ solve: ({ answer }) => answer, rewards: { one: () => 1 } }, ["one", "accuracy"])(),
    ).toEqual([]);
  });

  it("warns of a verifier that accepts nothing, or refuses what the solver says", () => {
    expect(probe({ verify: () => true })()).toEqual(["t: verify accepts an empty completion."]);
    const refused = probe({ solve: () => "0.5" })();
    expect(refused).toHaveLength(4);
    expect(refused[0]).toBe(
      `t: verify refuses the right answer of t/1/train/0, the completion ${JSON.stringify(completionWith("0.5"))}: wrong.`,
    );
  });

  it("stops where the verifier or a reward fails, on the completion that shows it", () => {
    const empty = probe({ verify: (_, completion) => completion.match(/a/)!.length });
    expect(empty).toThrow(expect.objectContaining({ kind: "task" }));
    expect(empty).toThrow(
      /^The task t: verify threw: TypeError: .*, on the empty completion of the problem t\/1\/train\/0\. /,
    );
    expect(probe({ verify: (_, completion) => (completion === "" ? 0 : Number.NaN) })).toThrow(
      /verify gave the number NaN, .*, on the completion "It is worked out\./,
    );
    const two = { rewards: { big: () => 2 } };
    expect(probe(two, ["big"])).toThrow(/^The task t: rewards gave the number 2 for big/);
    expect(probe(two)()).toEqual([]);
  });

  it("takes an unscored verdict that the verifier gives itself", () => {
    expect(probe({ verify: () => ({ value: null, reason: "no compiler" }) })()).toEqual([]);
  });
});
