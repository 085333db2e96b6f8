/** What recipes of a step or two begin from. */

import { join } from "node:path";
import { type Model, saveModel } from "../../src/checkpoint/folder.ts";
import { allParameters } from "../../src/models/architectures.ts";
import { initialise } from "../../src/models/layers.ts";
import { parseRecipe } from "../../src/recipe/load.ts";
import { type RunFolder, resumeOrCreate } from "../../src/run/folder.ts";
import { Run } from "../../src/run/run.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { CompactTokenizer } from "../../src/tokenizer/compact.ts";
import { temporaryFolder } from "../checkpoint/temporary.ts";
import { asParameters } from "../support/parameters.ts";
import { tinyConfig } from "../train/tiny.ts";

/** A model folder; `fields` are its further files. */
export function tinyModelFolder(fields: Partial<Pick<Model, "generation">> = {}): string {
  const folder = join(temporaryFolder(), "model");
  saveModel(folder, {
    config: tinyConfig,
    tokenizer: new CompactTokenizer(),
    parameters: asParameters(initialise(allParameters(tinyConfig), 1)),
    ...fields,
  });
  return folder;
}

/** One for all runs of a test file, since each engine is measured once. */
export const engine = new Engine({ threads: 1 });

/** Runs `recipe`, stopped after each of the given numbers of steps and taken up again. */
export async function runAll(recipe: string, stops: readonly number[] = []): Promise<RunFolder["paths"]> {
  const root = temporaryFolder();
  const waiting = [...stops];
  for (;;) {
    const folder = resumeOrCreate(parseRecipe(recipe, "r.yaml"), { root });
    let steps = 0;
    const hooks = {
      emit: ({ type }: { type: string }) => void (type === "metrics" && steps++),
      shouldStop: () => steps >= (waiting[0] ?? Number.POSITIVE_INFINITY),
      engine,
    };
    const outcome = await new Run(parseRecipe(recipe, "r.yaml"), folder, hooks).run();
    folder.close();
    if (outcome === "finished") return folder.paths;
    waiting.shift();
  }
}

/** Attempts at problems of two numbers, in rows of 48 tokens. */
export const TINY_DATA = `data: { kind: countdown-attempts, numbers: [2], hint: 0.3, singles: 0, maxAttempts: 1, goOn: 0.5, maxResult: 100 }
    sequence: 48`;
