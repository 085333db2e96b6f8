/** A run that begins from someone's model hands on how that model wants to be sampled. */
import fs from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parseRecipe } from "../../src/recipe/load.ts";
import { resumeOrCreate } from "../../src/run/folder.ts";
import { Run } from "../../src/run/run.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { temporaryFolder } from "../checkpoint/temporary.ts";
import { TINY_DATA, tinyModelFolder } from "./tiny-run.ts";

const STAGES = `
task: { kind: countdown, numbers: [2] }
checkpoint: { everySteps: 1, keep: 1 }
stages:
  - name: base
    kind: pretrain
    ${TINY_DATA}
    batch: 1
    steps: 1
    optimizer: { kind: adamw, lr: 1.0e-3 }
    schedule: { kind: constant }
`;

/** What `generation_config.json` says after a run of one step. */
async function generationAfter(recipeText: string): Promise<Record<string, unknown>> {
  const folder = resumeOrCreate(parseRecipe(recipeText, "one.yaml"), { root: temporaryFolder() });
  const hooks = { emit: () => {}, shouldStop: () => false, engine: new Engine({ threads: 1 }) };
  expect(await new Run(parseRecipe(recipeText, "one.yaml"), folder, hooks).run()).toBe("finished");
  folder.close();
  const model = join(folder.paths.checkpoints, "step-000001", "model");
  return JSON.parse(fs.readFileSync(join(model, "generation_config.json"), "utf8"));
}

test("what came with the model stays, and a model of our own gets R1's temperature", async () => {
  const generation = { do_sample: true, temperature: 0.3, top_p: 0.8, repetition_penalty: 1.1 };
  const from = tinyModelFolder({ generation });
  const foreign = await generationAfter(
    `name: one\nseed: 1\nmodel: { from: ${JSON.stringify(from)} }${STAGES}`,
  );
  expect(foreign).toMatchObject({ ...generation, eos_token_id: 2 });
  const shape = "{ layers: 1, hiddenSize: 16, heads: 2, intermediateSize: 16, maxPositions: 64 }";
  const own = await generationAfter(
    `name: one\nseed: 1\nmodel: ${shape}\ntokenizer: { kind: compact }${STAGES}`,
  );
  expect(own).toMatchObject({ temperature: 0.6 });
  expect(own).not.toHaveProperty("top_p");
});
