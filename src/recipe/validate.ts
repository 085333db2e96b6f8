/**
 * Combinations of values that each key allows but that make no sense together. Every refusal is a sentence that says why
 * and what to write instead.
 */
import { z } from "zod";
import { partsOf } from "../data/options.ts";
import { isUserError } from "../lib/errors.ts";
import { checkConfig, configOf, type ModelShape } from "../models/architectures.ts";
import { languageModelSteps, rewardNames } from "../train/options.ts";
import { expandPreset, isObject } from "../train/presets.ts";
import {
  asks,
  byModel,
  type DistillStageOptions,
  type EvaluateStage,
  type GrpoStage,
  type PretrainStage,
  type Recipe,
  readsData,
  recipeObject,
  type SampleStageOptions,
  type SftStage,
  START,
  type Stage,
  type TaskOptions,
  taskOfStage,
  teacherName,
  trains,
} from "./schema.ts";

type Path = (string | number)[];
type Refuse = (path: Path, message: string) => void;

function validate(recipe: Recipe, context: z.RefinementCtx): void {
  const refuse: Refuse = (path, message) => context.addIssue({ code: "custom", path, message });
  const shapeOf = (model: Recipe["model"]): ModelShape | null => ("from" in model ? null : model);
  const shape = shapeOf(recipe.model);
  if (shape !== null) checkShape(shape, ["model"], refuse);
  const own = recipe.tokenizer.kind === "model";
  if (shape === null && !own)
    refuse(["tokenizer"], "A model that is taken from somewhere brings its own tokenizer: leave this out.");
  if (shape !== null && own)
    refuse(["tokenizer"], "A new model has no tokenizer yet: choose one, such as { kind: compact }.");
  checkUnique(recipe, refuse);
  checkSplit(recipe.task, (path, message) => refuse(["task", ...path], message));
  const shapes = byModel(recipe, shape, shapeOf);
  recipe.stages.forEach((stage, index) => {
    const at: Refuse = (path, message) => refuse(["stages", index, ...path], message);
    const shape = shapes[index];
    checkSource(stage, recipe.stages.slice(0, index), at);
    if (asks(stage) && stage.task !== undefined)
      checkSplit(stage.task, (path, message) => at(["task", ...path], message));
    if (stage.kind === "grpo") {
      checkGrpo(stage, shape, at);
      const keys = unknownRewards(stage, taskOfStage(stage, recipe));
      if (keys.length > 0)
        context.addIssue({
          ...{ code: "unrecognized_keys", keys, path: ["stages", index, "rewards"] },
          input: stage.rewards,
        });
    } else if (stage.kind === "evaluate") checkEvaluate(stage, shape, at);
    else if (stage.kind === "sample") checkSample(stage, shape, at);
    else if (stage.kind === "distill") checkDistill(stage, shape, at);
    else if (stage.kind !== "merge") {
      checkLanguageModelling(stage, shape, at);
      for (const data of partsOf(stage.data))
        if (data.kind === "task" && data.task !== undefined)
          checkSplit(data.task, (path, message) => at(["data", "task", ...path], message));
    }
  });
}

/**
 * Fills the presets of a recipe's stages, the tokenizer of a model that brings one, and the kind of a task that is a
 * module. What it does not understand it leaves to the schema.
 */
export function expandPresets(recipe: unknown): unknown {
  if (!isObject(recipe)) return recipe;
  const made = isObject(recipe.model) && "layers" in recipe.model;
  const filled = withTaskKind(made ? recipe : { tokenizer: { kind: "model" }, ...recipe });
  if (!Array.isArray(recipe.stages)) return filled;
  const stages = recipe.stages.map((stage) => expandPreset(isObject(stage) ? withTaskKinds(stage) : stage));
  return { ...filled, stages };
}

/** Of a stage's own task, of its teachers', and of the one whose solved problems a stage trains on. */
function withTaskKinds(stage: object): object {
  const named = withTaskKind(stage);
  if ("teachers" in named && Array.isArray(named.teachers))
    return { ...named, teachers: named.teachers.map((one) => (isObject(one) ? withTaskKind(one) : one)) };
  return "data" in named && isObject(named.data) ? { ...named, data: withTaskKind(named.data) } : named;
}

/** `task: { module: ./my-task.ts }` is of the kind "module". */
function withTaskKind<T extends object>(of: T): T {
  if (!("task" in of) || !isObject(of.task) || "kind" in of.task || !("module" in of.task)) return of;
  return { ...of, task: { kind: "module", ...of.task } };
}

