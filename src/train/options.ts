/** What a training stage is told. The schemas are the types, and hold every default; a recipe's stages consist of them. */
import { z } from "zod";
import { count, fraction, keyOf, positive } from "../lib/schema.ts";
import { advantages, aggregations, importanceLevels } from "./advantages.ts";
import { ratios } from "./grpo-loss.ts";
import { optimizerSchema } from "./optimizer.ts";
import { presetSchema } from "./presets.ts";
import { scheduleSchema } from "./schedule.ts";

/** LoRA (2106.09685): an adapter of this rank beside the layers named, or beside all projections; the rest is frozen. */
const lora = z
  .strictObject({ rank: count, alpha: positive, targets: z.array(z.string().min(1)).default([]) })
  .optional();

/**
 * Factors of DeepSeek-V3's training (arXiv 2412.19437, section 4.2), for models of that family. Each has the value that
 * V3's pretraining begins with where it is left out.
 */
const v3 = z
  .strictObject({
    /** γ: how far a router's bias moves in a step towards an even load; 0.001. It is 0 for the last 3.4 % of a stage. */
    biasRate: z.number().min(0).optional(),
    /** α: weight of the sequence-wise balance loss; 0.0001. */
    balanceFactor: z.number().min(0).optional(),
    /** λ: weight of the MTP loss; 0.3. V3 lowered it to 0.1 after two thirds: a second stage can. */
    mtpFactor: z.number().min(0).optional(),
  })
  .optional();

/** A step trains on `batch * accumulate` rows of `sequence` tokens. Give `tokens` or `steps`, not both. */
const languageModelling = {
  sequence: z.int().min(2),
  /** Rows per forward pass. */
  batch: count,
  /** Forward passes whose gradients are summed into one update. */
  accumulate: count.default(1),
  tokens: count.optional(),
  steps: count.optional(),
  /** Packed documents do not attend to one another. */
  documentMask: z.boolean().default(false),
  /** Recompute activations in the backward pass: less memory, about a third more FLOPs. */
  recompute: z.boolean().default(false),
  v3,
  optimizer: optimizerSchema,
  schedule: scheduleSchema,
};

export const pretrainOptions = z.strictObject({ kind: z.literal("pretrain"), ...languageModelling });

/** Rows hold complete examples, which do not attend to one another unless the recipe says so. */
export const sftOptions = z.strictObject({
  kind: z.literal("sft"),
  ...languageModelling,
  documentMask: z.boolean().default(true),
  lora,
});

export type LanguageModelOptions = Omit<z.output<typeof sftOptions>, "kind"> & { kind: "pretrain" | "sft" };

/** Updates that a pretraining or SFT stage makes. */
export function languageModelSteps({
  steps,
  tokens = 0,
  ...options
}: Pick<LanguageModelOptions, "steps" | "tokens" | "sequence" | "batch" | "accumulate">): number {
  return steps ?? Math.floor(tokens / (options.sequence * options.batch * options.accumulate));
}

const overlong = z.discriminatedUnion("mode", [
  /** DAPO (2503.14476): from 0 down to -penalty over the last `buffer` tokens before the limit. */
  z.strictObject({ mode: z.literal("soft"), buffer: count, penalty: positive.default(1) }),
  /** A truncated completion leaves the loss. */
  z.strictObject({ mode: z.literal("mask") }),
]);

export const grpoOptions = z.strictObject({
  kind: z.literal("grpo"),
  steps: count,
  problemsPerStep: count,
  groupSize: z.int().min(2, {
    error: "A group needs at least 2 answers: each is judged against the others, and one alone has none.",
  }),
  maxNewTokens: count,
  temperature: z.number().positive({
    error: "RL needs a temperature above 0: at 0 all answers of a group are the same and teach nothing.",
  }),
  topP: fraction.positive().optional(),
  topK: count.optional(),
  rewards: z.strictObject({
    accuracy: z.number().min(0),
    format: z.number().min(0),
    /** Weight of the share of true equations in the thought. */
    validity: z.number().min(0).default(0),
  }),
  preset: presetSchema.optional(),
  /** (r - mean) / std, r - mean, or r - mean of the others. */
  advantage: keyOf(advantages),
  /** Per token (PPO), per sequence (GSPO), or clipped weights without dropped tokens (CISPO, 2506.13585). */
  ratio: keyOf(ratios),
  aggregation: keyOf(aggregations),
  /** The divisor of `aggregation: constant`, in tokens; `maxNewTokens` where it is left out. */
  aggregationLength: count.optional(),
  /** The ratio is clipped to [1 - low, 1 + high]. R1 uses 10 (2501.12948 v2). */
  clip: z.strictObject({ low: z.number().min(0), high: positive }),
  /** Weight of the KL divergence to the reference policy (k3, in the loss); 0 switches it off. */
  kl: z.number().min(0),
  /** The policy becomes its own reference every so many steps; 0 never. R1-Zero: 400. */
  referenceEvery: z.int().min(0).default(0),
  /** Passes over each step's completions. */
  epochs: count.default(1),
  /** Updates per pass. */
  miniBatches: count.default(1),
  /** Draw more problems, at most so often, until the step is full of groups with a signal (DAPO). */
  dynamicSampling: z.strictObject({ maxRounds: count }).optional(),
  overlong: overlong.optional(),
  /** Truncated importance sampling between sampler and trainer; `cap` bounds the weight. */
  importance: z.strictObject({ level: keyOf(importanceLevels), cap: z.number().min(1) }).optional(),
  /** Rows that the sampler decodes at once. */
  maxBatch: count.default(128),
  recompute: z.boolean().default(false),
  /** Padded tokens of a forward pass: fewer take less memory. */
  microBatchTokens: count.default(4096),
  /** Completions of one prompt share a row that holds the prompt once: for prompts longer than the completions. */
  sharedPrefix: z.boolean().default(false),
  lora,
  optimizer: optimizerSchema,
  schedule: scheduleSchema,
});

export type GrpoOptions = z.output<typeof grpoOptions>;
