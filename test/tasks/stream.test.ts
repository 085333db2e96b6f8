import { describe, expect, it } from "vitest";
import type { StreamKey } from "../../src/tasks/problem.ts";
import { type TaskInput, taskFrom } from "../../src/tasks/registry.ts";
import { drawInSplit, splitOf, stream } from "../../src/tasks/stream.ts";

const SPLITS = ["train", "validation", "test"] as const;

describe("stream", () => {
  it("is one stream a key, not a sum of seed and index", () => {
    const first = (seed: number, index: number) => stream(seed, "countdown", "train", index).uniform();
    expect(first(42, 1)).not.toBe(first(43, 0));
    expect(first(42, 1)).toBe(first(42, 1));
  });
});

describe("splitOf", () => {
  it("gives a tenth to test, a tenth to validation and the rest to training", () => {
    const counts = { train: 0, validation: 0, test: 0 };
    for (let i = 0; i < 20_000; i++) counts[splitOf("shares", `problem ${i}`)]++;
    // Five standard errors of a share of 0.1 in 20,000 are 212.
    expect(Math.abs(counts.test - 2000)).toBeLessThan(212);
    expect(Math.abs(counts.validation - 2000)).toBeLessThan(212);
    expect(counts.train + counts.validation + counts.test).toBe(20_000);
  });
});

/** A problem without what is not its content. */
const asked = (task: ReturnType<typeof taskFrom>, key: StreamKey) => {
  const { prompt } = task.generate(key);
  const [numbers, target] = prompt.split(" make ");
  return target === undefined ? prompt : `${numbers!.split(", ").sort().join()} ${target}`;
};

describe.each<TaskInput>([
  { kind: "countdown" },
  { kind: "countdown", numbers: [3, 4] },
  // Small enough for the splits to meet often, if they could.
  { kind: "countdown", numbers: [2], numberRange: [1, 20] },
  { kind: "arithmetic", digits: [1, 2], terms: [2, 3], operations: ["+", "-", "*"] },
  { kind: "equations", difficulty: [1, 2, 3], size: 5 },
])("the splits of %o", (options) => {
  const task = taskFrom(options);

  it("never share a problem, whatever the seeds", () => {
    const owner = new Map<string, string>();
    for (const split of SPLITS) {
      for (const seed of [1, 2, 3]) {
        for (let index = 0; index < 700; index++) {
          const problem = asked(task, { seed, split, index });
          expect(owner.get(problem) ?? split).toBe(split);
          owner.set(problem, split);
        }
      }
    }
  });

  it("are deterministic, and other seeds give other problems", () => {
    const prompts = (seed: number) =>
      Array.from({ length: 50 }, (_, index) => task.generate({ seed, split: "train", index }).prompt);
    expect(prompts(1)).toEqual(prompts(1));
    const common = prompts(1).filter((prompt, i) => prompt === prompts(2)[i]);
    expect(common.length).toBeLessThan(5);
    expect(task.generate({ seed: 1, split: "test", index: 17 }).id).toBe(`${options.kind}/1/test/17`);
  });
});

describe("drawInSplit", () => {
  it("gives up with a remedy where a split has no problem", () => {
    const key = { seed: 1, split: "test", index: 0 } as const;
    const content = ["a", "b", "c", "d", "e"].find((text) => splitOf("one", text) === "train")!;
    const draw = () =>
      drawInSplit(
        "one",
        key,
        () => content,
        (text) => text,
      );
    expect(draw).toThrow(expect.objectContaining({ kind: "generation" }));
    expect(draw).toThrow(
      "The task one found no test problem in 20000 draws: its options allow too few problems. Widen the ranges of the task's options.",
    );
    let thrown: unknown;
    try {
      draw();
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({ kind: "generation", data: { task: "one", split: "test", draws: 20_000 } });
  });

  it("takes the 20,000th draw, and the first of the split's", () => {
    const key = { seed: 1, split: "train", index: 0 } as const;
    const content = ["a", "b", "c", "d"].find((text) => splitOf("one", text) === "train")!;
    let draws = 0;
    const nth = (n: number) =>
      drawInSplit(
        "one",
        key,
        () => (++draws % n === 0 ? content : null),
        (text) => text,
      );
    expect(nth(20_000)).toBe(content);
    expect(draws).toBe(20_000);
    draws = 0;
    expect(() => nth(20_001)).toThrow(expect.objectContaining({ kind: "generation" }));
  });

  it("also where every draw leads nowhere", () => {
    const none = taskFrom({ kind: "countdown", numbers: [2], numberRange: [1, 2], targetRange: [90, 100] });
    expect(() => none.generate({ seed: 1, split: "train", index: 0 })).toThrow(
      expect.objectContaining({ kind: "generation" }),
    );
  });
});
