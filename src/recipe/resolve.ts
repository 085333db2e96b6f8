/**
 * A recipe with every default filled in. The schemas fill those that are constants; here are those that follow from other
 * keys or from the model: steps from tokens, seeds, and what an evaluation asks. A run and the planner read this alone.
 */
import { resolve as absolutePath } from "node:path";
import type { ModelShape } from "../checkpoint/folder.ts";
import { partsOf } from "../data/options.ts";
import { chooseProblems, type EvaluatedProblem } from "../eval/problems.ts";
import type { StageInfo } from "../events.ts";
import type { Inherited } from "../ledger/bill.ts";
import { Random } from "../lib/random.ts";
import { usablePositions } from "../models/rope.ts";
import type { ListPart } from "../tasks/problem.ts";
import { taskFrom, verifierFrom } from "../tasks/registry.ts";
import { languageModelSteps, sampleSteps } from "../train/options.ts";
import { recipeShape, stageShapes } from "./model.ts";
import {
  asks,
  type DistillStageOptions,
  type EvaluateStage,
  type GrpoStage,
  type MergeStageOptions,
  type PretrainStage,
  type Recipe,
  readsData,
  type SampleStageOptions,
  type SftStage,
  type Stage,
  type TaskOptions,
  taskOfStage,
  tasksOfStage,
} from "./schema.ts";

/** Of every stage: its steps, and the seed of its random streams. */
interface Resolved {
  steps: number;
  seed: number;
  /** Of the model that the stage trains or asks. */
  shape: ModelShape;
}

export type ResolvedPretrain = PretrainStage & Resolved;
export type ResolvedSft = SftStage & Resolved;
export type ResolvedGrpo = GrpoStage & Resolved & { task: TaskOptions };
export type ResolvedEvaluate = EvaluateStage &
  Resolved & { task: TaskOptions; split: ListPart; maxNewTokens: number };
export type ResolvedSample = SampleStageOptions & Resolved & { task: TaskOptions };
export type ResolvedDistill = DistillStageOptions & Resolved & { task: TaskOptions };
export type ResolvedMerge = MergeStageOptions & Resolved;
export type ResolvedStage =
  | ResolvedPretrain
  | ResolvedSft
  | ResolvedGrpo
  | ResolvedSample
  | ResolvedDistill
  | ResolvedMerge
  | ResolvedEvaluate;

export interface ResolvedRecipe extends Recipe {
  stages: ResolvedStage[];
  /** What the recipe makes, or what a model that it names brings. */
  shape: ModelShape;
}

/** @throws UserError where the model or the tokenizer that the recipe names cannot be read */
export function resolve(recipe: Recipe): ResolvedRecipe {
  const shape = recipeShape(recipe);
  const shapes = stageShapes(recipe, shape);
  return {
    ...recipe,
    shape,
    stages: recipe.stages.map((stage, i) => resolveStage(stage, recipe, shapes[i])),
  };
}

function resolveStage(stage: Stage, recipe: Recipe, shape: ModelShape): ResolvedStage {
  const steps = stageSteps(stage);
  const seed = stageSeed(recipe.seed, stage.name);
  switch (stage.kind) {
    case "grpo":
    case "sample":
    case "distill":
      return { ...stage, steps, seed, shape, task: taskOfStage(stage, recipe) };
    case "evaluate":
      return resolveEvaluation(stage, recipe, shape);
    default:
      return { ...stage, steps, seed, shape };
  }
}

/** Evaluations have the recipe's seed, so that they ask the same problems and can be compared. */
export const resolveEvaluation = (
  stage: EvaluateStage,
  recipe: Recipe,
  shape: ModelShape,
): ResolvedEvaluate => ({
  ...stage,
  ...{ steps: 1, seed: recipe.seed, shape, task: taskOfStage(stage, recipe) },
  split: evaluationPart(recipe, stage),
  maxNewTokens: stage.maxNewTokens ?? largestCompletion(shape),
});

/** Steps that a stage takes. */
function stageSteps(stage: Stage): number {
  switch (stage.kind) {
    case "evaluate":
      return 1;
    case "grpo":
    case "distill":
      return stage.steps;
    case "merge":
      return stage.models.length - 1;
    case "sample":
      return sampleSteps(stage);
    default:
      return languageModelSteps(stage);
  }
}

/** The weights that a recipe begins with, which cost its run nothing. */
export function inheritedBy(recipe: Pick<Recipe, "model" | "stages">): Inherited[] {
  const models = [recipe.model, ...recipe.stages.flatMap((stage) => ("model" in stage ? [stage.model] : []))];
  return models.flatMap((model) => {
    if (model === undefined || !("from" in model)) return [];
    const { flops = null, dollars = null, source = null } = model.cost ?? {};
    return [{ what: model.from, flops, dollars, source }];
  });
}

export const stageInfos = (recipe: Recipe): StageInfo[] =>
  recipe.stages.map((stage) => ({
    ...{ name: stage.name, kind: stage.kind, totalSteps: stageSteps(stage) },
    ...(asks(stage) &&
      stage.kind !== "evaluate" && { stepName: stepNameOf(tasksOfStage(stage, recipe)[0]!) }),
  }));

/** What the steps of the task's thoughts are called in reports. The code of a task module is not run to ask it. */
const stepNameOf = (task: TaskOptions): string =>
  (task.kind === "module" ? undefined : verifierFrom(task).stepName) ?? "steps";

/**
 * The seed of a training stage's streams: its problems or documents, its samples, its adapter. Two stages of a recipe draw
 * from different streams, however alike they are.
 */
const stageSeed = (seed: number, stage: string): number => new Random(seed, "stage", stage).uint32();

/**
 * The part of its task's problems that an evaluation asks. A recipe that says which rows are tests is followed. Of a file
 * that no stage trains on, all rows are asked; of a file that is trained on, the split that no training saw.
 */
export function evaluationPart(recipe: Recipe, stage: EvaluateStage): ListPart {
  const task = taskOfStage(stage, recipe);
  if (task.kind !== "jsonl" || task.test !== undefined || task.split !== undefined) return stage.split;
  return stage.split === "test" && !trainedFiles(recipe).has(absolutePath(task.file)) ? "all" : stage.split;
}

/** Files whose rows a stage trains on. */
export function trainedFiles(recipe: Recipe): Set<string> {
  const files = recipe.stages.flatMap((stage) => {
    if (stage.kind === "evaluate" || stage.kind === "merge") return [];
    const trained = readsData(stage)
      ? partsOf(stage.data).map((data) => (data.kind === "task" ? (data.task ?? recipe.task) : data))
      : tasksOfStage(stage, recipe);
    return trained.flatMap((data) => ("file" in data ? [data.file] : []));
  });
  return new Set(files.map((file) => absolutePath(file)));
}

/** @throws UserError where the stage asks for what its task does not have */
export const evaluationProblems = ({
  task,
  seed,
  split,
  problems,
  effort,
}: ResolvedEvaluate): EvaluatedProblem[] =>
  chooseProblems(taskFrom(task), { seed, part: split, problems, effort });

/** Part of the positions that a completion may take by default; the others are for the prompt. */
const COMPLETION_POSITIONS = 0.75;

/** The limit of a completion, in tokens, where nothing gives one. */
export const largestCompletion = ({ config }: Pick<ModelShape, "config">): number =>
  Math.max(1, Math.floor(usablePositions(config.maxPositions) * COMPLETION_POSITIONS));
