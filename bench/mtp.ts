/**
 * Speculative decoding with DeepSeek-V3's module for a further token against plain decoding of the same model: one
 * sequence at a time, greedy, the same prompts, both sides in turn. First the recipe tiny-v3-zero pretrains the model
 * with that module, a quarter of its tokens in a few minutes.
 */
import type { V3Config } from "../src/models/v3-config.ts";
import { parseRecipe, readRecipe } from "../src/recipe/load.ts";
import { initialModel, languageModelOptions } from "../src/recipe/options.ts";
import { documentSource } from "../src/recipe/sources.ts";
import { Sampler } from "../src/sample/engine.ts";
import { SpeculativeSampler } from "../src/sample/speculative.ts";
import { countdown } from "../src/tasks/countdown.ts";
import { LanguageModelStage } from "../src/train/language-model-stage.ts";
import { encodePrompt } from "../src/train/rollout.ts";
import type { Model } from "../src/train/stage.ts";
import { median, type Row } from "./rows.ts";

const TOKENS = 1_500_000;
const PROMPTS = 12;
const NEW_TOKENS = 256;
const ROUNDS = 5;

/** The recipe's model with the module, after `tokens` tokens of its pretraining. */
export async function trainWithModule(tokens = TOKENS): Promise<Model> {
  const text = readRecipe("recipes/tiny-v3-zero.yaml")
    .replace("architecture: deepseek_v3", "architecture: deepseek_v3\n  mtpLayers: 1")
    .replace(/tokens: \d+/, `tokens: ${tokens}`);
  const recipe = parseRecipe(text, "tiny-v3-zero with a module for a further token");
  const [stage] = recipe.stages;
  if (stage.kind !== "pretrain") throw new Error("the recipe does not begin with pretraining");
  const model = initialModel(recipe);
  const source = documentSource(stage.data, model.tokenizer, recipe.seed);
  const training = await LanguageModelStage.create(model, source, languageModelOptions(stage));
  while (training.done < training.totalSteps) {
    const { metrics } = await training.advance();
    if (training.done % 50 === 0)
      console.error(
        `step ${training.done} of ${training.totalSteps}: loss ${metrics.loss?.toFixed(3)}, of the further token ${metrics["mtp-cross-entropy"]?.toFixed(3)}`,
      );
  }
  const trained = { ...model, parameters: structuredClone(training.parameters()) };
  await training.release();
  return trained;
}

/** Prompts of the recipe's problems that pretraining did not see, each decoded until its end. */
function requests(model: Model) {
  const task = countdown({
    kind: "countdown",
    numbers: [3],
    numberRange: [1, 99],
    targetRange: [10, 100],
    maxResult: 200,
  });
  return Array.from({ length: PROMPTS }, (_, index) => ({
    prompt: encodePrompt(model, task.generate({ seed: 1, split: "test", index }).prompt),
    maxNewTokens: NEW_TOKENS,
    key: ["mtp", index],
  }));
}

export async function mtpSpeedup(trained?: Model): Promise<Row> {
  const model = trained ?? (await trainWithModule());
  // As a chat decodes: one row, one thread.
  const plain = await Sampler.create(model.config, { threads: 1 });
  const speculative = await SpeculativeSampler.create(model.config as V3Config, { threads: 1 });
  const asked = requests(model);
  const timed = async (sampler: Sampler | SpeculativeSampler) => {
    const start = performance.now();
    const result = await sampler.generate(model.parameters, asked, {
      temperature: 0,
      slots: 1,
      stopIds: model.tokenizer.stopIds,
    });
    return { ...result, speed: result.tokens / ((performance.now() - start) / 1000) };
  };
  const ratios: number[] = [];
  const speeds: number[] = [];
  let acceptance = 0;
  for (let round = 0; round <= ROUNDS; round++) {
    const before = await timed(plain);
    const drafted = await timed(speculative);
    const text = (result: typeof before) => JSON.stringify(result.generations.map(({ ids }) => ids));
    if (text(before) !== text(drafted))
      throw new Error("speculative decoding gave other tokens than plain decoding");
    if (round === 0) continue;
    ratios.push(drafted.speed / before.speed);
    speeds.push(drafted.speed);
    acceptance = (drafted.tokens - drafted.steps) / drafted.steps;
  }
  await plain.release();
  await speculative.release();
  return {
    name: "v3/mtp-speedup",
    value: median(ratios),
    unit: "x plain decoding, batch 1, the same tokens",
    atLeast: 1.3,
    spread: [Math.min(...ratios), Math.max(...ratios)],
    note: `${median(speeds).toFixed(0)} tokens/s, ${(100 * acceptance).toFixed(0)} % of drafts accepted`,
  };
}
