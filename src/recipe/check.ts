/**
 * Finds before the first step what would fail hours later: every file that is read, and the keys of a recipe that depend
 * on the design of a model, which is known only when its files are opened.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { readAdapterConfig } from "../checkpoint/adapter-config.ts";
import type { ModelShape } from "../checkpoint/folder.ts";
import { withModel } from "../checkpoint/model.ts";
import { strayWeights } from "../checkpoint/shards.ts";
import { isUserError, usageError } from "../lib/errors.ts";
import { modelOf } from "../models/architectures.ts";
import { adaptedWeights } from "../models/lora.ts";
import { usablePositions } from "../models/rope.ts";
import { checkData, type Note } from "./check-data.ts";
import { checkTask, stageError } from "./check-task.ts";
import { problemAt, type RecipeSource } from "./load.ts";
import { placeOf, stageShapes } from "./model.ts";
import { type PretrainStage, type Recipe, readsData, type SftStage, type Stage, trains } from "./schema.ts";
import { unusedFactor } from "./validate.ts";

/**
 * @param source where the recipe is from, so that its mistakes are shown with their lines
 * @returns what a person should know before the run
 * @throws UserError naming the file and the line of a broken row, the key of a stage that does not suit the model (with a
 *   `source` its line in the recipe), or a model or an adapter that cannot be opened
 */
export function checkSources(recipe: Recipe, source?: RecipeSource): Note[] {
  checkAdapter(recipe);
  const shapes = stageShapes(recipe);
  const notes = recipe.stages.flatMap((stage) =>
    trains(stage) && stage.model ? checkWeights(stage.model) : [],
  );
  const found = recipe.stages.flatMap((stage, index) => {
    try {
      return checkStage(stage, recipe, shapes[index]);
    } catch (error) {
      if (!isUserError(error, "stage") || source === undefined) throw error;
      throw problemAt(source, ["stages", index, ...(error.data.path as string[])], error.message);
    }
  });
  return [...checkWeights(recipe.model), ...notes, ...found];
}

/** Whether all tensors are there in the shapes of the config, without reading them. @throws UserError */
function checkWeights(model: Recipe["model"]): Note[] {
  if (!("from" in model)) return [];
  const place = placeOf(model.from);
  withModel(place, () => {});
  return strayWeights(place).map((message) => ({ level: "warning", message }));
}

function checkStage(stage: Stage, recipe: Recipe, model: ModelShape): Note[] {
  if ("lora" in stage && stage.lora !== undefined)
    adaptedWeights(modelOf(model.config).parameters, stage.lora.targets);
  if (readsData(stage)) {
    checkLanguageModelling(stage, model);
    return checkData(stage, recipe, model);
  }
  return checkTask(stage, recipe, model);
}

function checkLanguageModelling(stage: PretrainStage | SftStage, { config }: ModelShape): void {
  const unused = unusedFactor(stage, "mtpLayers" in config ? config : null);
  if (unused !== null) throw stageError(stage.name, unused.path, unused.message, unused.remedy);
  const maxPositions = usablePositions(config.maxPositions);
  if (stage.sequence > maxPositions)
    throw stageError(
      stage.name,
      ["sequence"],
      `Rows of ${stage.sequence} tokens do not fit the model's ${maxPositions} positions.`,
      `Use a sequence of at most ${maxPositions}.`,
    );
}

function checkAdapter({ model }: Recipe): void {
  if (!("from" in model) || model.adapter === undefined) return;
  const missing = ["adapter_config.json", "adapter_model.safetensors"].filter(
    (name) => !existsSync(join(model.adapter as string, name)),
  );
  if (missing.length > 0)
    throw usageError(
      `model.adapter: ${model.adapter} has no ${missing.join(" and no ")}.`,
      "Name a folder with a LoRA adapter in PEFT's format.",
    );
  readAdapterConfig(join(model.adapter, "adapter_config.json"));
}
