/** A curriculum by measured success: how the level moves, and which problems a level has. */
import { describe, expect, it } from "vitest";
import { Random } from "../../src/lib/random.ts";
import { firstLevel, movedLevel, problemLevel } from "../../src/tasks/curriculum.ts";
import { type TaskDefinition, taskOf } from "../../src/tasks/define.ts";
import { type TaskInput, taskFrom, taskOptions } from "../../src/tasks/registry.ts";

const curriculum = { target: 0.5, rate: 0.5, low: 1, high: 5 };

describe("the level", () => {
  it("moves by the rate times the distance of the pass rate from the target", () => {
    // 3 of 4 scored are right: 2 + 0.5 x (0.75 - 0.5).
    expect(movedLevel(curriculum, 2, [1, 1, null, 0, 1])).toBe(2.125);
    expect(movedLevel(curriculum, 2, [0, 0, 0, 0])).toBe(1.75);
    expect(movedLevel({ ...curriculum, target: 0.8, rate: 2 }, 2, [0.6, 1])).toBeCloseTo(2, 12);
  });

  it("stays within the levels, and where it is if nothing was scored", () => {
    expect(movedLevel(curriculum, 4.9, [1])).toBe(5);
    expect(movedLevel(curriculum, 1.1, [0])).toBe(1);
    expect(movedLevel(curriculum, 3.3, [])).toBe(3.3);
    expect(movedLevel(curriculum, 3.3, [null, null])).toBe(3.3);
  });

  it("begins at the lowest, or where the recipe says", () => {
    expect(firstLevel(curriculum)).toBe(1);
    expect(firstLevel({ ...curriculum, start: 2.5 })).toBe(2.5);
    expect([firstLevel({ ...curriculum, start: 9 }), firstLevel({ ...curriculum, start: 0 })]).toEqual([
      5, 1,
    ]);
  });

  it("settles where the pass rate is the target, of a learner whose pass rate falls from level to level", () => {
    const pass = [0.95, 0.8, 0.6, 0.3, 0.05];
    const random = new Random(1, "learner");
    let level = 1;
    const passed: number[] = [];
    for (let step = 0; step < 200; step++) {
      const values = Array.from({ length: 64 }, () =>
        random.uniform() < pass[problemLevel(level, random) - 1]! ? 1 : 0,
      );
      if (step >= 100) passed.push(...values);
      level = movedLevel(curriculum, level, values);
    }
    expect(level).toBeGreaterThan(3);
    expect(level).toBeLessThan(4);
    // 6,400 completions: three standard errors are 0.019.
    expect(Math.abs(passed.reduce((sum, value) => sum + value, 0) / passed.length - 0.5)).toBeLessThan(0.03);
  });
});

describe("a problem's level", () => {
  it("is one of the two whole levels around it, in the right shares", () => {
    const random = new Random(1, "levels");
    const drawn = Array.from({ length: 8000 }, () => problemLevel(2.25, random));
    expect(new Set(drawn)).toEqual(new Set([2, 3]));
    // Five standard errors of a quarter of 8,000 are 194.
    expect(Math.abs(drawn.filter((level) => level === 3).length - 2000)).toBeLessThan(194);
    expect(Array.from({ length: 100 }, () => problemLevel(5, random))).toEqual(Array(100).fill(5));
  });
});

const definition: TaskDefinition<{ question: string; level: number }> = {
  levels: [2, 4],
  generate: (seed, level) => ({ question: `${seed % 1000} at ${level}`, level }),
  verify: () => true,
};

describe.each<[string, ReturnType<typeof taskFrom>, number[]]>([
  ["equations", taskFrom({ kind: "equations", difficulty: { target: 0.5 } }), [1, 2, 3]],
  ["a family", taskFrom({ kind: "base-conversion", difficulty: { target: 0.5, start: 2 } }), [1, 2, 3, 4]],
  ["one's own", taskOf(definition, { difficulty: { target: 0.5, rate: 1 } }), [2, 3, 4]],
])("%s with a target", (name, task, levels) => {
  const key = (index: number, split: "train" | "test" = "train") => ({ seed: 1, split, index });
  /** Equations of level 1 have x on one side, and those of level 3 mostly a fraction as their solution. */
  const levelIn = (problem: object): number => {
    const { level, equation, answer } = problem as { level: number; equation: string; answer: string };
    if (level !== undefined) return level;
    return !equation.split(" = ")[1]!.includes("x") ? 1 : answer.includes("/") ? 3 : 2;
  };

  it("has its levels, and the target's defaults", () => {
    const [low, high] = [levels[0], levels.at(-1)];
    expect(task.curriculum).toMatchObject({ target: 0.5, low, high });
  });

  it("draws the level of the key alone", () => {
    for (const level of levels) {
      const found = Array.from({ length: 60 }, (_, index) =>
        levelIn(task.generate({ ...key(index), level })),
      );
      // A fraction may be a whole number by chance.
      const own = found.filter((of) => of === level).length;
      if (name === "equations" && level === 3) expect(own).toBeGreaterThan(30);
      else expect(own).toBe(60);
      expect(task.generate({ ...key(7), level })).toEqual(task.generate({ ...key(7), level }));
    }
  });

  it("draws all levels without one, as an evaluation does, and keeps the splits apart", () => {
    const drawn = Array.from({ length: 200 }, (_, index) => task.generate(key(index)));
    expect(new Set(drawn.map(levelIn))).toEqual(new Set(levels));
    const train = new Set(drawn.map((problem) => task.content!(problem)));
    for (let index = 0; index < 200; index++)
      for (const level of [undefined, levels[1]])
        expect(train.has(task.content!(task.generate({ ...key(index, "test"), level })))).toBe(false);
  });
});

it("a list of levels is no curriculum, and a key's level comes before it", () => {
  const task = taskFrom({ kind: "equations", difficulty: [1] });
  expect(task.curriculum).toBeUndefined();
  expect(taskOf(definition, { difficulty: 3 }).curriculum).toBeUndefined();
  expect(taskOf(definition).generate({ seed: 1, split: "train", index: 0 }).level).toBe(1);
});

describe("a target is refused", () => {
  it.each<[string, TaskDefinition["levels"], RegExp]>([
    [
      "without levels",
      undefined,
      /^The task task: levels are missing, and the recipe's difficulty has a target: write levels: \[1, 5\]$/,
    ],
    ["with levels that are none", [3, 3], /levels are 3 and 3, not two whole numbers, the lower one first/],
    ["with half levels", [1, 2.5], /levels are 1 and 2\.5/],
    ["with one level", [1] as never, /levels are missing/],
  ])("%s", (_, levels, message) => {
    expect(() => taskOf({ ...definition, levels }, { difficulty: { target: 0.5, rate: 0.5 } })).toThrow(
      message,
    );
  });

  it("outside 0 to 1, or of a task without levels", () => {
    for (const target of [0, 1, 1.5, -0.1])
      expect(taskOptions.safeParse({ kind: "equations", difficulty: { target } }).success, `${target}`).toBe(
        false,
      );
    const countdown = { kind: "countdown", difficulty: { target: 0.5 } } as unknown as TaskInput;
    expect(taskOptions.safeParse(countdown).success).toBe(false);
    expect(taskOptions.parse({ kind: "equations", difficulty: { target: 0.3 } })).toMatchObject({
      difficulty: { target: 0.3, rate: 0.5 },
    });
  });
});
