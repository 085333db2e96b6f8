/** Fills in what follows from other keys of a recipe, before the schema reads it. */
import { expandPreset, isObject } from "../train/presets.ts";

/**
 * Fills the presets of a recipe's stages, and the tokenizer of a model that brings one. What it does not understand it
 * leaves to the schema.
 */
export function expandPresets(recipe: unknown): unknown {
  if (!isObject(recipe)) return recipe;
  const made = isObject(recipe.model) && "layers" in recipe.model;
  const filled = made ? recipe : { tokenizer: { kind: "model" }, ...recipe };
  return Array.isArray(recipe.stages) ? { ...filled, stages: recipe.stages.map(expandPreset) } : filled;
}
