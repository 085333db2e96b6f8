/**
 * A recipe: one YAML file from which a run follows completely. Every object is strict, so a misspelt key is an error and
 * never a silent default.
 */
import { z } from "zod";
import { TRAINED_RULES } from "../checkpoint/gguf/splits.ts";
import { dataSchema } from "../data/options.ts";
import { count, nonNegative, positive } from "../lib/schema.ts";
import { modelShapes } from "../models/architectures.ts";
import { effortLevel } from "../tasks/effort.ts";
import { type TaskOptions, taskOptions } from "../tasks/registry.ts";
import { COMPACT_VOCABULARIES } from "../tokenizer/compact.ts";
import {
  distillOptions,
  grpoOptions,
  mergeOptions,
  pretrainOptions,
  sampleOptions,
  sftOptions,
} from "../train/options.ts";
import { RUN_NAME, RUN_NAME_RULE } from "./name.ts";

export type { TrainingData } from "../data/options.ts";
export type { TaskOptions } from "../tasks/registry.ts";

const modelFolderSchema = z
  .strictObject({
    from: z.string().min(1).describe("A Hugging Face folder, a GGUF file, or the name of a pulled model."),
    adapter: z
      .string()
      .min(1)
      .optional()
      .describe("Folder of a LoRA adapter in PEFT's format, which is merged into the weights."),
    cost: z
      .strictObject({
        flops: positive.optional(),
        dollars: nonNegative.optional(),
        source: z.string().min(1).describe("Who says so, such as a paper."),
      })
      .optional()
      .describe(
        "What these weights are known to have cost those who trained them, for the bill's inherited part.",
      ),
  })
  .describe("Weights to start from.");

const modelSchema = z.union([...modelShapes, modelFolderSchema]);

const tokenizerSchema = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("model") }).describe("The tokenizer of the model that `from` names."),
  z
    .strictObject({
      kind: z.literal("compact"),
      words: z
        .enum(COMPACT_VOCABULARIES)
        .default("countdown")
        .describe(
          "`bilingual` adds Countdown's words in Bulgarian, and those of instructions in both languages.",
        ),
    })
    .describe("The built-in vocabulary of the number tasks."),
  z
    .strictObject({ kind: z.literal("bytes") })
    .describe("Any text, a token a byte; the tags of thought and answer are a token each. It needs no file."),
  z
    .strictObject({ kind: z.literal("file"), path: z.string().min(1) })
    .describe("A Hugging Face tokenizer.json."),
  z
    .strictObject({
      kind: z.literal("bpe"),
      vocabSize: z.int().min(272).describe("Tokens, 256 bytes and the control tokens included."),
      file: z.string().min(1).describe("Path of the text that the tokenizer is trained on."),
      split: z
        .enum(TRAINED_RULES)
        .optional()
        .describe("How text is cut before pairs are merged, by llama.cpp's name; needed for export to GGUF."),
    })
    .describe("Byte-level BPE, trained on the text in `file`."),
]);

const stageName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, {
    error: "A stage's name labels its metrics: letters, digits, '.', '_' and '-' only.",
  })
  .describe("Labels the stage's metrics.");

/** The name for a recipe's own model in `from`. */
export const START = "start";

const from = stageName
  .optional()
  .describe(
    "The training stage whose model this one takes, or `start`: the recipe's own. Default: the one before it.",
  );

const training = {
  name: stageName,
  from,
  model: modelSchema.optional().describe("A model of its own, such as a smaller student, instead of `from`."),
};

const task = taskOptions.optional().describe("Another task than the recipe's.");

const pretrainSchema = z.strictObject({ ...training, data: dataSchema, ...pretrainOptions.shape });
const sftSchema = z.strictObject({ ...training, data: dataSchema, ...sftOptions.shape });
const grpoSchema = z.strictObject({ ...training, task, ...grpoOptions.shape });

const sampleSchema = z.strictObject({ name: stageName, from, task, ...sampleOptions.shape });

const earlierStage = stageName.describe(
  "A training stage before this one, or `start`: the recipe's own model.",
);

