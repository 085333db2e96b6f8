/** What `eval` asks of a model: by the recipe of its run, by the model itself, and by what the person says instead. */
import fs from "node:fs";
import { resolve } from "node:path";
import type { LoadedShape } from "../checkpoint/folder.ts";
import { samplingFor } from "../checkpoint/generation-config.ts";
import { usageError } from "../lib/errors.ts";
import { loadRecipe } from "../recipe/load.ts";
import { evaluationPart, largestCompletion, trainedFiles } from "../recipe/resolve.ts";
import type { EvaluateStage, Recipe } from "../recipe/schema.ts";
import { isModuleFile } from "../tasks/module-task.ts";
import type { ListPart } from "../tasks/problem.ts";
import type { ChatPromptTemplate } from "../tasks/prompt.ts";
import {
  NAMED_KINDS,
  type TaskInput,
  type TaskOptions,
  taskOptions,
  templateOf,
  withTemplate,
} from "../tasks/registry.ts";
import { chatOf } from "../tokenizer/chat.ts";
import type { FoundModel } from "./find-model.ts";
import { readJson, runPaths } from "./folder.ts";
import type { RunInfo } from "./info.ts";
import { recipeOfRun } from "./reader.ts";

/** Options that a person gives; the others follow from the recipe or the model. */
export interface EvaluationWishes {
  /** A task's kind, "jsonl:FILE", or the file of a task module. */
  task?: string;
  numbers?: number[];
  problems?: number;
  split?: ListPart;
  samples?: number;
  temperature?: number;
  topP?: number;
  topK?: number;
  maxTokens?: number;
  /** "none" is "plain". */
  template?: ChatPromptTemplate | "none";
  seed?: number;
  /** The thinking effort that the problems are asked at. */
  effort?: number;
}

export interface EvaluationSettings {
  task: TaskOptions;
  /** How the model is asked, and in words why. */
  prompt: ChatPromptTemplate;
  promptSource: string;
  part: ListPart;
  problems?: number;
  samples: number;
  temperature: number;
  topP?: number;
  topK?: number;
  /** A limit that was given, by the person or the recipe, must fit; another is lowered to what fits. */
  maxNewTokens: number;
  limitGiven: boolean;
  seed: number;
  effort?: number;
  /** Sentences that a person should read before the result. */
  notes: string[];
}

/** Completions of a model without a recipe: as `chat` has it for piped lines. */
const USUAL_LIMIT = 1024;
const USUAL_PROBLEMS = 200;
const USUAL_SAMPLES = 4;

/** @throws UserError for a wish that cannot be met */
export function evaluationSettings(
  found: FoundModel,
  shape: Pick<LoadedShape, "config" | "tokenizerConfig" | "generation">,
  wishes: EvaluationWishes,
): EvaluationSettings {
  const recipe = recipeOf(found);
  const stage = recipe === null ? null : evaluationOf(recipe);
  const notes: string[] = [];
  const chosen = chooseTask(recipe, stage, wishes);
  const { prompt, promptSource, task } = choosePrompt(chosen, shape, wishes);
  // The evaluation's numbers are about the evaluation's task.
  const own = chosen.fromRecipe ? stage : null;
  const model = samplingFor(shape.generation ?? {}, {});
  const temperature = wishes.temperature ?? stage?.temperature ?? model.temperature;
  const samples = wishes.samples ?? (temperature === 0 ? 1 : (stage?.samples ?? USUAL_SAMPLES));
  if (temperature === 0 && samples > 1)
    throw usageError(
      "At temperature 0 all completions to a problem are the same.",
      "Add --samples 1, or a temperature.",
    );
  const share = largestCompletion(shape);
  const said = shape.generation?.max_new_tokens;
  const ownLimit = Number.isInteger(said) && (said as number) > 0 ? (said as number) : USUAL_LIMIT;
  const given = wishes.maxTokens ?? stage?.maxNewTokens;
  const settings: EvaluationSettings = {
    ...{ task, prompt, promptSource, notes, samples, temperature },
    part: choosePart(recipe, stage, chosen, wishes, notes),
    problems: wishes.problems ?? own?.problems ?? (task.kind === "jsonl" ? undefined : USUAL_PROBLEMS),
    topP: wishes.topP ?? (stage === null ? model.topP : stage.topP),
    topK: wishes.topK ?? (stage === null ? model.topK : stage.topK),
    maxNewTokens: given ?? (recipe === null ? Math.min(ownLimit, share) : share),
    limitGiven: given !== undefined,
    seed: wishes.seed ?? recipe?.seed ?? 1,
    effort: wishes.effort ?? own?.effort,
  };
  if (recipe !== null)
    notes.unshift(`settings of the recipe "${recipe.name}"${overrides(settings, recipe, stage, chosen)}`);
  return settings;
}