/** Checks a recipe completely, as it is written, and fills its defaults. */
export const recipeSchema = z.preprocess(expandPresets, recipeObject.superRefine(validate));

/** Where a stage takes its model from: an earlier stage that trains one, the recipe, or a shape of its own. */
function checkSource(stage: Stage, earlier: readonly Stage[], refuse: Refuse): void {
  const sampling = earlier.filter(({ kind }) => kind === "sample").map(({ name }) => name);
  for (const data of readsData(stage) ? partsOf(stage.data) : [])
    if (data.kind === "samples" && !sampling.includes(data.stage))
      refuse(
        ["data"],
        `No stage of kind: sample before this one is called "${data.stage}"${sampling.length === 0 ? "" : `: choose one of ${sampling.join(", ")}`}.`,
      );
  const own = "model" in stage ? stage.model : undefined;
  if (stage.name === START)
    refuse(["name"], `"${START}" means the recipe's own model in from: choose another name.`);
  if (own !== undefined && !("from" in own)) checkShape(own, ["model"], refuse);
  if (own !== undefined && stage.kind !== "merge" && stage.from !== undefined)
    refuse(
      ["from"],
      "A stage with a model of its own takes none from another stage: leave from or model out.",
    );
  const known = [START, ...earlier.filter(trains).map(({ name }) => name)];
  for (const { path, name } of namedModels(stage))
    if (!known.includes(name))
      refuse(
        path,
        `No training stage before this one is called "${name}". Choose one of ${known.map((one) => `"${one}"`).join(", ")}.`,
      );
}

/** Stages whose models a stage reads, with the keys that name them. */
function namedModels(stage: Stage): { path: Path; name: string }[] {
  const at = (key: string, name: string | undefined, ...path: Path) =>
    name === undefined ? [] : [{ path: [...path, key], name }];
  if (stage.kind === "merge")
    return stage.models.flatMap(({ stage: name }, i) => at("stage", name, "models", i));
  const teachers = stage.kind === "distill" ? stage.teachers : [];
  return [
    ...at("from", stage.from),
    ...teachers.flatMap(({ stage: name }, i) => at("stage", name, "teachers", i)),
  ];
}

function checkShape(model: ModelShape, path: Path, refuse: Refuse): void {
  try {
    // The vocabulary is the tokenizer's, which is not loaded to check a recipe.
    checkConfig(configOf(model, 1));
  } catch (error) {
    if (!isUserError(error, "config")) throw error;
    const { expected, found, remedy } = error;
    const field = String(error.data.field);
    refuse([...path, ...field.split(".")], `"${field}" is ${found}. Expected ${expected}. ${remedy}`);
  }
}

function checkSplit(task: TaskOptions, refuse: Refuse): void {
  if (task.kind !== "jsonl" || task.test === undefined || (task.split?.test ?? 0) === 0) return;
  refuse(
    ["split"],
    `The tests have a file of their own (test: ${task.test}), so a share of the other file's rows cannot be tests too: leave split.test or test out.`,
  );
}

function checkUnique(recipe: Recipe, refuse: Refuse): void {
  const names = new Set<string>();
  const labels = new Set<string>();
  recipe.stages.forEach((stage, index) => {
    if (names.has(stage.name))
      refuse(
        ["stages", index, "name"],
        `Two stages are called "${stage.name}", so their metrics would mix: rename one.`,
      );
    names.add(stage.name);
    if (stage.kind !== "evaluate") return;
    if (labels.has(stage.label))
      refuse(
        ["stages", index, "label"],
        `Two evaluations have the label "${stage.label}", so the report cannot tell them apart: change one.`,
      );
    labels.add(stage.label);
  });
}

function checkLanguageModelling(
  stage: PretrainStage | SftStage,
  model: ModelShape | null,
  refuse: Refuse,
): void {
  if ((stage.tokens === undefined) === (stage.steps === undefined)) {
    const both = stage.tokens !== undefined;
    refuse(
      both ? ["tokens"] : [],
      `A ${stage.kind} stage ends after a number of tokens or of steps: give ${both ? "one of the two, not both" : "tokens or steps"}.`,
    );
    return;
  }
  const steps = languageModelSteps(stage);
  if (steps < 1) {
    const perStep = stage.sequence * stage.batch * stage.accumulate;
    refuse(
      ["tokens"],
      `One step takes ${perStep} tokens (sequence x batch x accumulate): give at least that many.`,
    );
  } else {
    checkWarmup(stage.schedule.warmup, steps, refuse);
  }
  if ("lora" in stage) checkOptimizer(stage, refuse);
  const unused = unusedFactor(stage, model === null ? undefined : "mtpLayers" in model ? model : null);
  if (unused !== null) refuse(unused.path, `${unused.message} ${unused.remedy}`);
  if (model !== null && stage.sequence > model.maxPositions)
    refuse(
      ["sequence"],
      `Rows of ${stage.sequence} tokens do not fit the model's ${model.maxPositions} positions: shorten sequence or raise model.maxPositions.`,
    );
}