const teacherSchema = z
  .strictObject({
    stage: earlierStage.optional(),
    model: modelFolderSchema.optional().describe("A model from elsewhere, instead of `stage`."),
    name: stageName
      .optional()
      .describe("Labels its metrics; default: the stage, or the last part of `from`."),
    task: taskOptions
      .optional()
      .describe(
        "Its own domain: its problems are asked, and of the teachers with a task this one alone judges them. A teacher without one judges all problems, and the stage's task is asked too.",
      ),
    weight: positive.default(1).describe("Of its divergence in the loss."),
  })
  .describe("A teacher: the model of an earlier stage, or a folder.");

const distillSchema = z.strictObject({
  ...training,
  task,
  teachers: z.array(teacherSchema).min(1).describe("Whom the student is drawn to."),
  ...distillOptions.shape,
});

const mergeSchema = z.strictObject({
  name: stageName,
  ...mergeOptions.shape,
  models: z
    .array(
      z.strictObject({
        stage: earlierStage,
        weight: positive.default(1).describe("Its share is this over the sum of all weights."),
      }),
    )
    .min(2, { error: "An average needs at least two models." })
    .describe("The models whose weights are averaged; all of one shape."),
});

/** Training and evaluation sample in the same way. */
const { topP, topK, maxBatch } = grpoOptions.shape;

const evaluateSchema = z.strictObject({
  name: stageName,
  from,
  kind: z.literal("evaluate"),
  label: z.string().min(1).describe("Name of the result, such as base or final."),
  problems: count.optional().describe("Different problems; default: all of a file."),
  samples: count.describe("Completions per problem."),
  temperature: nonNegative.describe("Sampling temperature; 0 takes the most likely token."),
  topP,
  topK,
  maxNewTokens: count
    .optional()
    .describe("Most tokens of a completion; default: all positions after the prompt."),
  maxBatch,
  effort: effortLevel
    .optional()
    .describe("The thinking effort that the problems are asked at, in the prompt."),
  split: z
    .enum(["train", "validation", "test", "all"])
    .default("test")
    .describe("`test` of a file that no stage trains on is all of it, and `all` is all of any file."),
  task,
});

const stageSchema = z.discriminatedUnion("kind", [
  pretrainSchema,
  sftSchema,
  grpoSchema,
  sampleSchema,
  distillSchema,
  mergeSchema,
  evaluateSchema,
]);

export const recipeObject = z.strictObject({
  name: z.string().regex(RUN_NAME, { error: RUN_NAME_RULE }).describe("Also the name of the run's folder."),
  seed: z.int().min(0).describe("The same seed gives the same numbers on the same machine."),
  description: z.string().optional().describe("For people."),
  model: modelSchema.describe("Sizes of a new model, or weights to start from."),
  tokenizer: tokenizerSchema.describe("Default with `from`: the model's own."),
  task: taskOptions.describe("The problems of GRPO and of evaluations."),
  stages: z.array(stageSchema).min(1).describe("What the run does, in order."),
  checkpoint: z
    .strictObject({ everySteps: count.default(50), keep: count.default(2) })
    .prefault({})
    .describe("Save every so many steps, and keep so many checkpoints."),
  hardware: z
    .strictObject({ watts: positive.optional(), dollarsPerHour: nonNegative.optional() })
    .optional()
    .describe("For the bill: the machine's power draw and price. Without them energy and cost are unknown."),
});

/** A checked recipe with all defaults; recipes/README.md explains every key. */
export type Recipe = z.infer<typeof recipeObject>;
export type PretrainStage = z.infer<typeof pretrainSchema>;
export type SftStage = z.infer<typeof sftSchema>;
export type GrpoStage = z.infer<typeof grpoSchema>;
export type SampleStageOptions = z.infer<typeof sampleSchema>;
export type DistillStageOptions = z.infer<typeof distillSchema>;
export type MergeStageOptions = z.infer<typeof mergeSchema>;
export type EvaluateStage = z.infer<typeof evaluateSchema>;
/** A teacher as a recipe names it. */
export type TeacherOptions = DistillStageOptions["teachers"][number];
/** A stage of a recipe, by `kind`. */
export type Stage = z.infer<typeof stageSchema>;
/** A stage that trains a model. */
export type TrainingStageOptions = Exclude<Stage, SampleStageOptions | EvaluateStage>;
/** A stage that asks the problems of a task. */
export type AskingStage = GrpoStage | SampleStageOptions | DistillStageOptions | EvaluateStage;

