/** Reads every file that a later stage will read, so that a broken line is found before the first step, not after hours. */
import { taskFrom } from "../tasks/registry.ts";
import { recipeShape } from "./options.ts";
import type { Recipe } from "./schema.ts";
import { documentSource } from "./sources.ts";

/** @throws DataSetError naming the file and the line. */
export function checkSources(recipe: Recipe): void {
  const { tokenizer } = recipeShape(recipe);
  for (const stage of recipe.stages) {
    if (stage.kind === "grpo") taskFrom(recipe.task);
    else if (stage.kind === "evaluate") taskFrom(stage.task ?? recipe.task);
    else if (stage.data.kind !== "countdown-attempts") documentSource(stage.data, tokenizer, recipe.seed);
  }
}
