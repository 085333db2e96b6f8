/** The models that stages begin with, and the stages of training as they run. */
import { join } from "node:path";
import { documentSource } from "../data/sources.ts";
import { initialModel, openModel, placeOf } from "../recipe/model.ts";
import type { ResolvedDistill, ResolvedEvaluate, ResolvedRecipe, ResolvedStage } from "../recipe/resolve.ts";
import { START, teacherName } from "../recipe/schema.ts";
import type { Engine } from "../runtime/engine.ts";
import { taskFrom } from "../tasks/registry.ts";
import { DistillStage } from "../train/distill-stage.ts";
import { GrpoStage } from "../train/grpo.ts";
import { LanguageModelStage } from "../train/language-model-stage.ts";
import { MergeStage } from "../train/merge-stage.ts";
import { SampleStage } from "../train/sample-stage.ts";
import type { Model, Stage, StageSnapshot } from "../train/stage.ts";
import type { Teacher } from "../train/teachers.ts";
import type { RunFolder } from "./folder.ts";

/** What a stage is made in. */
export interface Site {
  recipe: ResolvedRecipe;
  folder: RunFolder;
  engine: Engine;
}

/** The model that a training stage of this name left, or the recipe's own. */
const modelOfStage = ({ recipe, folder }: Site, name: string): Model =>
  name === START ? initialModel(recipe, recipe.shape) : openModel(join(folder.paths.models, name));

/** The model that a stage begins with. @param latest that of the training stage before it */
export function modelFor(site: Site, stage: ResolvedStage, latest: Model): Model {
  const { recipe } = site;
  if (stage.kind === "merge") return modelOfStage(site, stage.models[0]!.stage);
  if ("model" in stage && stage.model !== undefined)
    return initialModel({ ...recipe, model: stage.model, seed: stage.seed }, stage.shape);
  return stage.from === undefined ? latest : modelOfStage(site, stage.from);
}

/** Starts a stage, or continues one from its snapshot. */
export function createStage(
  site: Site,
  stage: Exclude<ResolvedStage, ResolvedEvaluate>,
  model: Model,
  snapshot?: StageSnapshot,
): Promise<Stage> {
  const { recipe, folder, engine } = site;
  const { seed } = stage;
  const context = { seed, engine };
  switch (stage.kind) {
    case "grpo":
      return GrpoStage.create(model, taskFrom(stage.task), stage, context, snapshot);
    case "sample":
      return SampleStage.create(
        model,
        taskFrom(stage.task),
        stage,
        context,
        snapshot,
        stage.teacher && site.folder.answersPath(stage.name),
      );
    case "distill": {
      const roles = { teachers: teachersOf(site, stage), task: taskFrom(stage.task) };
      return DistillStage.create(model, roles, stage, context, snapshot);
    }
    case "merge": {
      const parts = stage.models.map(({ stage: name, weight }) => ({
        ...{ name, weight },
        open: () => modelOfStage(site, name),
      }));
      return MergeStage.create(model, parts, context, snapshot);
    }
    default: {
      const samplesOf = (name: string): string => folder.rowsPath(name);
      const options = { seed, stage: stage.kind, task: recipe.task, samplesOf };
      return LanguageModelStage.create(
        model,
        documentSource(stage.data, model, options),
        stage,
        context,
        snapshot,
      );
    }
  }
}

const teachersOf = (site: Site, { teachers }: ResolvedDistill): Teacher[] =>
  teachers.map((teacher) => ({
    name: teacherName(teacher),
    model:
      teacher.model === undefined
        ? modelOfStage(site, teacher.stage!)
        : openModel(placeOf(teacher.model.from), teacher.model.adapter),
    weight: teacher.weight,
    task: teacher.task === undefined ? null : taskFrom(teacher.task),
  }));
