/** What an evaluation of a recipe is about, found before the run and again when it comes. */
import { resolve } from "node:path";
import type { ModelShape } from "../checkpoint/folder.ts";
import { chooseProblems, type EvaluatedProblem } from "../eval/problems.ts";
import { usablePositions } from "../models/rope.ts";
import type { ListPart, Task } from "../tasks/problem.ts";
import { taskFrom } from "../tasks/registry.ts";
import type { EvaluateStage, Recipe } from "./schema.ts";

/**
 * The part of its task's problems. A recipe that says which rows are tests is taken at its word. A file that no stage trains on is examined whole: its splits hold nothing back.
 * A file that is trained on is examined in its split, which no training saw.
 */
export function examPart(recipe: Recipe, stage: EvaluateStage): ListPart {
  const task = stage.task ?? recipe.task;
  const told = task.kind === "jsonl" && (task.test !== undefined || task.split !== undefined);
  if (task.kind !== "jsonl" || told || stage.split !== "test" || trainedFiles(recipe).has(resolve(task.file)))
    return stage.split;
  return "all";
}

/** Files whose rows a stage trains on. */
export function trainedFiles({ task, stages }: Recipe): Set<string> {
  const files = stages.flatMap((stage) => {
    if (stage.kind === "grpo") return task.kind === "jsonl" ? [task.file] : [];
    return stage.kind !== "evaluate" && "file" in stage.data ? [stage.data.file] : [];
  });
  return new Set(files.map((file) => resolve(file)));
}

/** @throws UserError where the stage asks for what is not there */
export function examProblems(
  recipe: Recipe,
  stage: EvaluateStage,
  task: Task = taskFrom(stage.task ?? recipe.task),
): EvaluatedProblem[] {
  return chooseProblems(task, {
    seed: recipe.seed,
    part: examPart(recipe, stage),
    problems: stage.problems,
  });
}

/** An answer's limit where a stage says none: what the model's positions leave behind a prompt of ordinary length. */
export function largestCompletion({ config }: Pick<ModelShape, "config">): number {
  return Math.floor(usablePositions(config.maxPositions) * 0.75);
}
