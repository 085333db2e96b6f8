/** A run that begins from someone's model hands on how that model wants to be sampled. */
import fs from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { saveModel } from "../../src/checkpoint/folder.ts";
import { decoderParameters } from "../../src/models/dense.ts";
import { initialise } from "../../src/models/layers.ts";
import { parseRecipe } from "../../src/recipe/load.ts";
import { asParameters } from "../../src/recipe/options.ts";
import { Run } from "../../src/recipe/run.ts";
import { resumeOrCreate } from "../../src/recipe/run-folder.ts";
import { CompactTokenizer } from "../../src/tokenizer/compact.ts";
import { temporaryFolder } from "../checkpoint/temporary.ts";
import { tinyConfig } from "../train/tiny.ts";

const STAGES = `
task: { kind: countdown, numbers: [2] }
checkpoint: { everySteps: 1, keep: 1 }
stages:
  - name: base
    kind: pretrain
    data: { kind: countdown-attempts, numbers: [2], hint: 0.3, singles: 0, maxAttempts: 1, goOn: 0.5, maxResult: 100 }
    sequence: 48
    batch: 1
    steps: 1
    optimizer: { kind: adamw, rate: 1.0e-3 }
    schedule: { kind: constant }
`;

/** What `generation_config.json` says after a run of one step. */
async function generationAfter(recipeText: string): Promise<Record<string, unknown>> {
  const folder = resumeOrCreate(parseRecipe(recipeText, "one.yaml"), { root: temporaryFolder() });
  const hooks = { emit: () => {}, shouldStop: () => false, threads: 1 };
  expect(await new Run(parseRecipe(recipeText, "one.yaml"), folder, hooks).run()).toBe("finished");
  folder.close();
  const model = join(folder.paths.checkpoints, "step-000001", "model");
  return JSON.parse(fs.readFileSync(join(model, "generation_config.json"), "utf8"));
}

test("what came with the model stays, and a model of our own gets R1's temperature", async () => {
  const from = join(temporaryFolder(), "model");
  const generation = { do_sample: true, temperature: 0.3, top_p: 0.8, repetition_penalty: 1.1 };
  saveModel(from, {
    config: tinyConfig,
    tokenizer: new CompactTokenizer(),
    parameters: asParameters(initialise(decoderParameters(tinyConfig), 1)),
    generation,
  });
  const foreign = await generationAfter(
    `name: one\nseed: 1\nmodel: { from: ${JSON.stringify(from)} }${STAGES}`,
  );
  expect(foreign).toMatchObject({ ...generation, eos_token_id: 2 });
  const shape = "{ layers: 1, width: 16, heads: 2, ffn: 16, maxPositions: 64 }";
  const own = await generationAfter(
    `name: one\nseed: 1\nmodel: ${shape}\ntokenizer: { kind: compact }${STAGES}`,
  );
  expect(own).toMatchObject({ temperature: 0.6 });
  expect(own).not.toHaveProperty("top_p");
});