/**
 * The first key of a stage's `v3` block that has no effect; `null` if all keys have one.
 * @param model of V3's design, `null` for another design, and left out where that is not known yet
 */
export function unusedFactor(
  stage: PretrainStage | SftStage,
  model?: { mtpLayers: number } | null,
): { path: string[]; message: string; remedy: string } | null {
  const { v3 } = stage;
  if (v3 === undefined) return null;
  if (model === null)
    return {
      path: ["v3"],
      message: "These are factors of DeepSeek-V3's training, and the model is of another design.",
      remedy: "Leave v3 out.",
    };
  if (v3.biasRate !== undefined && "lora" in stage && stage.lora !== undefined)
    return {
      path: ["v3", "biasRate"],
      message: "With lora the routers' biases are frozen, as are all of the model's own weights.",
      remedy: "Leave biasRate out.",
    };
  if (v3.mtpFactor !== undefined && model?.mtpLayers === 0)
    return {
      path: ["v3", "mtpFactor"],
      message: "This weighs the loss of the MTP module, and the model has none.",
      remedy: "Leave mtpFactor out, or give the model mtpLayers: 1.",
    };
  return null;
}

/** Muon updates full matrices (Jordan et al. 2024); an adapter has none, so AdamW would train all of its tensors. */
function checkOptimizer({ optimizer, lora }: Pick<SftStage, "optimizer" | "lora">, refuse: Refuse): void {
  if (optimizer.kind !== "muon" || lora === undefined) return;
  refuse(
    ["optimizer", "kind"],
    "Muon moves whole weight matrices, and with lora only the two thin halves of an adapter are trained: use kind: adamw (an lr near 2e-4 is usual), or leave lora out.",
  );
}

function checkWarmup(warmup: number, steps: number, refuse: Refuse): void {
  if (warmup < steps) return;
  refuse(
    ["schedule", "warmup"],
    `A warm-up of ${warmup} steps never ends in a stage of ${steps}: the full learning rate would not be reached.`,
  );
}

function checkGrpo(stage: GrpoStage, model: ModelShape | null, refuse: Refuse): void {
  const samples = stage.problemsPerStep * stage.groupSize;
  if (stage.miniBatches > samples)
    refuse(
      ["miniBatches"],
      `${samples} completions a step (problemsPerStep x groupSize) cannot be split into ${stage.miniBatches} mini-batches: use at most ${samples}.`,
    );
  checkEffort(stage, refuse);
  if (stage.kl === 0 && stage.referenceEvery > 0)
    refuse(
      ["referenceEvery"],
      "With kl: 0 there is no reference policy to replace: leave referenceEvery out, or give kl a weight.",
    );
  if (stage.ratio === "sequence" && stage.sharedPrefix)
    refuse(
      ["sharedPrefix"],
      "A sequence ratio is a mean over a row, and this puts several completions into one: leave sharedPrefix out.",
    );
  if (stage.ratio === "sequence" && stage.clip.high > 0.1)
    refuse(
      ["clip", "high"],
      "A sequence ratio is a mean over the completion's tokens and hardly leaves 1, so this range would never clip: GSPO uses low: 0.0003, high: 0.0004.",
    );
  if (stage.aggregation !== "constant" && stage.aggregationLength !== undefined)
    refuse(
      ["aggregationLength"],
      `aggregationLength is the divisor of aggregation: constant; with ${stage.aggregation} it has no effect: leave it out.`,
    );
  if (Object.values(stage.rewards).every((weight) => !weight))
    refuse(
      ["rewards"],
      "All rewards have weight 0, so every completion is worth the same and nothing can be learned: give accuracy a weight.",
    );
  if (stage.overlong?.mode === "soft" && stage.overlong.buffer >= stage.maxNewTokens)
    refuse(
      ["overlong", "buffer"],
      `The penalty begins ${stage.overlong.buffer} tokens before the limit of ${stage.maxNewTokens}, so every completion would be punished: use a smaller buffer.`,
    );
  checkOptimizer(stage, refuse);
  checkLimit(stage.maxNewTokens, model, refuse);
  checkWarmup(stage.schedule.warmup, stage.steps, refuse);
}

