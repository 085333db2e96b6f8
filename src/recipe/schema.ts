/**
 * A recipe: one YAML file from which a run follows completely. Every object is strict, so a misspelt
 * key is an error and never a silent default. Files are relative to the directory of the command.
 */
import { z } from "zod";
import { TRAINED_RULES } from "../checkpoint/gguf/splits.ts";
import { count, positive } from "../lib/schema.ts";
import { denseShape } from "../models/config.ts";
import { v3Shape } from "../models/v3-config.ts";
import { modelFolderSchema } from "./model-schemas.ts";
import { RUN_NAME, RUN_NAME_RULE } from "./name.ts";
import { stageSchema } from "./stage-schemas.ts";
import { taskSchema } from "./task-schema.ts";

export type { TrainingData } from "./part-schemas.ts";
export type { EvaluateStage, GrpoStage, PretrainStage, SftStage, Stage } from "./stage-schemas.ts";
export type { TaskOptions } from "./task-schema.ts";

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

export const recipeObject = z.strictObject({
  /** Also the name of the run's folder. */
  name: z.string().regex(RUN_NAME, { error: RUN_NAME_RULE }),
  seed: z.int().min(0),
  description: z.string().optional(),
  model: z.union([denseShape, v3Shape, modelFolderSchema]),
  tokenizer: tokenizerSchema,
  task: taskSchema,
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
