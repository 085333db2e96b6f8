/**
 * Finds before the first step what would fail hours later: every file that is read, and the keys of a recipe that depend
 * on the design of a model, which is known only when its files are opened.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { readAdapterConfig } from "../checkpoint/adapter-config.ts";
import type { ModelShape } from "../checkpoint/folder.ts";
import { readShape, withModel } from "../checkpoint/model.ts";
import { strayWeights } from "../checkpoint/shards.ts";
import { isUserError, usageError } from "../lib/errors.ts";
import { modelOf } from "../models/architectures.ts";
import { adaptedWeights } from "../models/lora.ts";
import { usablePositions } from "../models/rope.ts";
import { mergeDifference } from "../train/merge-stage.ts";
import { vocabularyDifference } from "../train/teachers.ts";
import { checkData, type Note } from "./check-data.ts";
import { checkTask, stageError } from "./check-task.ts";
import { problemAt, type RecipeSource } from "./load.ts";
import { placeOf, recipeShape, stageShapes } from "./model.ts";
import {
  asks,
  type PretrainStage,
  type Recipe,
  readsData,
  type SftStage,
  START,
  type Stage,
  tasksOfStage,
  teacherName,
} from "./schema.ts";
import { unusedFactor } from "./validate.ts";

/**
 * @param source where the recipe is from, so that its mistakes are shown with their lines
 * @returns what a person should know before the run
 * @throws UserError naming the file and the line of a broken row, the key of a stage that does not suit the model (with a
 *   `source` its line in the recipe), or a model or an adapter that cannot be opened
 */
export function checkSources(recipe: Recipe, source?: RecipeSource): Note[] {
  checkAdapter(recipe);
  const start = recipeShape(recipe);
  const shapes = stageShapes(recipe, start);
  const notes = recipe.stages.flatMap((stage) =>
    [...("model" in stage && stage.model ? [stage.model] : []), ...teachersFrom(stage)].flatMap(checkWeights),
  );
  const shapeOf = (name: string): ModelShape =>
    name === START ? start : shapes[recipe.stages.findIndex((one) => one.name === name)];
  const found = recipe.stages.flatMap((stage, index) => {
    try {
      checkJoined(stage, shapes[index], shapeOf);
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
  if (!asks(stage)) return [];
  return tasksOfStage(stage, recipe).flatMap((task) => checkTask({ ...stage, task }, recipe, model));
}

const teachersFrom = (stage: Stage): Recipe["model"][] =>
  stage.kind === "distill" ? stage.teachers.flatMap(({ model }) => model ?? []) : [];

/** The models that a stage joins have to fit together. */
function checkJoined(stage: Stage, model: ModelShape, shapeOf: (stage: string) => ModelShape): void {
  if (stage.kind === "distill")
    stage.teachers.forEach((teacher, i) => {
      const shape =
        teacher.model === undefined ? shapeOf(teacher.stage!) : readShape(placeOf(teacher.model.from));
      const difference = vocabularyDifference(model, shape);
      if (difference !== null)
        throw stageError(
          stage.name,
          ["teachers", i, teacher.model === undefined ? "stage" : "model"],
          `The teacher ${teacherName(teacher)} has another vocabulary than the student: ${difference}.`,
          "Choose a teacher with the student's tokenizer.",
        );
    });
  if (stage.kind === "merge")
    stage.models.forEach(({ stage: name }, i) => {
      const difference = mergeDifference(model, shapeOf(name));
      if (difference !== null)
        throw stageError(
          stage.name,
          ["models", i, "stage"],
          `The model of stage "${name}" cannot be averaged with the first one: ${difference}.`,
          "Average models that began from the same base.",
        );
    });
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
