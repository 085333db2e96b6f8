/**
 * A recipe: one YAML file from which a run follows completely. Every object is strict, so a misspelt key is an error and
 * never a silent default.
 */
import { z } from "zod";
import { TRAINED_RULES } from "../checkpoint/gguf/splits.ts";
import { dataSchema } from "../data/options.ts";
import { count, fraction, positive } from "../lib/schema.ts";
import { denseShape } from "../models/config.ts";
import { v3Shape } from "../models/v3-config.ts";
import { taskOptions } from "../tasks/registry.ts";
import { grpoOptions, pretrainOptions, sftOptions } from "../train/options.ts";
import { RUN_NAME, RUN_NAME_RULE } from "./name.ts";

export type { TrainingData } from "../data/options.ts";
export type { TaskOptions } from "../tasks/registry.ts";

/**
 * Weights to start from: a folder with config.json and safetensors, or a GGUF file; and a folder with a LoRA adapter in
 * PEFT's format that is merged into them.
 */
const modelFolderSchema = z.strictObject({
  from: z.string().min(1),
  adapter: z.string().min(1).optional(),
});

const tokenizerSchema = z.discriminatedUnion("kind", [
  /** That of a model which is taken `from` somewhere: what such a recipe has where it says nothing. */
  z.strictObject({ kind: z.literal("model") }),
  /** The built-in vocabulary of the number tasks. */
  z.strictObject({ kind: z.literal("compact") }),
  /** A Hugging Face tokenizer.json. */
  z.strictObject({ kind: z.literal("file"), path: z.string().min(1) }),
  /** Byte-level BPE, trained on the text in `file`; 256 bytes and the control tokens come first. */
  z.strictObject({
    kind: z.literal("bpe"),
    vocabSize: z.int().min(272),
    file: z.string().min(1),
    /** Where texts are cut before pairs merge, by llama.cpp's name; a model needs one to become a GGUF file. */
    split: z.enum(TRAINED_RULES).optional(),
  }),
]);

/** A stage is the options of src/train with a name and data, or an evaluation. */
const stageName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, {
  error: "A stage's name labels its metrics: letters, digits, '.', '_' and '-' only.",
});

const pretrainSchema = z.strictObject({ name: stageName, data: dataSchema, ...pretrainOptions.shape });
const sftSchema = z.strictObject({ name: stageName, data: dataSchema, ...sftOptions.shape });
const grpoSchema = z.strictObject({ name: stageName, ...grpoOptions.shape });

const evaluateSchema = z.strictObject({
  name: stageName,
  kind: z.literal("evaluate"),
  label: z.string().min(1),
  /** How many different ones; where it is left out: all of a file's. */
  problems: count.optional(),
  /** Completions per problem. */
  samples: count,
  temperature: z.number().min(0),
  topP: fraction.positive().optional(),
  topK: count.optional(),
  /** Where it is left out: what the model's positions leave after the prompt. */
  maxNewTokens: count.optional(),
  /** Rows that the sampler decodes at once. */
  maxBatch: count.default(128),
  /** Of a file that no stage trains on, "test" is all of the file; so is "all" of any file. */
  split: z.enum(["train", "validation", "test", "all"]).default("test"),
  task: taskOptions.optional(),
});

const stageSchema = z.discriminatedUnion("kind", [pretrainSchema, sftSchema, grpoSchema, evaluateSchema]);

export const recipeObject = z.strictObject({
  /** Also the name of the run's folder. */
  name: z.string().regex(RUN_NAME, { error: RUN_NAME_RULE }),
  seed: z.int().min(0),
  description: z.string().optional(),
  model: z.union([denseShape, v3Shape, modelFolderSchema]),
  tokenizer: tokenizerSchema,
  task: taskOptions,
  stages: z.array(stageSchema).min(1),
  checkpoint: z.strictObject({ everySteps: count, keep: count }),
  /** What the machine draws and costs. Left out, energy and cost are unknown, which is not 0. */
  hardware: z
    .strictObject({ watts: positive.optional(), dollarsPerHour: z.number().min(0).optional() })
    .optional(),
});

export type DenseShape = z.infer<typeof denseShape>;
export type V3Shape = z.infer<typeof v3Shape>;
export type Recipe = z.infer<typeof recipeObject>;
export type PretrainStage = z.infer<typeof pretrainSchema>;
export type SftStage = z.infer<typeof sftSchema>;
export type GrpoStage = z.infer<typeof grpoSchema>;
export type EvaluateStage = z.infer<typeof evaluateSchema>;
export type Stage = z.infer<typeof stageSchema>;
