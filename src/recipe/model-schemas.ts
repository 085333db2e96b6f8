/** What a recipe may say of its model: a shape of one of the designs, or weights to start from. */
import { z } from "zod";
import { count, positive } from "../lib/schema.ts";
import { ropeScalingSchema } from "./part-schemas.ts";

/** The dense DeepSeek LLM decoder (arXiv 2401.02954, section 2.2), in any size, or one of its relatives. */
export const denseShapeSchema = z.strictObject({
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

/** DeepSeek-V3's design (arXiv 2412.19437, section 2.1), in any size; `src/models/v3-config.ts` says more of each size. */
export const v3ShapeSchema = z.strictObject({
  architecture: z.literal("deepseek_v3"),
  layers: count,
  hiddenSize: count,
  heads: count,
  /** Width of the queries' latent; left out, queries are projected at once. */
  queryLoraRank: count.nullable().default(null),
  /** Width of the latent that keys and values share, and of a head's three parts. */
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
  /** Modules that predict a further token in pretraining: 0 or 1. */
  mtpLayers: z.int().min(0).max(1).default(0),
  tieEmbeddings: z.boolean().default(false),
});

/**
 * Weights to start from: a folder with config.json and safetensors, or a GGUF file; and a folder with a LoRA adapter in
 * PEFT's format that is merged into them.
 */
export const modelFolderSchema = z.strictObject({
  from: z.string().min(1),
  adapter: z.string().min(1).optional(),
});
