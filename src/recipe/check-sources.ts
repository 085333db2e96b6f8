/**
 * What a later stage would stumble over, found before the first step and not after hours: every file that is read, and
 * what a recipe says of a model whose design is known only when its files are opened.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { ModelShape } from "../checkpoint/folder.ts";
import { designOf, isV3 } from "../models/architecture.ts";
import { adaptedWeights } from "../models/lora.ts";
import { checkData, type Note } from "./check-data.ts";
import { checkTask } from "./check-task.ts";
import { UsageError } from "./find-model.ts";
import { recipeShape } from "./options.ts";
import type { PretrainStage, Recipe, SftStage } from "./schema.ts";
import { idleFactor } from "./sense.ts";

/**
 * @returns what a person should know before the run
 * @throws DataSetError naming the file and the line, UsageError and ConfigError for what the model has no use or room for
 */
export function checkSources(recipe: Recipe): Note[] {
  checkAdapter(recipe);
  const model = recipeShape(recipe);
  return recipe.stages.flatMap((stage) => {
    if ("lora" in stage && stage.lora !== undefined)
      adaptedWeights(designOf(model.config).parameters, stage.lora.targets);
    if (stage.kind === "pretrain" || stage.kind === "sft") {
      checkLanguageModelling(stage, model);
      return checkData(stage, model, recipe.seed);
    }
    return checkTask(stage, recipe, model);
  });
}

function checkLanguageModelling(stage: PretrainStage | SftStage, { config }: ModelShape): void {
  const idle = idleFactor(stage, isV3(config) ? config : null);
  if (idle !== null)
    throw new UsageError(`Stage "${stage.name}", ${idle.path.join(".")}: ${idle.message}`, idle.remedy);
  if (stage.sequence > config.maxPositions)
    throw new UsageError(
      `Stage "${stage.name}", sequence: rows of ${stage.sequence} tokens do not fit the model's ${config.maxPositions} positions.`,
      `Use a sequence of at most ${config.maxPositions}.`,
    );
}

function checkAdapter({ model }: Recipe): void {
  if (!("from" in model) || model.adapter === undefined) return;
  const missing = ["adapter_config.json", "adapter_model.safetensors"].filter(
    (name) => !existsSync(join(model.adapter as string, name)),
  );
  if (missing.length > 0)
    throw new UsageError(
      `model.adapter: ${model.adapter} has no ${missing.join(" and no ")}.`,
      "Name a folder with a LoRA adapter in PEFT's format.",
    );
}
