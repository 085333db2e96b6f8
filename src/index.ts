/**
 * `sputnik-r1`: open a model and ask it, evaluate it on a task, train by a recipe or verb by verb.
 * The parts are under `sputnik-r1/graph`, `/models`, `/tasks`, `/train` and `/eval`.
 * @module sputnik-r1
 */
import "./runtime/no-telemetry.ts";

export type { EvaluationRecord, GroupRecord, Metrics, RunEvent, SampleRecord, StageInfo } from "./events.ts";
export { type ErrorKind, isUserError, UserError, type UserErrorDetail } from "./lib/errors.ts";
export { type Failure, FailureError } from "./lib/failure.ts";
export {
  type GeneratedText,
  type GenerateTextOptions,
  LanguageModel,
  type LoadOptions,
  loadModel,
  type Message,
  type TextToken,
} from "./library/model.ts";
export {
  type EvaluationOptions,
  evaluate,
  type TrainOptions,
  type TrainResult,
  train,
} from "./library/run.ts";
export { loadRecipe, parseRecipe } from "./recipe/load.ts";
export type { Recipe, Stage } from "./recipe/schema.ts";
export { completionDatum, type Datum } from "./train/datum.ts";
export { defineLoss, type LossName, type TokenLoss } from "./train/losses.ts";
export { Trainer, type TrainerOptions } from "./train/trainer.ts";
