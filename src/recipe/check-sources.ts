/**
 * What a later stage would stumble over, found before the first step and not after hours: every file that is read, and
 * what a recipe says of a model whose design is known only when its files are opened.
 */
import { isV3 } from "../models/architecture.ts";
import { taskFrom } from "../tasks/registry.ts";
import { examProblems } from "./exam.ts";
import { UsageError } from "./find-model.ts";
import { recipeShape } from "./options.ts";
import type { Recipe } from "./schema.ts";
import { idleFactor } from "./sense.ts";
import { documentSource } from "./sources.ts";

/** @throws DataSetError naming the file and the line, UsageError for factors that the model has no use for */
export function checkSources(recipe: Recipe): void {
  const { config, tokenizer } = recipeShape(recipe);
  for (const stage of recipe.stages) {
    if (stage.kind === "grpo") taskFrom(recipe.task);
    else if (stage.kind === "evaluate") examProblems(recipe, stage);
    else {
      const idle = idleFactor(stage, isV3(config) ? config : null);
      if (idle !== null)
        throw new UsageError(`Stage "${stage.name}", ${idle.path.join(".")}: ${idle.message}`, idle.remedy);
      if (stage.data.kind !== "countdown-attempts") documentSource(stage.data, tokenizer, recipe.seed);
    }
  }
}