/** Whether a stage trains on documents: pretraining and SFT. */
export const readsData = (stage: Stage): stage is PretrainStage | SftStage =>
  stage.kind === "pretrain" || stage.kind === "sft";

/** Whether a stage asks problems. */
export const asks = (stage: Stage): stage is AskingStage => !readsData(stage) && stage.kind !== "merge";

/** Whether a stage makes a model, which later stages may take. */
export const trains = (stage: Stage): stage is TrainingStageOptions | MergeStageOptions =>
  stage.kind !== "evaluate" && stage.kind !== "sample";

/** The task of a stage that has one: its own, or the recipe's. */
export const taskOfStage = (stage: AskingStage, recipe: Pick<Recipe, "task">): TaskOptions =>
  stage.task ?? recipe.task;

/** All tasks of a stage: those of teachers too, and its own only where it is asked. */
export function tasksOfStage(stage: AskingStage, recipe: Pick<Recipe, "task">): TaskOptions[] {
  const own = taskOfStage(stage, recipe);
  if (stage.kind !== "distill") return [own];
  return [...new Set(stage.teachers.map(({ task }) => task ?? own))];
}

/** What labels a teacher's metrics. */
export const teacherName = ({ name, stage, model }: TeacherOptions): string =>
  name ?? stage ?? model?.from.split(/[/\\]/).findLast((part) => part !== "") ?? "teacher";

/**
 * For each stage, what `of` makes of its own model, or what the stage it takes its model from has; `start` is that of the
 * recipe's model.
 */
export function byModel<T>(
  { stages }: Pick<Recipe, "stages">,
  start: T,
  of: (model: Recipe["model"]) => T,
): T[] {
  const made = new Map([[START, start]]);
  let latest = start;
  return stages.map((stage) => {
    const own = "model" in stage ? stage.model : undefined;
    const from = stage.kind === "merge" ? stage.models[0]!.stage : stage.from;
    const result = own !== undefined ? of(own) : from !== undefined ? (made.get(from) ?? start) : latest;
    if (trains(stage)) {
      made.set(stage.name, result);
      latest = result;
    }
    return result;
  });
}

/**
 * Keys that had other names, by the key of the block that holds them; of a stage it is `stages`. A person's recipe with an
 * old key is refused, and the new name is shown; the recipe of a stored run is translated, so that it can be read and resumed.
 */
const RENAMED: Record<string, Record<string, string>> = {
  model: {
    width: "hiddenSize",
    ffn: "intermediateSize",
    latent: "kvLoraRank",
    queryRank: "queryLoraRank",
    expertFfn: "moeIntermediateSize",
  },
  optimizer: { rate: "lr", adamRate: "adamLr", decay: "weightDecay" },
  schedule: { final: "minLrRatio" },
  stages: { slots: "maxBatch", sharePrompt: "sharedPrefix" },
};

/** The present name of an old key in the block at `path`. */
export function renamedKey(path: readonly PropertyKey[], key: string): string | undefined {
  const block = path.findLast((part) => typeof part === "string");
  return block === undefined ? undefined : RENAMED[String(block)]?.[key];
}

/** A stored run's recipe, as YAML gives it, with the present keys. */
export function translateKeys(value: unknown, path: readonly PropertyKey[] = []): unknown {
  if (Array.isArray(value)) return value.map((item, index) => translateKeys(item, [...path, index]));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      renamedKey(path, key) ?? key,
      translateKeys(inner, [...path, key]),
    ]),
  );
}
