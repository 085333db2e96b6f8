/** What each kind of stage may say in a recipe. */
import { z } from "zod";
import { count, dataSchema, optimizerSchema, positive, scheduleSchema, share } from "./part-schemas.ts";
import { presetNames } from "./presets.ts";
import { taskSchema } from "./task-schema.ts";

const stageName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, {
  error: "A stage's name labels its metrics: letters, digits, '.', '_' and '-' only.",
});

/**
 * Factors of DeepSeek-V3's training (arXiv 2412.19437, section 4.2), for models of its design. Each has the value that V3's
 * pretraining begins with where it is left out.
 */
const v3 = z
  .strictObject({
    /** γ: how far a router's bias moves in a step towards an even load; 0.001. The last 3.4 % of a stage leave it. */
    biasRate: z.number().min(0).optional(),
    /** α: weight of the sequence-wise balance loss; 0.0001. */
    balanceFactor: z.number().min(0).optional(),
    /** λ: weight of the further token's loss; 0.3. V3 went on with 0.1 after two thirds: a second stage can. */
    mtpFactor: z.number().min(0).optional(),
  })
  .optional();

/** A step trains on `batch * accumulate` rows of `sequence` tokens. Give `tokens` or `steps`, not both. */
const languageModelling = {
  name: stageName,
  data: dataSchema,
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

/** LoRA (2106.09685): an adapter of this rank beside the layers named, or beside all projections; the rest is frozen. */
const lora = z
  .strictObject({ rank: count, alpha: positive, targets: z.array(z.string().min(1)).default([]) })
  .optional();

export const pretrainSchema = z.strictObject({ ...languageModelling, kind: z.literal("pretrain") });
/** Rows hold whole examples, which do not see one another unless the recipe says so. */
export const sftSchema = z.strictObject({
  ...languageModelling,
  kind: z.literal("sft"),
  documentMask: z.boolean().default(true),
  lora,
});

const groupSize = z.int().min(2, {
  error: "A group needs at least 2 answers: each is judged against the others, and one alone has none.",
});

/** The objective's slots: see `presets.ts` for what each paper puts into them. */
const objective = {
  preset: z.enum(presetNames).optional(),
  /** (r - mean) / std, r - mean, or r - mean of the others. */
  advantage: z.enum(["grpo", "dr-grpo", "rloo"]),
  /** Per token (PPO), per sequence (GSPO), or clipped weights without dropped tokens (CISPO, 2506.13585). */
  ratio: z.enum(["token", "sequence", "cispo"]),
  aggregation: z.enum(["sequence-mean", "token-mean", "constant"]),
  /** The divisor of `aggregation: constant`, in tokens; `maxNewTokens` where it is left out. */
  aggregationLength: count.optional(),
  /** The ratio stays within [1 - low, 1 + high]. R1 uses 10 (2501.12948 v2). */
  clip: z.strictObject({ low: z.number().min(0), high: positive }),
  /** Weight of the KL divergence to the reference policy (k3, in the loss); 0 switches it off. */
  kl: z.number().min(0),
  /** The policy becomes its own reference every so many steps; 0 never. R1-Zero: 400. */
  referenceEvery: z.int().min(0).default(0),
};

const overlong = z.discriminatedUnion("mode", [
  /** DAPO (2503.14476): from 0 down to -penalty over the last `buffer` tokens before the limit. */
  z.strictObject({ mode: z.literal("soft"), buffer: count, penalty: positive.default(1) }),
  /** A truncated answer leaves the loss. */
  z.strictObject({ mode: z.literal("mask") }),
]);

export const grpoSchema = z.strictObject({
  name: stageName,
  kind: z.literal("grpo"),
  steps: count,
  problemsPerStep: count,
  groupSize,
  maxNewTokens: count,
  temperature: z.number().positive({
    error: "RL needs a temperature above 0: at 0 all answers of a group are the same and teach nothing.",
  }),
  topP: share.positive().optional(),
  topK: count.optional(),
  rewards: z.strictObject({
    accuracy: z.number().min(0),
    format: z.number().min(0),
    /** Weight of the share of true equations in the thought. */
    validity: z.number().min(0).default(0),
  }),
  ...objective,
  /** Passes over each step's answers. */
  epochs: count.default(1),
  /** Updates per pass. */
  miniBatches: count.default(1),
  /** Draw further problems until the step is full of groups that differ within (DAPO). */
  dynamicSampling: z.strictObject({ maxRounds: count }).optional(),
  overlong: overlong.optional(),
  /** Truncated importance sampling between sampler and trainer; `cap` bounds the weight. */
  importance: z
    .strictObject({ level: z.enum(["token", "sequence", "length-normalised"]), cap: z.number().min(1) })
    .optional(),
  /** Rows that the sampler decodes at once. */
  maxBatch: count.optional(),
  recompute: z.boolean().default(false),
  /** Padded tokens of a forward pass: fewer take less memory. */
  microBatchTokens: count.default(4096),
  /** Answers to one prompt are trained in one row that holds it once: for prompts longer than the answers. */
  sharePrompt: z.boolean().default(false),
  lora,
  optimizer: optimizerSchema,
  schedule: scheduleSchema,
});

export const evaluateSchema = z.strictObject({
  name: stageName,
  kind: z.literal("evaluate"),
  label: z.string().min(1),
  /** How many different ones; where it is left out: all of a file's. */
  problems: count.optional(),
  /** Answers per problem. */
  samples: count,
  temperature: z.number().min(0),
  topP: share.positive().optional(),
  topK: count.optional(),
  /** Where it is left out: what the model's positions leave after the prompt. */
  maxNewTokens: count.optional(),
  maxBatch: count.optional(),
  /** Of a file that no stage trains on, "test" is the whole file; so is "all" of any file. */
  split: z.enum(["train", "validation", "test", "all"]).default("test"),
  task: taskSchema.optional(),
});

export const stageSchema = z.discriminatedUnion("kind", [
  pretrainSchema,
  sftSchema,
  grpoSchema,
  evaluateSchema,
]);

export type PretrainStage = z.infer<typeof pretrainSchema>;
export type SftStage = z.infer<typeof sftSchema>;
export type GrpoStage = z.infer<typeof grpoSchema>;
export type EvaluateStage = z.infer<typeof evaluateSchema>;
export type Stage = z.infer<typeof stageSchema>;
