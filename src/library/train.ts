/**
 * `sputnik-r1/train`: the training step, its losses, rewards and advantages, and the stages that are made of them.
 * @module sputnik-r1/train
 */

export type { Document, DocumentSource, LanguageModelBatch } from "../data/packing.ts";
export type { LossFactors, LossGraph } from "../models/design.ts";
export { advantages, aggregations, hasSignal, importanceLevels } from "../train/advantages.ts";
export { completionDatum, type Datum } from "../train/datum.ts";
export { GrpoStage } from "../train/grpo.ts";
export {
  type Clip,
  grpoLoss,
  type PolicyLossOptions,
  type PolicyTokens,
  policyLoss,
  ratios,
} from "../train/grpo-loss.ts";
export {
  type BatchShape,
  batchFeeds,
  languageModelLoss,
} from "../train/language-model.ts";
export { LanguageModelStage } from "../train/language-model-stage.ts";
export { defineLoss, type LossName, type LossTokens, losses, type TokenLoss } from "../train/losses.ts";
export type { Optimizer } from "../train/optimizer.ts";
export { type GrpoOptions, grpoOptions, type LanguageModelOptions, sftOptions } from "../train/options.ts";
export { rewards, scoreCompletion, type WeightedReward } from "../train/rewards.ts";
export { type Group, type RolloutOptions, rollout, type Sample } from "../train/rollout.ts";
export { lrFactor, type Schedule } from "../train/schedule.ts";
export type {
  Model,
  StageContext,
  StageSnapshot,
  StepReport,
  StepResult,
  TrainedAdapter,
} from "../train/stage.ts";
export {
  createTrainStep,
  type Feeds,
  type Measured,
  type Rates,
  type StepOptions,
  type TrainStep,
} from "../train/step.ts";
export type { BuildLoss } from "../train/trace-step.ts";
export {
  type LossOutput,
  type OptimStep,
  type SampleOptions,
  Trainer,
  type TrainerOptions,
} from "../train/trainer.ts";
