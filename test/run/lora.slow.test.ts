/** A run whose stage trains an adapter: what it keeps, that it goes on where it stopped, and that an adapter comes back in. */

import { join } from "node:path";
import { expect, test } from "vitest";
import { loadModel } from "../../src/checkpoint/folder.ts";
import { mergeAdapter } from "../../src/checkpoint/peft.ts";
import { asValues } from "../../src/checkpoint/values.ts";
import { parseRecipe } from "../../src/recipe/load.ts";
import { initialModel } from "../../src/recipe/model.ts";
import { resumeOrCreate } from "../../src/run/folder.ts";
import { Run } from "../../src/run/run.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { temporaryFolder } from "../checkpoint/temporary.ts";
import { numbersOf } from "../support/parameters.ts";
import { differing, furthest } from "../train/tiny.ts";
import { TINY_DATA, tinyModelFolder } from "./tiny-run.ts";

const base = tinyModelFolder();

const recipe = (model: string): string => `
name: adapted
seed: 1
model: { ${model} }
task: { kind: countdown, numbers: [2] }
checkpoint: { everySteps: 1, keep: 2 }
stages:
  - name: tune
    kind: sft
    ${TINY_DATA}
    batch: 2
    steps: 4
    lora: { rank: 2, alpha: 4, targets: [q_proj, down_proj] }
    optimizer: { kind: adamw, lr: 1.0e-2 }
    schedule: { kind: constant }
`;
const plain = recipe(`from: ${JSON.stringify(base)}`);

/** Runs until the end, or until `stopAfter` steps are done; the folder of the run. */
async function run(root: string, stopAfter = Number.POSITIVE_INFINITY): Promise<string> {
  const folder = resumeOrCreate(parseRecipe(plain, "one.yaml"), { root });
  let steps = 0;
  const hooks = {
    emit: ({ type }: { type: string }) => {
      if (type === "metrics") steps++;
    },
    shouldStop: () => steps >= stopAfter,
    engine: new Engine({ threads: 1 }),
  };
  await new Run(parseRecipe(plain, "one.yaml"), folder, hooks).run();
  folder.close();
  return folder.folder;
}

const finalModel = (folder: string) =>
  asValues(loadModel(join(folder, "checkpoints", "step-000004", "model")).parameters);

test("the adapter is kept beside the merged model, and a run that stopped ends with the same bits", async () => {
  const whole = await run(temporaryFolder());
  const root = temporaryFolder();
  await run(root, 2);
  const resumed = await run(root);
  expect(differing(finalModel(whole), finalModel(resumed))).toEqual([]);

  const merged = loadModel(base).parameters;
  const before = asValues(loadModel(base).parameters);
  mergeAdapter(join(whole, "adapters", "tune"), merged);
  for (const [name, value] of finalModel(whole))
    expect(furthest(numbersOf(value), merged.get(name)?.data as Float32Array), name).toBeLessThan(1e-6);
  expect(differing(finalModel(whole), before).every((name) => /q_proj|down_proj/.test(name))).toBe(true);

  // Another recipe may begin from the base and the adapter.
  const again = recipe(
    `from: ${JSON.stringify(base)}, adapter: ${JSON.stringify(join(whole, "adapters", "tune"))}`,
  );
  for (const [name, value] of initialModel(parseRecipe(again, "two.yaml")).parameters)
    expect(numbersOf(value), name).toEqual(merged.get(name)?.data);
});
