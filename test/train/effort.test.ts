/** Effort: the penalty worked out by hand, the order of problems and levels, the prompt, and what a recipe refuses. */
import { describe, expect, it, test } from "vitest";
import { chooseProblems } from "../../src/eval/problems.ts";
import { parseRecipe } from "../../src/recipe/load.ts";
import type { InferenceModel } from "../../src/sample/inference.ts";
import { atEffort } from "../../src/tasks/effort.ts";
import type { CheckedCompletion, Problem } from "../../src/tasks/problem.ts";
import { taskFrom } from "../../src/tasks/registry.ts";
import { CompactTokenizer } from "../../src/tokenizer/compact.ts";
import { effortMetrics, effortReward, placeOf } from "../../src/train/effort.ts";
import { rewardsOf } from "../../src/train/rewards.ts";
import { rollout, rolloutMetrics } from "../../src/train/rollout.ts";

const effort = { levels: [1, 5, 9], penalty: { scale: 0.8, decay: 4, most: 0.5 } };
const of = (level: number | undefined, tokens: number, length?: number): number | null =>
  effortReward({ ...effort, penalty: { ...effort.penalty, length } }, 100)(
    { id: "x", prompt: "", effort: level } as Problem,
    { tokens } as CheckedCompletion,
  );

test.each<[number | undefined, number, number | undefined, number]>([
  [1, 50, undefined, -0.8 * 0.5],
  [5, 50, undefined, (-0.8 * 0.5) / Math.E],
  [9, 50, undefined, (-0.8 * 0.5) / Math.E ** 2],
  [1, 100, undefined, -0.5],
  [9, 100, undefined, -0.8 / Math.E ** 2],
  [1, 50, 200, -0.8 * 0.25],
  [1, 0, undefined, 0],
  [undefined, 100, undefined, 0],
])("at level %s, %s tokens over %s cost %s", (level, tokens, length, reward) => {
  expect(of(level, tokens, length)).toBeCloseTo(reward, 12);
});

describe("the groups of a step", () => {
  it("are each problem at each level, one after the other", () => {
    const places = Array.from({ length: 6 }, (_, index) => placeOf(index, effort));
    expect(places.map(({ index }) => index)).toEqual([0, 0, 0, 1, 1, 1]);
    expect(places.map((place) => place.effort)).toEqual([1, 5, 9, 1, 5, 9]);
    expect(placeOf(4, undefined)).toEqual({ index: 4 });
  });

  it("are sampled so, and rewarded by their level", async () => {
    const task = taskFrom({ kind: "countdown" });
    const tokenizer = new CompactTokenizer();
    const prompts: string[] = [];
    const ids = tokenizer.encode("1 + 1 = 2", {});
    const model = {
      ...{ tokenizer, config: { vocabSize: 29, maxPositions: 512 } },
      generate: async (requests: { prompt: number[] }[]) => {
        for (const { prompt } of requests) prompts.push(tokenizer.decode(prompt));
        const generations = requests.map(() => ({
          ids,
          logProbs: ids.map(() => 0),
          finish: "stop" as const,
        }));
        return { generations, flops: 0, tokens: 0, steps: 1, drafted: 0, accepted: 0 };
      },
    } as unknown as InferenceModel;
    const options = { rewards: { accuracy: 1 }, effort, maxNewTokens: 100 };
    const groups = await rollout(model, task, [0, 1, 2, 3], {
      ...{ seed: 1, groupSize: 1, sampling: { temperature: 1 }, maxNewTokens: 100, effort },
      rewards: rewardsOf(options, task),
    });
    expect(prompts.map((prompt) => prompt.split("\n")[0])).toEqual(["1", "5", "9", "1"]);
    expect(new Set(prompts.map((prompt) => prompt.split("\n")[1])).size).toBe(2);
    const penalty = (level: number) => -0.8 * Math.exp(-(level - 1) / 4) * (ids.length / 100);
    groups.forEach(({ samples: [sample] }, i) => {
      expect(sample!.components.effort).toBeCloseTo(penalty([1, 5, 9, 1][i]!), 12);
      expect(sample!.reward).toBeCloseTo(penalty([1, 5, 9, 1][i]!), 12);
    });
    expect(rolloutMetrics(groups)).toMatchObject({ "effort/1/length": ids.length, "effort/9/pass@1": 0 });
  });
});

test("metrics are by level; unscored samples count for the length alone", () => {
  const sample = (tokens: number, value: number | null) => ({ tokens, reward: value, verdict: { value } });
  const group = (effort: number | undefined, ...samples: ReturnType<typeof sample>[]) => ({
    problem: { id: "x", prompt: "", effort },
    samples,
  });
  const groups = [
    group(9, sample(10, 1), sample(30, 0)),
    group(1, sample(4, null)),
    group(undefined, sample(99, 1)),
    group(9, sample(20, 1)),
  ];
  expect(effortMetrics(groups as never)).toEqual({
    "effort/1/pass@1": null,
    "effort/1/length": 4,
    "effort/9/pass@1": 2 / 3,
    "effort/9/length": 20,
  });
});

describe("a problem at an effort", () => {
  const task = taskFrom({ kind: "countdown" });

  it("begins with a line of its number, which the compact vocabulary spells", () => {
    const [{ problem, key }] = chooseProblems(task, { seed: 1, part: "test", problems: 1, effort: 50 });
    const [plain] = chooseProblems(task, { seed: 1, part: "test", problems: 1 });
    expect(problem!.prompt).toBe(`50\n${plain!.problem.prompt}`);
    expect(key).toBe(plain!.key);
    expect(new CompactTokenizer().encode(problem!.prompt, { specials: true }).slice(0, 3)).toEqual([
      12, 7, 26,
    ]);
    expect(task.verify(problem!, `</think>\n<answer>${task.solve!(problem!)}</answer>`).value).toBe(1);
  });

  it("says it in the system's message of a chat", () => {
    const asked = { id: "x", prompt: "", messages: [{ role: "user" as const, content: "a" }] };
    expect(atEffort(asked, 3).messages).toEqual([
      { role: "system", content: "Effort: 3" },
      asked.messages[0],
    ]);
    const system = { ...asked, messages: [{ role: "system" as const, content: "s" }, ...asked.messages] };
    expect(atEffort(system, 3).messages![0]).toEqual({ role: "system", content: "s\nEffort: 3" });
    expect(atEffort(asked, undefined)).toBe(asked);
  });
});

test("a recipe names each level once, and asks a problem at all of them in a step", () => {
  const recipe = (levels: string, problems: number) => () =>
    parseRecipe(
      `name: e
seed: 1
model: { layers: 1, hiddenSize: 16, heads: 2, intermediateSize: 16, maxPositions: 128 }
tokenizer: { kind: compact }
task: { kind: countdown }
stages:
  - { name: rl, kind: grpo, steps: 1, problemsPerStep: ${problems}, groupSize: 2, maxNewTokens: 20, temperature: 1, rewards: { accuracy: 1, format: 0.1 }, advantage: grpo, ratio: token, aggregation: token-mean, clip: { low: 0.2, high: 0.2 }, kl: 0, effort: { levels: ${levels}, penalty: { scale: 1, decay: 2 } }, optimizer: { kind: adamw, lr: 1.0e-4 }, schedule: { kind: constant } }
`,
      "e.yaml",
    );
  expect(recipe("[1, 9]", 4)).not.toThrow();
  expect(recipe("[1, 9]", 3)).toThrow(/use a multiple of 2, such as 4/);
  expect(recipe("[9, 9]", 4)).toThrow(/named twice/);
  expect(recipe("[9]", 4)).toThrow();
});
