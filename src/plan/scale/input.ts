/** A plan's input, from what a person names (a preset, a recipe, a config.json, a size) and the options, with where each part is from. */
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { readJson } from "../../checkpoint/json.ts";
import { usageError } from "../../lib/errors.ts";
import { fromHuggingFace } from "../../models/architectures.ts";
import { parseRecipe, readRecipe } from "../../recipe/load.ts";
import { resolvePaths } from "../../recipe/paths.ts";
import {
  type ResolvedDistill,
  type ResolvedGrpo,
  type ResolvedStage,
  resolve,
} from "../../recipe/resolve.ts";
import { domainsOf } from "../../train/teachers.ts";
import { COMPLETION_SHARE } from "../programs.ts";
import { EPOCH, type Numerator, PUE, type RlShape, type Utilisation } from "./costs.ts";
import { countModel, type ModelCounts, modelOfSize } from "./counts.ts";
import { type Gpu, gpuNamed, gpus, type PeakType, type Price } from "./gpus.ts";
import type { Figure } from "./sources.ts";
import { type System, type SystemStage, systemNamed } from "./systems.ts";
import type { Stage, TrainingInput } from "./training.ts";

/** Numbers are positive, shares from 0 to 1. */
export interface PlanOptions {
  /** In place of a target: parameters, and those that one token uses. */
  parameters?: number;
  active?: number;
  /** Pretraining. */
  tokens?: number;
  context?: number;
  /** RL. */
  rlSteps?: number;
  problems?: number;
  group?: number;
  promptTokens?: number;
  completionTokens?: number;
  scores?: number;
  rolloutRate?: number;
  /** The cluster. */
  gpu?: string;
  gpus?: number;
  mfu?: number;
  numerator?: Numerator;
  peak?: PeakType;
  uptime?: number;
  price?: number;
  pue?: number;
  sequences?: number;
}

/** Parts of a plan's input that a person may ask after. */
export type Part = "model" | "gpu" | "gpus" | "mfu" | "uptime" | "rollout" | "rent" | "purchase" | "pue";

export type Origin = Pick<Figure, "firmness" | "source"> | string;

export interface ChosenPlan {
  title: string;
  /** The preset; `null` for a model of one's own. */
  system: System | null;
  /** `null`: nothing can be planned, because too little is known of the preset. */
  input: TrainingInput | null;
  /** Where each part comes from: a source, or words. */
  origins: Record<Part, Origin> | null;
}

/** R1-Zero's batch (arXiv 2501.12948, section 2), a short prompt, and scores by the old policy and a reference. */
const RL = { problems: 32, group: 16, prompt: 128, scores: 2 };
const CONTEXT = 4096;
/** The utilisation of other models, and the power of a hall. */
const EPOCH_ESTIMATE = { firmness: "estimated", source: "epochCosts" } as const;
const FEWEST = "the fewest that hold the model";
const [GIVEN, UNKNOWN] = ["given", "unknown"];

/** @throws UserError for what cannot be read, is not known, or does not go together */
export function choosePlan(target: string | undefined, options: PlanOptions): ChosenPlan {
  refuseMixtures(options);
  // A slip is told before a large model is counted.
  const wanted = options.gpu === undefined ? null : gpuNamed(options.gpu);
  const { title, system, model, stages, origin } = choose(target, options);
  if (model === null) return { title, system, input: null, origins: null };
  const gpu: Gpu | null = wanted ?? (system === null ? gpus.H100 : system.gpu && gpus[system.gpu.name]);
  // What a maker reached on its own cluster says nothing of another one.
  const own = options.gpu === undefined ? system : null;
  const utilisation = chooseUtilisation(own, model, options);
  if (gpu !== null && gpu.peak[utilisation.peak] === null)
    throw usageError(`No FP8 peak of the ${gpu.title} is known.`, "Leave --peak out, or choose another GPU.");
  const { rents = [], purchase = null } = gpu ?? {};
  const [rent] = rents;
  const [count, countOrigin] = given(options.gpus, own?.gpus, own === null ? FEWEST : UNKNOWN);
  const [uptime, uptimeOrigin] = given(options.uptime, options.mfu ? null : own?.uptime, "no time is lost");
  const [rollout, rolloutOrigin] = given(options.rolloutRate, own?.rollout, "no cluster reaches it");
  return {
    ...{ title, system },
    input: {
      ...{ model, stages, gpu, utilisation, rollout },
      gpus: count ?? (own === null ? "fewest" : null),
      uptime: uptime ?? 1,
      dollarsPerHour: options.price ?? rent?.value ?? null,
      pue: options.pue ?? PUE,
      sequences: options.sequences ?? 1,
    },
    origins: {
      model: origin,
      gpu: options.gpu ? GIVEN : system?.gpu ? system.gpu : gpu === null ? "give --gpu" : "our default",
      gpus: countOrigin,
      mfu: utilisation.origin,
      uptime: uptimeOrigin,
      rollout: rolloutOrigin,
      rent:
        options.price !== undefined
          ? GIVEN
          : rent === undefined
            ? "none is known: give --price"
            : asked(rent),
      purchase: purchase === null ? UNKNOWN : asked(purchase),
      pue: options.pue === undefined ? EPOCH_ESTIMATE : GIVEN,
    },
  };
}

