/**
 * A recipe: one YAML file from which a run follows completely. Every object is strict, so a misspelt
 * key is an error and never a silent default. Files are relative to the directory of the command.
 */
import { z } from "zod";
import { count, positive, ropeScalingSchema } from "./part-schemas.ts";
import { expandPresets } from "./presets.ts";
import { checkSense } from "./sense.ts";
import { stageSchema } from "./stage-schemas.ts";
import { taskSchema } from "./task-schema.ts";

export type { Optimizer, Schedule, TrainingData } from "./part-schemas.ts";
export type { EvaluateStage, GrpoStage, PretrainStage, SftStage, Stage } from "./stage-schemas.ts";
export type { TaskOptions } from "./task-schema.ts";

/** The dense DeepSeek LLM decoder (arXiv 2401.02954, section 2.2), in any size, or one of its relatives. */
export const modelShapeSchema = z.strictObject({
  layers: count,
  width: count,
  heads: count,
  /** Fewer than `heads` is grouped-query attention; left out it equals `heads`. */
  kvHeads: count.optional(),
  /** `width / heads` where it is left out. */
  headDim: count.optional(),
  /** Inner width of SwiGLU. */
  ffn: count,
  maxPositions: z.int().min(2),
  ropeTheta: positive.default(10000),
  ropeScaling: ropeScalingSchema.optional(),
  /** Biases of queries, keys and values (Qwen2), or norms of queries and keys (Qwen3); not both. */
  qkvBias: z.boolean().optional(),
  qkNorm: z.boolean().optional(),
  normEps: positive.default(1e-6),
  tieEmbeddings: z.boolean().default(false),
});

/** Weights to start from: a folder with config.json and safetensors, or a run. */
const modelFolderSchema = z.strictObject({ from: z.string().min(1) });

const tokenizerSchema = z.discriminatedUnion("kind", [
  /** The built-in vocabulary of the number tasks. */
  z.strictObject({ kind: z.literal("compact") }),
  /** A Hugging Face tokenizer.json. */
  z.strictObject({ kind: z.literal("file"), path: z.string().min(1) }),
  /** Byte-level BPE, trained on the text in `file`; 256 bytes and the control tokens come first. */
  z.strictObject({ kind: z.literal("bpe"), vocabSize: z.int().min(272), file: z.string().min(1) }),
]);

const recipeObject = z.strictObject({
  /** Also the name of the run's folder. */
  name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, {
    error: "The name becomes a folder: letters, digits, '.', '_' and '-' only, and a letter or digit first.",
  }),
  seed: z.int().min(0),
  description: z.string().optional(),
  model: z.union([modelShapeSchema, modelFolderSchema]),
  tokenizer: tokenizerSchema,
  task: taskSchema,
  stages: z.array(stageSchema).min(1),
  checkpoint: z.strictObject({ everySteps: count, keep: count }),
  /** What the machine draws and costs. Left out, energy and cost are unknown, which is not 0. */
  hardware: z
    .strictObject({ watts: positive.optional(), dollarsPerHour: z.number().min(0).optional() })
    .optional(),
});

export const recipeSchema = z.preprocess(expandPresets, recipeObject.superRefine(checkSense));

export type ModelShape = z.infer<typeof modelShapeSchema>;
export type Recipe = z.infer<typeof recipeObject>;