function checkEffort({ effort, problemsPerStep }: GrpoStage, refuse: Refuse): void {
  if (effort === undefined) return;
  const levels = effort.levels.length;
  if (new Set(effort.levels).size < levels)
    refuse(
      ["effort", "levels"],
      "A level is named twice, so its problems would be asked twice: leave one out.",
    );
  if (problemsPerStep % levels !== 0)
    refuse(
      ["problemsPerStep"],
      `Each problem is asked at ${levels} levels of effort, which count as problems: use a multiple of ${levels}, such as ${Math.max(1, Math.round(problemsPerStep / levels)) * levels}.`,
    );
}

function checkDistill(stage: DistillStageOptions, model: ModelShape | null, refuse: Refuse): void {
  const names = new Set<string>();
  stage.teachers.forEach((teacher, i) => {
    const at: Refuse = (path, message) => refuse(["teachers", i, ...path], message);
    const name = teacherName(teacher);
    if ((teacher.stage === undefined) === (teacher.model === undefined))
      at([], "A teacher is the model of a stage or a folder: give one of stage and model.");
    else if (names.has(name))
      at(["name"], `Two teachers are called "${name}", so their metrics would mix: give this one a name.`);
    names.add(name);
    if (teacher.task !== undefined)
      checkSplit(teacher.task, (path, message) => at(["task", ...path], message));
  });
  if (stage.task !== undefined && stage.teachers.every(({ task }) => task !== undefined))
    refuse(
      ["task"],
      "Every teacher has a task of its own, so no problem of this one would be asked: leave it out, or a teacher's.",
    );
  checkOptimizer(stage, refuse);
  checkLimit(stage.maxNewTokens, model, refuse);
  checkWarmup(stage.schedule.warmup, stage.steps, refuse);
}

/** Rewards that no task has; a task that is a file may bring rewards of any name, which are checked when it is loaded. */
const unknownRewards = ({ rewards }: GrpoStage, task: TaskOptions): string[] =>
  task.kind === "module" ? [] : Object.keys(rewards).filter((name) => !rewardNames.includes(name));

function checkSample(stage: SampleStageOptions, model: ModelShape | null, refuse: Refuse): void {
  const { teacher } = stage;
  if (teacher === undefined) checkLimit(stage.maxNewTokens, model, refuse);
  if (teacher?.budget?.dollars !== undefined && teacher.price === undefined)
    refuse(
      ["teacher", "price"],
      "A budget in dollars needs the price of a million tokens: { input, output }.",
    );
  if (teacher !== undefined && stage.topK !== undefined)
    refuse(["topK"], "The chat-completions API has no topK: leave it out, or use topP.");
}

function checkEvaluate(stage: EvaluateStage, model: ModelShape | null, refuse: Refuse): void {
  if (stage.temperature === 0 && stage.samples > 1)
    refuse(
      ["samples"],
      `At temperature 0 all ${stage.samples} completions to a problem are the same: use samples: 1, or a temperature above 0.`,
    );
  if (stage.maxNewTokens !== undefined) checkLimit(stage.maxNewTokens, model, refuse);
}

/** The length of the prompt depends on the task; it takes at least one position. */
function checkLimit(maxNewTokens: number, model: ModelShape | null, refuse: Refuse): void {
  if (model === null || maxNewTokens < model.maxPositions) return;
  refuse(
    ["maxNewTokens"],
    `A completion of ${maxNewTokens} tokens and its prompt do not fit the model's ${model.maxPositions} positions: lower maxNewTokens or raise model.maxPositions.`,
  );
}

/** What is allowed and still likely a mistake, in sentences for the terminal. */
export function recipeWarnings(recipe: Recipe): string[] {
  const warnings: string[] = [];
  let longestRow = 0;
  for (const stage of recipe.stages) {
    if (stage.kind === "pretrain" || stage.kind === "sft") longestRow = Math.max(longestRow, stage.sequence);
    if (stage.kind !== "grpo" || longestRow === 0 || stage.maxNewTokens <= longestRow) continue;
    warnings.push(
      `Stage "${stage.name}" lets completions grow to ${stage.maxNewTokens} tokens, but no training row before it is longer than ${longestRow}: beyond the positions that were trained, thoughts turn into noise. Use a sequence of at least ${stage.maxNewTokens}.`,
    );
  }
  return warnings;
}