const asked = ({ by, date }: Price): string => `${by}, ${date}`;

/** An option, or else a preset's figure, and where it comes from. */
function given(
  option: number | undefined,
  figure: Figure | null | undefined,
  otherwise: string,
): [number | null, Origin] {
  if (option !== undefined) return [option, GIVEN];
  return figure ? [figure.value, figure] : [null, otherwise];
}

/** Options that say nothing without another one. */
function refuseMixtures(options: PlanOptions): void {
  const { mfu, numerator, peak, rlSteps, completionTokens, active, parameters } = options;
  if (mfu === undefined && (numerator !== undefined || peak !== undefined))
    throw usageError(
      "A utilisation is one number with its numerator and its peak.",
      "Give --mfu with --numerator and --peak, such as --mfu 0.4373 --numerator full.",
    );
  if (active !== undefined && (parameters === undefined || active > parameters))
    throw usageError(
      "--active is the part of --parameters that one token uses.",
      "Give both, such as --parameters 671B --active 37B.",
    );
  if (rlSteps !== undefined && completionTokens === undefined)
    throw usageError(
      "The cost of RL is the length of its completions, and none is given.",
      "Add --completion-tokens, their mean.",
    );
}

function chooseUtilisation(
  system: System | null,
  model: ModelCounts,
  { mfu, numerator = model.details === null ? "6nd" : "causal", peak = "bf16" }: PlanOptions,
): Utilisation & { peak: PeakType; origin: Origin } {
  if (mfu !== undefined) return { value: mfu, numerator, peak, origin: GIVEN };
  const known = system?.utilisation;
  if (known) return { value: known.value, numerator: known.numerator, peak: known.peak, origin: known };
  return { value: EPOCH.mfu, numerator, peak, origin: EPOCH_ESTIMATE };
}

// ── models and their stages ─────────────────────────────────────────────────────────────────────────────────────────

interface Choice {
  title: string;
  system: System | null;
  model: ModelCounts | null;
  stages: Stage[];
  /** Of the model's counts. */
  origin: Origin;
}

const COUNTED = "counted";

function choose(target: string | undefined, options: PlanOptions): Choice {
  if (options.parameters !== undefined) {
    if (target !== undefined)
      throw usageError(`${target} has its own parameters.`, "Leave --parameters and --active out.");
    const model = modelOfSize(options.parameters, options.active);
    return { title: "a model of this size", system: null, model, stages: ownStages(options), origin: GIVEN };
  }
  if (target === undefined)
    throw usageError(
      "There is no model to plan for.",
      "Name a preset, a recipe or a folder with config.json, or give --parameters.",
    );
  if (/\.ya?ml$/.test(target)) return chooseRecipe(target, options);
  if (existsSync(target)) return { ...chooseConfig(target), stages: ownStages(options) };
  return chooseSystem(systemNamed(target), options);
}

function chooseConfig(path: string): Omit<Choice, "stages"> {
  const file = statSync(path).isDirectory() ? join(path, "config.json") : path;
  return { title: path, system: null, model: countModel(fromHuggingFace(readJson(file))), origin: COUNTED };
}

function chooseRecipe(file: string, options: PlanOptions): Choice {
  const { shape, stages } = resolve(resolvePaths(parseRecipe(readRecipe(file), file), file).recipe);
  const changed = options.tokens !== undefined || options.rlSteps !== undefined;
  return {
    title: file,
    system: null,
    model: countModel(shape.config),
    stages: changed ? ownStages(options) : stages.flatMap((stage) => recipeStage(stage, options)),
    origin: COUNTED,
  };
}