/** The recipe of the run that made the model, or `null`. */
function recipeOf({ run }: FoundModel): Recipe | null {
  if (run === null) return null;
  const { recipe, info } = runPaths(run);
  if (!fs.existsSync(recipe)) return null;
  return recipeOfRun(loadRecipe(recipe), readJson<RunInfo>(info) ?? {});
}

/** The evaluation that a run ends with: the last one on the task that it trained. */
function evaluationOf({ stages }: Recipe): EvaluateStage | null {
  const evaluations = stages.filter((stage): stage is EvaluateStage => stage.kind === "evaluate");
  return evaluations.findLast((stage) => stage.task === undefined) ?? evaluations.at(-1) ?? null;
}

interface ChosenTask {
  task: TaskOptions;
  /** Whether kind and file are the recipe's, so that the numbers of its evaluation apply. */
  fromRecipe: boolean;
  /** Whether the recipe's template applies too. */
  templateKnown: boolean;
}

const TASKS = `${NAMED_KINDS.join(", ")}, jsonl:FILE, or the file of a task module (TypeScript or JavaScript)`;

function chooseTask(
  recipe: Recipe | null,
  stage: EvaluateStage | null,
  { task, numbers }: EvaluationWishes,
): ChosenTask {
  const own = recipe === null ? null : (stage?.task ?? recipe.task);
  const chosen = task === undefined ? recipeTask(own) : namedTask(task, own);
  if (numbers === undefined) return chosen;
  if (chosen.task.kind !== "countdown")
    throw usageError(
      `--numbers is about countdown, and the task is ${chosen.task.kind}.`,
      "Leave --numbers out, or add --task countdown.",
    );
  return { ...chosen, task: { ...chosen.task, numbers } };
}

function recipeTask(own: TaskOptions | null): ChosenTask {
  // A stranger's run is data: its code runs for a person who names it.
  if (own?.kind === "module")
    throw usageError(
      `The task of the run's recipe is the file ${own.module}, and a file is code.`,
      `To run it, add --task ${own.module}.`,
    );
  if (own !== null) return ofRecipe(own);
  throw usageError("The model comes without a recipe, so its task is not known.", `Add --task ${TASKS}.`);
}

const ofRecipe = (task: TaskOptions): ChosenTask => ({ task, fromRecipe: true, templateKnown: true });

function namedTask(name: string, own: TaskOptions | null): ChosenTask {
  const foreign = (input: TaskInput): ChosenTask => ({
    ...{ task: taskOptions.parse(input), fromRecipe: false, templateKnown: false },
  });
  const kind = NAMED_KINDS.find((known) => known === name);
  if (kind !== undefined) return own?.kind === kind ? ofRecipe(own) : foreign({ kind });
  if (isModuleFile(name)) {
    const same = own?.kind === "module" && resolve(own.module) === resolve(name);
    return same ? ofRecipe(own) : foreign({ kind: "module", module: name });
  }
  const file = /^jsonl:(.+)$/s.exec(name)?.[1];
  if (file === undefined) throw usageError(`There is no task "${name}".`, `Choose ${TASKS}.`);
  if (own?.kind !== "jsonl") return foreign({ kind: "jsonl", file });
  if (resolve(own.file) === resolve(file)) return ofRecipe(own);
  // The recipe's test rows and its limit are about its own file alone.
  const task = { ...own, file, limit: undefined, test: undefined, split: undefined };
  return { task, fromRecipe: false, templateKnown: true };
}

