/** `task: { module: ./my-task.ts }` in a recipe. */
import fs from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import type { UserError } from "../../src/lib/errors.ts";
import { recipeJsonSchema } from "../../src/recipe/json-schema.ts";
import { parseRecipe, problemsOf } from "../../src/recipe/load.ts";
import { resolvePaths } from "../../src/recipe/paths.ts";
import { temporaryFolder } from "../checkpoint/temporary.ts";

const text = (task: string, rewards = "{ accuracy: 1, format: 0 }") => `name: r
seed: 1
model: { layers: 1, hiddenSize: 16, heads: 2, intermediateSize: 16, maxPositions: 64 }
tokenizer: { kind: compact }
task: ${task}
checkpoint: { everySteps: 1, keep: 1 }
stages:
  - { name: z, kind: grpo, steps: 3, problemsPerStep: 2, groupSize: 2, maxNewTokens: 20, temperature: 1, rewards: ${rewards}, preset: dr-grpo, optimizer: { kind: adamw, lr: 1.0e-5 }, schedule: { kind: constant } }
  - { name: e, kind: evaluate, label: e, problems: 2, samples: 1, temperature: 0, task: { module: other.ts } }
`;
const OWN = "{ module: ./my-task.ts, difficulty: 2, options: { words: [a, b] } }";

describe("a task that is a file", () => {
  it("needs no kind, and has its defaults", () => {
    const { task, stages } = parseRecipe(text(OWN), "r.yaml");
    expect(task).toEqual({
      ...{ kind: "module", module: "./my-task.ts", difficulty: 2, options: { words: ["a", "b"] } },
      ...{ timeLimit: 2, template: "plain" },
    });
    expect(stages[1]).toMatchObject({ task: { kind: "module", module: "other.ts", difficulty: 1 } });
    expect(parseRecipe(text("{ kind: module, module: a.ts }"), "r.yaml").task).toMatchObject({
      module: "a.ts",
    });
  });

  it("is looked for beside the recipe", () => {
    const folder = temporaryFolder();
    for (const name of ["my-task.ts", "other.ts"]) fs.writeFileSync(join(folder, name), "");
    const { recipe } = resolvePaths(parseRecipe(text(OWN), "r.yaml"), join(folder, "r.yaml"));
    expect(recipe.task).toMatchObject({ module: join(folder, "my-task.ts") });
    expect(recipe.stages[1]).toMatchObject({ task: { module: join(folder, "other.ts") } });
    fs.rmSync(join(folder, "other.ts"));
    expect(() => resolvePaths(parseRecipe(text(OWN), "r.yaml"), join(folder, "r.yaml"))).toThrow(
      /other\.ts: there is no such file/,
    );
  });

  it("is completed and checked by editors", () => {
    const validator = z.fromJSONSchema(recipeJsonSchema() as never);
    const recipe = (task: unknown) => {
      const { kind: _, ...own } = parseRecipe(text(OWN), "r.yaml").stages[0] as { kind: string };
      const stage = { ...own, kind: "grpo", preset: "dr-grpo" };
      return { ...parseRecipe(text(OWN), "r.yaml"), task, stages: [stage] };
    };
    expect(validator.safeParse(recipe({ module: "a.ts" })).success).toBe(true);
    expect(validator.safeParse(recipe({ kind: "module", module: "a.ts", timeLimit: 0.5 })).success).toBe(
      true,
    );
    expect(validator.safeParse(recipe({ module: "a.ts", dificulty: 1 })).success).toBe(false);
    expect(validator.safeParse(recipe({ numbers: [3] })).success).toBe(false);
  });
});

describe("mistakes have their line", () => {
  const problems = (recipe: string) => {
    try {
      parseRecipe(recipe, "r.yaml");
      return [];
    } catch (error) {
      return problemsOf(error as UserError).map(({ line, message }) => `${line}: ${message}`);
    }
  };

  it("keys and values of the task", () => {
    expect(problems(text("{ module: a.ts, dificulty: 2 }"))).toEqual([
      '5: Unknown key "dificulty" in task. Did you mean "difficulty"?',
    ]);
    expect(problems(text("{ module: a.ts, timeLimit: 0 }"))[0]).toContain(
      '5: "timeLimit" is 0. Expected a number above 0.',
    );
    expect(problems(text("{ module: 5 }"))[0]).toContain('5: "module" is 5. Expected text.');
  });

  it("rewards: a module's have any name, ours are known", () => {
    const rewards = "{ accuracy: 1, format: 0, short: 0.5 }";
    expect(problems(text(OWN, rewards))).toEqual([]);
    expect(problems(text("{ kind: countdown }", rewards))).toEqual([
      '8: Unknown key "short" in rewards of stage 1. Other keys that are allowed here: length, language, readable, validity.',
    ]);
    expect(problems(text(OWN, "{ accuracy: 1, format: 0, short: -1 }"))[0]).toContain('"short" is -1');
  });
});
