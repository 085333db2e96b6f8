/**
 * One side of the race in v3-race.ts, a process of its own: trains a recipe's first stage for so many seconds on one
 * thread and prints the loss on documents that no training sees. The rate follows the clock and ends with the time.
 */

import { PackedStream } from "../src/data/packing.ts";
import { documentSource } from "../src/data/sources.ts";
import { Graph } from "../src/graph/tensor.ts";
import { allParameters, checkConfig } from "../src/models/architectures.ts";
import { countParameters, initialise, parameterInputs } from "../src/models/layers.ts";
import { loadRecipe } from "../src/recipe/load.ts";
import { recipeShape } from "../src/recipe/model.ts";
import type { PretrainStage } from "../src/recipe/schema.ts";
import { Engine } from "../src/runtime/engine.ts";
import { type HostValue, host, type Value } from "../src/runtime/session.ts";
import { batchFeeds } from "../src/train/language-model.ts";
import { trainedOn } from "../src/train/language-model-stage.ts";
import { learningRates } from "../src/train/optimizer.ts";
import { lrFactor } from "../src/train/schedule.ts";
import { createTrainStep, type TrainStep } from "../src/train/step.ts";
import type { BuildLoss } from "../src/train/trace-step.ts";

export interface Entry {
  recipe: string;
  seed: number;
  seconds: number;
  /** Instead of the recipe's: sizes of the model, and the peak rate of the blocks' matrices. */
  model?: Record<string, number>;
  rate?: number;
}

export interface Finish {
  /** Nats a token, validation. */
  loss: number;
  steps: number;
  parameters: number;
}

/** Another stream than that of any race. */
const VALIDATION_SEED = 987_654;
const VALIDATION_BATCHES = 24;
/** The clock in ticks, the first 5 % of them warm-up. */
const [TICKS, WARMUP] = [1000, 50];

async function race({ recipe: file, seed, seconds, model = {}, rate }: Entry): Promise<Finish> {
  const recipe = loadRecipe(file);
  const stage = recipe.stages[0] as PretrainStage;
  const { config: base, tokenizer } = recipeShape(recipe);
  const config = checkConfig({ ...base, ...model });
  const { schedule, ...options } = stage;
  const optimizer = { ...options.optimizer, lr: rate ?? options.optimizer.lr };
  const rowsOf = (stream: number) =>
    new PackedStream(
      documentSource(stage.data, { tokenizer }, { seed: stream, stage: "pretrain" }),
      options.batch,
      options.sequence,
    );
  const feeds = (rows: PackedStream): Record<string, HostValue> => {
    const batch = rows.next();
    return batchFeeds({ ...batch, weights: batch.weights.map((weight) => weight / batch.trained) });
  };
  const lossWith = (balanceFactor: number) =>
    trainedOn(config, { ...options, documentMask: false, v3: { balanceFactor, mtpFactor: 0 } });
  const { specs, loss } = lossWith(1e-4);
  const parameters = initialise(allParameters(config), seed);
  const step = await createTrainStep(specs, parameters, loss, optimizer, {
    engine: new Engine({ threads: 1 }),
  });

  const rows = rowsOf(seed);
  const start = performance.now();
  for (;;) {
    const share = (performance.now() - start) / 1000 / seconds;
    if (share >= 1) break;
    const factor = lrFactor({ ...schedule, warmup: WARMUP }, Math.floor(share * TICKS), TICKS);
    await step.update([feeds(rows)], learningRates(optimizer, factor));
  }

  const validation = rowsOf(VALIDATION_SEED);
  const batches = Array.from({ length: VALIDATION_BATCHES }, () => feeds(validation));
  const held = await meanLoss(lossWith(0).loss, specs, step.parameters(), batches);
  await step.release();
  return { loss: held, steps: step.stepCount, parameters: countParameters(specs) };
}

async function meanLoss(
  loss: BuildLoss,
  specs: TrainStep["specs"],
  parameters: ReadonlyMap<string, Value>,
  batches: readonly Record<string, HostValue>[],
): Promise<number> {
  const graph = new Graph();
  graph.output("loss", loss(graph, parameterInputs(graph, specs)).loss);
  const session = await new Engine({ threads: 1 }).session(graph, "test");
  let total = 0;
  for (const batch of batches)
    total += host((await session.run({ ...Object.fromEntries(parameters), ...batch })).loss)
      .data[0] as number;
  await session.release();
  return total / batches.length;
}

console.log(JSON.stringify(await race(JSON.parse(process.argv[2]) as Entry)));
