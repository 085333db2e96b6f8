/** From a recipe's model and tokenizer to a model. */
import fs from "node:fs";
import { pulledModel } from "../checkpoint/download.ts";
import { mismatch } from "../checkpoint/errors.ts";
import type { ModelShape } from "../checkpoint/folder.ts";
import { SPLIT_RULES } from "../checkpoint/gguf/splits.ts";
import { HUB_NAME } from "../checkpoint/hub.ts";
import { readJson } from "../checkpoint/json.ts";
import { holdsModel, openModelFiles, readShape } from "../checkpoint/model.ts";
import { mergeAdapter } from "../checkpoint/peft.ts";
import { asValues } from "../checkpoint/values.ts";
import { allParameters, checkConfig, configOf } from "../models/architectures.ts";
import { initialise } from "../models/layers.ts";
import { readDataText } from "../tasks/rows.ts";
import { trainingRule } from "../tokenizer/bpe.ts";
import { bytesJson } from "../tokenizer/bytes.ts";
import { CompactTokenizer } from "../tokenizer/compact.ts";
import { FIM_TOKENS } from "../tokenizer/infill.ts";
import { tokenizerFrom } from "../tokenizer/load.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { trainBpe } from "../tokenizer/train.ts";
import type { Model } from "../train/stage.ts";
import { byModel, type Recipe } from "./schema.ts";

/** A model folder, or a GGUF file, as a model that is trained; with a LoRA adapter's folder, that adapter merged in. */
export function openModel(path: string, adapter?: string): Model {
  const { parameters, ...model } = openModelFiles(path);
  if (adapter !== undefined) mergeAdapter(adapter, parameters);
  return { ...model, parameters: asValues(parameters) };
}

/** The path of a recipe's model. @throws UserError that says how to get one */
export function placeOf(from: string): string {
  if (holdsModel(from)) return from;
  const pulled = pulledModel(from);
  if (pulled !== null && !fs.existsSync(from)) return pulled;
  throw mismatch(
    `${from}, model.from`,
    "a model folder (config.json), a GGUF file or the name of a pulled model",
    fs.existsSync(from) ? "neither" : "nothing there",
    HUB_NAME.test(from)
      ? `Download it, if that is its name on the Hub: npx sputnik pull ${from}. Else correct the path.`
      : `Correct the path, or download a model: npx sputnik pull OWNER/NAME --to ${from}`,
  );
}

/** The model before the first stage, or a stage's own: fresh weights, or those of a folder. */
export function initialModel(
  recipe: Pick<Recipe, "model" | "tokenizer" | "stages" | "seed">,
  shape?: ModelShape,
): Model {
  if ("from" in recipe.model) return openModel(placeOf(recipe.model.from), recipe.model.adapter);
  const { config, tokenizer } = shape ?? recipeShape(recipe);
  return { config, tokenizer, parameters: initialise(allParameters(config), recipe.seed) };
}

/**
 * The same without any weights, as planning needs it.
 * @param start the recipe's own model, whose tokenizer a stage's new model takes where it is not built in
 */
export function recipeShape(
  recipe: Omit<Parameters<typeof initialModel>[0], "seed">,
  start?: ModelShape,
): ModelShape {
  if ("from" in recipe.model) return readShape(placeOf(recipe.model.from));
  const tokenizer = start?.tokenizer ?? recipeTokenizer(recipe);
  const { vocabSize } = tokenizer;
  return { config: checkConfig(configOf(recipe.model, vocabSize)), tokenizer };
}

/** For each stage, the shape of the model that it trains or asks. */
export const stageShapes = (recipe: Recipe, start: ModelShape = recipeShape(recipe)): ModelShape[] =>
  byModel(recipe, start, (model) => recipeShape({ ...recipe, model }, start));

function recipeTokenizer({ tokenizer, stages }: Pick<Recipe, "tokenizer" | "stages">): Tokenizer {
  switch (tokenizer.kind) {
    case "model":
      throw new RangeError("a new model brings no tokenizer");
    case "compact":
      return new CompactTokenizer(tokenizer.words);
    case "bytes":
      return tokenizerFrom(bytesJson(holeTokens(stages)));
    case "file":
      return tokenizerFrom(readJson(tokenizer.path));
    case "bpe":
      return tokenizerFrom(
        trainBpe(
          [readDataText(tokenizer.file, "a text from which a vocabulary is learned", { markup: true })],
          {
            vocabSize: tokenizer.vocabSize,
            rule: tokenizer.split === undefined ? undefined : trainingRule(SPLIT_RULES[tokenizer.split]),
            extra: holeTokens(stages),
          },
        ),
      );
  }
}

/** Control tokens of fill-in-the-middle, where a stage cuts its documents. */
const holeTokens = (stages: Recipe["stages"]): string[] =>
  stages.some((stage) => "data" in stage && "fim" in stage.data && stage.data.fim)
    ? Object.values(FIM_TOKENS)
    : [];
