/** What a run says of a step that fails. */
import { expect, it } from "vitest";
import { parseRecipe } from "../../src/recipe/load.ts";
import { resumeOrCreate } from "../../src/run/folder.ts";
import { Run } from "../../src/run/run.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { temporaryFolder } from "../checkpoint/temporary.ts";

it("a NaN in a step's second update is in the step that the curves show", async () => {
  // Lengths differ, and with them rewards; the first update makes weights of 1e38.
  const recipe = parseRecipe(
    `name: broken
seed: 4
task: { kind: countdown, numbers: [2] }
model: { layers: 1, hiddenSize: 16, heads: 2, intermediateSize: 24, maxPositions: 64 }
tokenizer: { kind: compact }
checkpoint: { everySteps: 9, keep: 1 }
stages:
  - name: rl
    kind: grpo
    steps: 3
    problemsPerStep: 4
    groupSize: 4
    maxNewTokens: 24
    temperature: 1
    rewards: { accuracy: 1, format: 0 }
    overlong: { mode: soft, buffer: 23 }
    preset: grpo
    kl: 0
    epochs: 3
    optimizer: { kind: adamw, lr: 1.0e+38 }
    schedule: { kind: constant }
`,
    "broken.yaml",
  );
  const folder = resumeOrCreate(recipe, { root: temporaryFolder() });
  const hooks = { engine: new Engine({ threads: 1 }), emit: () => {}, shouldStop: () => false };
  const failure = await new Run(recipe, folder, hooks).run().catch((error: unknown) => error);
  folder.close();
  expect(failure).toMatchObject({ name: "NonFiniteError", step: 1 });
  expect((failure as Error).message).toMatch(/^step 1: the loss is not a finite number; the first node/);
});
