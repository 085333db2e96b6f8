/**
 * A recipe: one YAML file from which a run follows completely. Every object is strict, so a misspelt key is an error and
 * never a silent default.
 */
import { z } from "zod";
import { TRAINED_RULES } from "../checkpoint/gguf/splits.ts";
import { dataSchema } from "../data/options.ts";
import { count, fraction, positive } from "../lib/schema.ts";
import { taskOptions } from "../tasks/registry.ts";
import { grpoOptions, pretrainOptions, sftOptions } from "../train/options.ts";
import { RUN_NAME, RUN_NAME_RULE } from "./name.ts";

export type { TrainingData } from "../data/options.ts";
export type { TaskOptions } from "../tasks/registry.ts";

const factor = z.number().min(1);
const originalPositions = count;

/** How rotary positions reach beyond the `originalPositions` of training: src/models/rope.ts has each formula's paper. */
const ropeScalingSchema = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("linear"), factor }),
  z.strictObject({ kind: z.literal("dynamic"), factor, originalPositions }),
  z.strictObject({
    kind: z.literal("llama3"),
    factor,
    originalPositions,
    lowFrequencyFactor: positive.default(1),
    highFrequencyFactor: positive.default(4),
  }),
  z.strictObject({
    kind: z.literal("yarn"),
    factor,
    originalPositions,
    betaFast: positive.default(32),
    betaSlow: positive.default(1),
    truncate: z.boolean().optional(),
    attentionFactor: positive.optional(),
    mscale: positive.optional(),
    mscaleAllDim: positive.optional(),
  }),
]);

/** The dense DeepSeek LLM decoder (arXiv 2401.02954, section 2.2), in any size, or one of its relatives. */
const denseShapeSchema = z.strictObject({
  layers: count,
  hiddenSize: count,
  heads: count,
  /** Fewer than `heads` is grouped-query attention; left out it equals `heads`. */
  kvHeads: count.optional(),
  /** `hiddenSize / heads` where it is left out. */
  headDim: count.optional(),
  /** Inner width of SwiGLU. */
  intermediateSize: count,
  maxPositions: z.int().min(2),
  ropeTheta: positive.default(10000),
  ropeScaling: ropeScalingSchema.optional(),
  /** Biases of queries, keys and values (Qwen2), or norms of queries and keys (Qwen3); not both. */
  qkvBias: z.boolean().optional(),
  qkNorm: z.boolean().optional(),
  normEps: positive.default(1e-6),
  tieEmbeddings: z.boolean().default(false),
});

/** DeepSeek-V3's design (arXiv 2412.19437, section 2.1), in any size; `src/models/v3-config.ts` explains each size. */
const v3ShapeSchema = z.strictObject({
  architecture: z.literal("deepseek_v3"),
  layers: count,
  hiddenSize: count,
  heads: count,
  /** Rank of the queries' projection; left out, queries are projected by one matrix. */
  queryLoraRank: count.nullable().default(null),
  /** Rank of the projection that keys and values share; then the sizes of a head's three parts. */
  kvLoraRank: count,
  nopeDim: count,
  ropeDim: count,
  valueDim: count,
  /** Inner width of the SwiGLU of the first `denseLayers` layers. */
  intermediateSize: count,
  denseLayers: z.int().min(0).default(1),
  /** Inner width of one expert. */
  moeIntermediateSize: count,
  experts: count,
  activeExperts: count,
  sharedExperts: count.default(1),
  groups: count.default(1),
  activeGroups: count.default(1),
  normaliseWeights: z.boolean().default(true),
  routedScale: positive.default(2.5),
  maxPositions: z.int().min(2),
  ropeTheta: positive.default(10000),
  /** Positions beyond those of training. */
  yarn: z
    .strictObject({
      factor: z.number().min(1),
      originalPositions: count,
      betaFast: positive.default(32),
      betaSlow: positive.default(1),
      mscale: z.number().min(0).default(1),
      mscaleAllDim: z.number().min(0).default(1),
    })
    .nullable()
    .default(null),
  normEps: positive.default(1e-6),
  /** MTP modules, which predict one more token in pretraining: 0 or 1. */
  mtpLayers: z.int().min(0).max(1).default(0),
  tieEmbeddings: z.boolean().default(false),
});

/**
 * Weights to start from: a folder with config.json and safetensors, or a GGUF file; and a folder with a LoRA adapter in
 * PEFT's format that is merged into them.
 */
const modelFolderSchema = z.strictObject({
  from: z.string().min(1),
  adapter: z.string().min(1).optional(),
});

const tokenizerSchema = z.discriminatedUnion("kind", [
  /** The tokenizer that a model named by `from` brings: the default of such a recipe. */
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
    /** Where texts are split before pairs are merged, by llama.cpp's name; an export to GGUF needs one. */
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
  model: z.union([denseShapeSchema, v3ShapeSchema, modelFolderSchema]),
  tokenizer: tokenizerSchema,
  task: taskOptions,
  stages: z.array(stageSchema).min(1),
  checkpoint: z.strictObject({ everySteps: count, keep: count }),
  /** The power that the machine draws and its price. Left out, energy and cost are unknown, which is not 0. */
  hardware: z
    .strictObject({ watts: positive.optional(), dollarsPerHour: z.number().min(0).optional() })
    .optional(),
});

export type DenseShape = z.infer<typeof denseShapeSchema>;
export type V3Shape = z.infer<typeof v3ShapeSchema>;
export type Recipe = z.infer<typeof recipeObject>;
export type PretrainStage = z.infer<typeof pretrainSchema>;
export type SftStage = z.infer<typeof sftSchema>;
export type GrpoStage = z.infer<typeof grpoSchema>;
export type EvaluateStage = z.infer<typeof evaluateSchema>;
export type Stage = z.infer<typeof stageSchema>;
