/**
 * Speculative decoding with DeepSeek-V3's MTP module against plain decoding of the same model: one
 * sequence at a time, greedy, the same prompts, both sides in turn. First a small model is pretrained with that module on
 * the data of the recipe tiny-v3-zero.
 */
import { readParameters } from "../src/checkpoint/values.ts";
import { sourceOf } from "../src/checkpoint/weights.ts";
import { encodePrompt } from "../src/data/prompt.ts";
import { documentSource } from "../src/data/sources.ts";
import { parseRecipe, readRecipe } from "../src/recipe/load.ts";
import { initialModel } from "../src/recipe/model.ts";
import { Engine } from "../src/runtime/engine.ts";
import { Sampler } from "../src/sample/sampler.ts";
import { baked } from "../src/sample/weights.ts";
import { taskFrom } from "../src/tasks/registry.ts";
import { LanguageModelStage } from "../src/train/language-model-stage.ts";
import type { Model } from "../src/train/stage.ts";
import { median, type Row } from "./rows.ts";

/**
 * Twice as many layers as the recipe has, half as wide: the module is one layer more, a ninth of this model, a 62nd of V3.
 * The weights fit the processor's second cache: from memory, two tokens would read twice a token's experts.
 */
const SHAPE = {
  layers: 8,
  hiddenSize: 64,
  kvLoraRank: 32,
  nopeDim: 16,
  ropeDim: 8,
  valueDim: 16,
  intermediateSize: 172,
  moeIntermediateSize: 56,
};
const TOKENS = 1_500_000;
const PROMPTS = 12;
const NEW_TOKENS = 256;
const ROUNDS = 5;

/** A model with the module, pretrained on `tokens` tokens of the recipe's data. */
export async function trainWithModule(tokens = TOKENS): Promise<Model> {
  let text = readRecipe("recipes/tiny-v3-zero.yaml").replace(/tokens: \d+/, `tokens: ${tokens}`);
  for (const [name, value] of Object.entries({ ...SHAPE, experts: "8\n  mtpLayers: 1" }))
    text = text.replace(new RegExp(`^  ${name}: .*$`, "m"), `  ${name}: ${value}`);
  const recipe = parseRecipe(text, "tiny-v3-zero with an MTP module");
  const [stage] = recipe.stages;
  if (stage.kind !== "pretrain") throw new Error("the recipe does not begin with pretraining");
  const model = initialModel(recipe);
  const source = documentSource(stage.data, model, { seed: recipe.seed, stage: "pretrain" });
  const training = await LanguageModelStage.create(model, source, stage, {
    seed: recipe.seed,
    engine: new Engine(),
  });
  while (training.done < training.totalSteps) {
    const { metrics } = await training.advance();
    if (training.done % 25 === 0)
      console.error(
        `step ${training.done} of ${training.totalSteps}: loss ${metrics.loss?.toFixed(3)}, MTP ${metrics["mtp-cross-entropy"]?.toFixed(3)}`,
      );
  }
  const trained = { ...model, parameters: structuredClone(training.parameters()) };
  await training.release();
  return trained;
}

/** Prompts of the recipe's problems that pretraining did not see, each decoded until its end. */
function requests(model: Model) {
  const task = taskFrom({ kind: "countdown", numbers: [3] });
  return Array.from({ length: PROMPTS }, (_, index) => ({
    prompt: encodePrompt(model, task.generate({ seed: 1, split: "test", index }).prompt),
    maxNewTokens: NEW_TOKENS,
    key: ["mtp", index],
  }));
}

export async function mtpSpeedup(trained?: Model, drafts = 2): Promise<Row> {
  const model = trained ?? (await trainWithModule());
  // As a chat decodes: one row, one thread, weights in the graph. Without drafts it is plain decoding.
  const engine = new Engine({ threads: 1 });
  const stored = await readParameters(model.parameters);
  const open = (drafts: number) =>
    Sampler.create(model.config, engine, {
      weights: baked(sourceOf(stored), { precision: "f32" }),
      drafts,
    });
  const [plain, speculative] = [await open(0), await open(drafts)];
  const asked = requests(model);
  const timed = async (sampler: Sampler) => {
    const start = performance.now();
    const result = await sampler.generate(asked, {
      sampling: { temperature: 0 },
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
    acceptance = drafted.accepted / drafted.drafted;
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
