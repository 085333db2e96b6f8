/** The files that a recipe names: relative to the recipe, or else to the directory of the command. */
import { existsSync } from "node:fs";
import { dirname, isAbsolute, join, normalize } from "node:path";
import { holdsModel } from "../checkpoint/model.ts";
import { type DataSource, partsOf, type TrainingData } from "../data/options.ts";
import { dataSetError } from "../tasks/rows.ts";
import type { Note } from "./check-data.ts";
import { asks, type Recipe, readsData, type Stage, type TaskOptions, type TeacherOptions } from "./schema.ts";

/**
 * The recipe with each relative path as it is from the directory of the command, and a note on each that is not beside
 * the recipe. A recipe is known by what it says (`hashRecipe`), so it is resolved after that.
 * @param recipeFile the recipe's path, or that of any file in its folder
 * @throws UserError for a file that is in neither place, unless `missing` is "kept"
 */
export function resolvePaths(
  recipe: Recipe,
  recipeFile: string,
  { missing = "refused" }: { missing?: "refused" | "kept" } = {},
): { recipe: Recipe; notes: Note[] } {
  const folder = dirname(recipeFile);
  const elsewhere = new Set<string>();
  const find = (path: string, exists: (path: string) => boolean): string | null => {
    const beside = join(folder, path);
    if (isAbsolute(path) || exists(beside)) return isAbsolute(path) ? path : beside;
    if (!exists(path)) return null;
    if (normalize(path) !== beside) elsewhere.add(path);
    return path;
  };
  const file = (path: string): string => {
    const found = find(path, existsSync);
    if (found !== null) return found;
    if (missing === "kept") return path;
    throw dataSetError(
      join(folder, path),
      null,
      "there is no such file",
      "a path relative to the recipe's folder, or else to the directory of the command",
      "Correct the path in the recipe.",
    );
  };
  // What is no path is the name of a pulled model.
  const modelPaths = <M extends Recipe["model"]>(model: M): M =>
    "from" in model
      ? {
          ...model,
          from: find(model.from, holdsModel) ?? model.from,
          ...(model.adapter !== undefined && { adapter: find(model.adapter, existsSync) ?? model.adapter }),
        }
      : model;
  const { model, tokenizer } = recipe;
  const resolved: Recipe = {
    ...recipe,
    model: modelPaths(model),
    tokenizer:
      tokenizer.kind === "file"
        ? { ...tokenizer, path: file(tokenizer.path) }
        : tokenizer.kind === "bpe"
          ? { ...tokenizer, file: file(tokenizer.file) }
          : tokenizer,
    task: taskPaths(recipe.task, recipe.stages.some(usesTask) ? file : (path) => path),
    stages: recipe.stages.map((stage) => stagePaths(stage, { file, modelPaths })),
  };
  const notes = [...elsewhere].map(
    (path): Note => ({
      level: "info",
      message: `${path} is not in the recipe's folder (${folder}); the one in this directory is used.`,
    }),
  );
  return { recipe: resolved, notes };
}

/** Of the recipe's own task, whose file may be absent where no stage asks for it. */
function usesTask(stage: Stage): boolean {
  if (readsData(stage))
    return partsOf(stage.data).some((data) => data.kind === "task" && data.task === undefined);
  if (!asks(stage) || stage.task !== undefined) return false;
  return stage.kind !== "distill" || stage.teachers.some(({ task }) => task === undefined);
}

/** How a recipe's places are found. */
interface Finder {
  file(path: string): string;
  modelPaths<M extends Recipe["model"]>(model: M): M;
}

function stagePaths(stage: Stage, { file, modelPaths }: Finder): Stage {
  if (stage.kind === "merge") return stage;
  const own = <T extends Pick<TeacherOptions, "task"> & { model?: Recipe["model"] | undefined }>(
    of: T,
  ): T => ({
    ...of,
    ...(of.task !== undefined && { task: taskPaths(of.task, file) }),
    ...(of.model !== undefined && { model: modelPaths(of.model) }),
  });
  if (readsData(stage)) return { ...own(stage), data: dataPaths(stage.data, file) };
  return stage.kind === "distill" ? { ...own(stage), teachers: stage.teachers.map(own) } : own(stage);
}

function taskPaths(task: TaskOptions, file: (path: string) => string): TaskOptions {
  if (task.kind === "module") return { ...task, module: file(task.module) };
  if (task.kind !== "jsonl") return task;
  return { ...task, file: file(task.file), ...(task.test !== undefined && { test: file(task.test) }) };
}

function dataPaths(data: DataSource, file: (path: string) => string): DataSource;
function dataPaths(data: TrainingData, file: (path: string) => string): TrainingData;
function dataPaths(data: TrainingData, file: (path: string) => string): TrainingData {
  switch (data.kind) {
    case "countdown-attempts":
    case "samples":
      return data;
    case "mix":
      return { ...data, parts: data.parts.map((part) => ({ ...part, data: dataPaths(part.data, file) })) };
    case "task":
      return data.task === undefined ? data : { ...data, task: taskPaths(data.task, file) };
    case "repository":
      return { ...data, folder: file(data.folder) };
    default:
      return { ...data, file: file(data.file) };
  }
}