function recipeStage(
  stage: ResolvedStage,
  { promptTokens = RL.prompt, completionTokens }: PlanOptions,
): Stage[] {
  const { name, steps } = stage;
  if (stage.kind === "evaluate" || stage.kind === "sample" || stage.kind === "merge") return [];
  if (stage.kind === "pretrain" || stage.kind === "sft") {
    const tokens = steps * stage.batch * stage.accumulate * stage.sequence;
    return [{ name, text: [{ tokens, context: stage.sequence }], givenHours: null }];
  }
  const rl: RlShape = {
    ...{ steps, prompt: promptTokens, ...rolloutsOf(stage) },
    // As `train --dry-run` takes it.
    completion: completionTokens ?? Math.ceil(stage.maxNewTokens * COMPLETION_SHARE),
  };
  return [{ name, rl, givenHours: null }];
}

/** Of a step: problems, completions of each, and forward passes over each completion. Teachers are taken to be of the student's size. */
function rolloutsOf(stage: ResolvedGrpo | ResolvedDistill): Pick<RlShape, "problems" | "group" | "scores"> {
  if (stage.kind === "grpo")
    return {
      ...{ problems: stage.problemsPerStep, group: stage.groupSize },
      scores: (stage.kl > 0 ? 1 : 0) + (stage.importance === undefined ? 0 : 1),
    };
  const teachers = stage.teachers.map(({ task }) => ({ name: "", task: task ?? null }));
  const domains = domainsOf(teachers, { name: "", task: stage.task });
  const judged = domains.reduce((total, { judges }) => total + judges.length, 0);
  return {
    ...{ problems: domains.length * stage.problemsPerStep, group: stage.samples },
    scores: judged / domains.length,
  };
}

function chooseSystem(system: System, options: PlanOptions): Choice {
  const { title, shape, parameters, active } = system;
  if (parameters === null || active === null)
    return { title, system, model: null, stages: [], origin: UNKNOWN };
  const model =
    shape === null ? modelOfSize(parameters.value, active.value) : countModel(fromHuggingFace(shape));
  const origin = shape === null ? parameters : COUNTED;
  const own = options.tokens !== undefined || options.rlSteps !== undefined;
  // Hours of one cluster say nothing of another one.
  const other = [options.gpu, options.mfu, options.uptime, options.context].some(
    (option) => option !== undefined,
  );
  const known = system.stages.map((stage) => systemStage(stage, other, options));
  return { title, system, model, stages: own ? ownStages(options) : known, origin };
}

function systemStage({ name, text, rl, gpuHours }: SystemStage, other: boolean, options: PlanOptions): Stage {
  return {
    name,
    text: text?.map(({ tokens, context }) => ({ tokens: tokens.value, context: options.context ?? context })),
    rl: rl && systemRl(rl, options),
    givenHours: other ? null : (gpuHours?.value ?? null),
  };
}

function systemRl(
  { steps, problems, group, completion: length }: NonNullable<SystemStage["rl"]>,
  {
    promptTokens: prompt = RL.prompt,
    completionTokens: completion = length?.value,
    scores = RL.scores,
  }: PlanOptions,
): RlShape | null {
  if (problems === null || group === null || completion === undefined) return null;
  return { steps: steps.value, problems: problems.value, group: group.value, prompt, completion, scores };
}

/** The stages that options describe. @throws UserError where they describe none */
function ownStages(options: PlanOptions): Stage[] {
  const { tokens, context = CONTEXT, rlSteps: steps, completionTokens: completion } = options;
  const {
    problems = RL.problems,
    group = RL.group,
    promptTokens: prompt = RL.prompt,
    scores = RL.scores,
  } = options;
  const stages: Stage[] = [];
  if (tokens !== undefined)
    stages.push({ name: "pretraining", text: [{ tokens, context }], givenHours: null });
  if (steps !== undefined && completion !== undefined)
    stages.push({ name: "RL", rl: { steps, problems, group, prompt, completion, scores }, givenHours: null });
  if (stages.length > 0) return stages;
  throw usageError(
    "Nothing says how long the training is.",
    "Add --tokens, such as --tokens 2T, or --rl-steps with --completion-tokens.",
  );
}
