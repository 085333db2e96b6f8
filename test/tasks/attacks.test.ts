/** The attacks: every task of ours refuses them, and each is accepted by a verifier with the fault that it looks for. */
import { describe, expect, it } from "vitest";
import { attackTask } from "../../src/tasks/attacks.ts";
import { answerIn, type TaskDefinition, taskOf } from "../../src/tasks/define.ts";
import type { Problem, Task } from "../../src/tasks/problem.ts";
import { NAMED_KINDS, type TaskInput, taskFrom } from "../../src/tasks/registry.ts";

const drawn = (task: Task, count = 6): Problem[] =>
  Array.from({ length: count }, (_, index) => task.generate({ seed: 3, split: "train", index }));

describe("tasks of ours", () => {
  it.each(NAMED_KINDS)("%s refuses all", (kind) => {
    const task = taskFrom({ kind } as TaskInput);
    const results = attackTask(task, drawn(task));
    expect(results.filter(({ passed, failed }) => passed + failed > 0)).toEqual([]);
    expect(results.length).toBeGreaterThanOrEqual(14);
  });
});

interface Sum {
  question: string;
  answer: number;
}

const sums: TaskDefinition<Sum> = {
  generate: (seed) => ({ question: `What is ${seed % 50} - 10?`, answer: (seed % 50) - 10 }),
  verify: ({ answer }, completion) => answerIn(completion) === String(answer),
};
const broken = (verify: TaskDefinition<Sum>["verify"], count?: number) => {
  const task = taskOf({ ...sums, verify });
  const results = attackTask(task, drawn(task, count));
  return results.filter(({ passed }) => passed > 0).map(({ attack }) => attack);
};

it("a sound verifier refuses all 26, and those with an answer are left out where none is known", () => {
  const task = taskOf(sums);
  const results = attackTask(task, drawn(task));
  expect(results).toHaveLength(26);
  expect(
    results.every(({ tried, passed, failed, example }) => tried === 6 && passed + failed === 0 && !example),
  ).toBe(true);
  const blind = taskOf({ generate: (seed) => ({ question: `${seed}` }), verify: () => false });
  expect(attackTask(blind, drawn(blind))).toHaveLength(14);
  // One problem has no other answer to be mixed with.
  expect(attackTask(task, drawn(task, 1))).toHaveLength(14);
});

describe("a verifier that", () => {
  it.each<[string, TaskDefinition<Sum>["verify"], string[]]>([
    [
      "looks anywhere for the answer",
      ({ answer }, completion) => completion.includes(String(answer)),
      ["the answer in the thought alone", "all answers in one", "not the answer"],
    ],
    [
      "takes the last of several answers",
      ({ answer }, completion) =>
        completion.match(/<answer>([^<]*)<\/answer>(?!.*<answer>)/s)?.[1] === String(answer),
      ["two answers, the right one last", "an answer within an answer", "the answer in the thought alone"],
    ],
    [
      "takes the first of several answers",
      ({ answer }, completion) => completion.match(/<answer>([^<]*)<\/answer>/)?.[1] === String(answer),
      ["two answers, the right one first", "the answer in the thought alone"],
    ],
    [
      "finds the answer in the block",
      ({ answer }, completion) =>
        (answerIn(completion) ?? "").split(/\W+/).includes(String(Math.abs(answer))),
      [
        "all answers, the right one first",
        "the answer or another",
        "the answer a hundred thousand times",
        "the answer in noise",
      ],
    ],
    [
      "subtracts",
      ({ answer }, completion) => !(Math.abs(Number(answerIn(completion) ?? 1e9) - answer) > 1e-6),
      ["the word NaN", "the word undefined"],
    ],
    [
      "looks it up in an object",
      (_, completion) => Boolean(({ 1: true } as Record<string, unknown>)[answerIn(completion) ?? ""]),
      ["a property of all objects"],
    ],
    [
      "pays for length",
      (_, completion) => Math.min(1, completion.length / 1e4),
      ["an open thought", "half a million brackets"],
    ],
    ["pays for nothing", () => true, ["empty", "blanks", "an empty answer", "a blank answer"]],
    [
      "pays for the question",
      ({ question }, completion) => completion.includes(question),
      ["the prompt itself", "the prompt as the answer"],
    ],
  ])("%s is found", (_, verify, names) => {
    const found = broken(verify);
    for (const name of names) expect(found).toContain(name);
  });

  it("takes an empty answer for 0 is found where the answer is 0", () => {
    const zero = taskOf<Sum>({
      generate: (seed) => ({ question: `${seed % 9} * 0 + ${seed % 2}?`, answer: seed % 2 }),
      verify: ({ answer }, completion) => Number(answerIn(completion) ?? Number.NaN) === answer,
    });
    const found = attackTask(zero, drawn(zero, 8)).filter(({ passed }) => passed > 0);
    expect(found.map(({ attack }) => attack)).toEqual([
      "an empty answer",
      "a blank answer",
      "the answer in the thought and an empty one",
    ]);
    expect(found[0]!.passed).toBeLessThan(8);
    expect(found[0]!.example).toMatchObject({
      completion: "It is worked out.</think>\n<answer></answer>",
      verdict: { value: 1 },
    });
  });

  it("fails is told apart, since that is a way out of a bad verdict", () => {
    const task = taskOf({
      ...sums,
      verify: ({ answer }, completion) => JSON.parse(answerIn(completion) ?? "0") === answer,
    });
    const results = attackTask(task, drawn(task));
    const named = Object.fromEntries(results.map((one) => [one.attack, one]));
    expect(named["the word undefined"]).toMatchObject({ tried: 6, passed: 0, failed: 6 });
    expect(named["the word undefined"]!.example!.verdict.reason).toMatch(/^verifier fault: .*SyntaxError/);
  });
});