/** Each task knows some forms of a prompt; a model that was taught to chat is asked in its own template. */
function choosePrompt(
  { task, templateKnown }: ChosenTask,
  { tokenizerConfig }: Pick<LoadedShape, "tokenizerConfig">,
  { template }: EvaluationWishes,
): Pick<EvaluationSettings, "task" | "prompt" | "promptSource"> {
  const chats = chatOf(tokenizerConfig ?? {}) !== null;
  const wished = template === "none" ? "plain" : template;
  if (wished === "chat" && !chats)
    throw usageError("The model has no chat template.", "Use --template plain, or r1.");
  const prompt = wished ?? (templateKnown ? templateOf(task) : chats ? "chat" : "plain");
  if (task.kind === "countdown" && prompt === "r1")
    throw usageError("Countdown has no prompt of R1's form.", "Use --template plain, or chat.");
  const promptSource =
    wished !== undefined
      ? "as asked for"
      : templateKnown
        ? "as the recipe has it"
        : chats
          ? "the model has a chat template; --template plain asks without it"
          : "the model has no chat template";
  return { task: withTemplate(task, prompt), prompt, promptSource };
}

function choosePart(
  recipe: Recipe | null,
  stage: EvaluateStage | null,
  { task, fromRecipe }: ChosenTask,
  { split, task: named }: EvaluationWishes,
  notes: string[],
): ListPart {
  if (split !== undefined) return split;
  if (task.kind !== "jsonl")
    return fromRecipe && stage !== null && stage.split !== "all" ? stage.split : "test";
  if (named === undefined && recipe !== null) return stage === null ? "test" : evaluationPart(recipe, stage);
  if (recipe !== null && trainedFiles(recipe).has(resolve(task.file)))
    notes.push(
      `rows of ${task.file} were trained on: this asks all of them, and --split test only those that were held out`,
    );
  return "all";
}

/** ", but temperature 1 (not 0.6), ...", or nothing. */
function overrides(
  settings: EvaluationSettings,
  recipe: Recipe,
  stage: EvaluateStage | null,
  { fromRecipe }: ChosenTask,
): string {
  const own = stage?.task ?? recipe.task;
  const countdowns = settings.task.kind === "countdown" && own.kind === "countdown";
  const pairs: (readonly [name: string, here: unknown, there: unknown] | false)[] = [
    ["task", taskName(settings.task), taskName(own)],
    countdowns && ["numbers", numbersOf(settings.task), numbersOf(own)],
    fromRecipe && stage !== null && ["problems", settings.problems, stage.problems],
    stage !== null && ["samples", settings.samples, stage.samples],
    stage !== null && ["temperature", settings.temperature, stage.temperature],
    stage !== null && ["top-p", settings.topP, stage.topP],
    stage !== null && ["top-k", settings.topK, stage.topK],
    ["prompt", settings.prompt, templateOf(own)],
    stage?.maxNewTokens !== undefined && ["max-tokens", settings.maxNewTokens, stage.maxNewTokens],
    ["seed", settings.seed, recipe.seed],
    fromRecipe && stage !== null && ["effort", settings.effort, stage.effort],
  ];
  const show = (value: unknown): string => (value === undefined ? "none" : String(value));
  const changed = pairs
    .filter((pair) => pair !== false)
    .filter(([, here, there]) => here !== there)
    .map(([name, here, there]) => `${name} ${show(here)} instead of ${show(there)}`);
  return changed.length === 0 ? "" : `, but ${changed.join(", ")}`;
}

const numbersOf = (task: TaskOptions): string => ("numbers" in task ? task.numbers.join(",") : "");

export function taskName(task: TaskOptions): string {
  if (task.kind === "module") return task.module;
  return task.kind === "jsonl" ? `jsonl:${task.file}` : task.kind;
}
