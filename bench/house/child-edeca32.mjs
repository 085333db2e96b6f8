/** What child.ts does, for commit edeca32, which has none. The names are those of that commit: never change them. */
import { createInterface } from "node:readline";
import { allParameters } from "../../src/models/architecture.ts";
import { initialise } from "../../src/models/layers.ts";
import { loadRecipe } from "../../src/recipe/load.ts";
import { languageModelOptions, recipeShape } from "../../src/recipe/options.ts";
import { Random } from "../../src/runtime/random.ts";
import { Sampler } from "../../src/sample/engine.ts";
import { batchFeeds } from "../../src/train/language-model.ts";
import { trainedOn } from "../../src/train/language-model-stage.ts";
import { TrainStep } from "../../src/train/step.ts";

/** As many rows as a rollout of the recipe has. */
const [STEPS, ROWS, PROMPT, NEW_TOKENS] = [5, 128, 12, 96];

const recipe = loadRecipe("recipes/tiny-r1-zero.yaml");
const { config } = recipeShape(recipe);
const options = languageModelOptions(recipe.stages[0], recipe.seed);
const parameters = initialise(allParameters(config), recipe.seed);
const { specs, loss } = trainedOn(config, options);
const step = await TrainStep.create(specs, parameters, loss, options.optimizer);
const sampler = await Sampler.create(config);

const random = new Random("house");
const idsOf = (count) => Int32Array.from({ length: count }, () => random.integer(0, config.vocabSize - 1));
const { batch, sequence: seq } = options;
const weights = new Float32Array(batch * seq).fill(1 / (batch * seq));
const feeds = batchFeeds({ ids: idsOf(batch * seq), targets: idsOf(batch * seq), weights, batch, seq });
const requests = Array.from({ length: ROWS }, (_, row) => ({
  prompt: [...idsOf(PROMPT)],
  maxNewTokens: NEW_TOKENS,
  key: ["house", row],
}));

/** Milliseconds of each step, and the last loss. */
async function train() {
  const ms = [];
  let result = 0;
  for (let i = 0; i < STEPS; i++) {
    const start = performance.now();
    ({ loss: result } = await step.step(feeds, { rate: 1e-3, muonRate: 1e-3 }));
    ms.push(performance.now() - start);
  }
  return { ms, result };
}

/** Milliseconds of a rollout, and the sum of its log-probabilities. */
async function decode() {
  const start = performance.now();
  const { generations } = await sampler.generate(parameters, requests, {
    temperature: 1,
    stopIds: new Set(),
  });
  const ms = [performance.now() - start];
  return {
    ms,
    result: generations.flatMap(({ logProbs }) => logProbs).reduce((sum, value) => sum + value, 0),
  };
}

console.log(JSON.stringify({ ready: true }));
for await (const line of createInterface({ input: process.stdin })) {
  if (line === "quit") break;
  console.log(JSON.stringify(await (line === "train" ? train() : decode())));
}
process.exit(0);
