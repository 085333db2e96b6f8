/** What a training stage is told. The schemas are the types, and hold every default; a recipe's stages consist of them. */
import { z } from "zod";
import { count, fraction, keyOf, nonNegative, off, positive } from "../lib/schema.ts";
import { MAX_BATCH } from "../sample/requests.ts";
import { type Language, SCRIPTS } from "../tasks/language.ts";
import { builtInRewards } from "../tasks/registry.ts";
import { advantages, aggregations, importanceLevels } from "./advantages.ts";
import { estimates } from "./distill-loss.ts";
import { effortOptions } from "./effort.ts";
import { endpointOptions } from "./endpoint.ts";
import { ratios } from "./grpo-loss.ts";
import { optimizerSchema } from "./optimizer.ts";
import { presetSchema } from "./presets.ts";
import { rewards } from "./rewards.ts";
import { scheduleSchema } from "./schedule.ts";

/** LoRA (2106.09685): an adapter beside linear layers; all other parameters are frozen. */
const lora = z
  .strictObject({
    rank: count.describe("Rank of the adapter's two matrices."),
    alpha: positive.describe("The adapter's output is multiplied by alpha / rank."),
    targets: z.array(z.string().min(1)).default([]).describe("Names of layers; default: all projections."),
  })
  .optional()
  .describe("Train a LoRA adapter (2106.09685) and freeze the model.");

/** Each factor defaults to the value at the start of V3's pretraining. */
const v3 = z
  .strictObject({
    biasRate: nonNegative
      .optional()
      .describe("γ: how far a router's bias moves per step; 0.001, and 0 at the end."),
    balanceFactor: nonNegative.optional().describe("α: weight of the sequence-wise balance loss; 0.0001."),
    mtpFactor: nonNegative
      .optional()
      .describe("λ: weight of the MTP loss; 0.3, and 0.1 late in V3's training."),
  })
  .optional()
  .describe("Factors of DeepSeek-V3's training (arXiv 2412.19437, section 4.2), for its architecture.");

/** A step trains on `batch * accumulate` rows of `sequence` tokens. Give `tokens` or `steps`, not both. */
const languageModelling = {
  sequence: z.int().min(2).describe("Tokens of a packed sequence."),
  batch: count.describe("Sequences per forward pass."),
  accumulate: count.default(1).describe("Forward passes whose gradients are summed into one update."),
  tokens: count.optional().describe("Tokens to train on, instead of `steps`."),
  steps: count.optional().describe("Updates, instead of `tokens`."),
  documentMask: off.describe("Packed documents do not attend to one another."),
  recompute: off.describe("Recompute activations in the backward pass: less memory, a third more FLOPs."),
  v3,
  optimizer: optimizerSchema,
  schedule: scheduleSchema,
};

export const pretrainOptions = z.strictObject({ kind: z.literal("pretrain"), ...languageModelling });

/** Rows hold complete examples, which do not attend to one another unless the recipe says so. */
export const sftOptions = z.strictObject({
  kind: z.literal("sft"),
  ...languageModelling,
  documentMask: z.boolean().default(true).describe("Packed examples do not attend to one another."),
  lora,
});

/** Options of pretraining or SFT with all defaults. */
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
  z.strictObject({
    mode: z.literal("soft"),
    buffer: count.describe("Tokens before the limit."),
    penalty: positive.default(1).describe("The largest penalty."),
  }),
  z.strictObject({ mode: z.literal("mask") }).describe("A truncated completion leaves the loss."),
]);

/** The rewards that need no task of one's own. */
export const rewardNames: readonly string[] = Object.keys({ ...rewards, ...builtInRewards });

const weight = nonNegative;
type OptionalReward = Exclude<keyof typeof rewards | keyof typeof builtInRewards, "accuracy" | "format">;
const optionalWeights = Object.fromEntries(rewardNames.map((name) => [name, weight.optional()])) as Record<
  OptionalReward,
  z.ZodOptional<typeof weight>
>;

/** How completions are sampled for training. */
const samplingOptions = {
  temperature: z
    .number()
    .positive({
      error: "RL needs a temperature above 0: at 0 all completions of a group are equal and teach nothing.",
    })
    .describe("Sampling temperature, also of the log-probabilities in the loss."),
  topP: fraction
    .positive()
    .optional()
    .describe("Sample from the top tokens that together have this probability."),
  topK: count.optional().describe("Sample from this many top tokens."),
};

/** The schema of a GRPO stage's options. */
export const grpoOptions = z.strictObject({
  kind: z.literal("grpo"),
  steps: count.describe("Rollouts, each with its updates."),
  problemsPerStep: count.describe("Problems per rollout."),
  groupSize: z
    .int()
    .min(2, {
      error: "A group needs at least 2 completions: each is compared with the others.",
    })
    .describe("Completions per problem: GRPO's group."),
  maxNewTokens: count.describe("Most tokens of a completion."),
  ...samplingOptions,
  rewards: z
    .object({ ...optionalWeights, accuracy: weight, format: weight })
    .catchall(weight)
    .describe(
      "Weights of rewards by name; `validity` is the share of true equations in the thought. A task module's rewards have its names.",
    ),
  preset: presetSchema.optional().describe("A paper's objective, which fills the absent keys."),
  advantage: keyOf(advantages).describe("(r - mean) / std, r - mean, or r - mean of the others."),
  ratio: keyOf(ratios).describe("Per token (PPO), per sequence (GSPO), or clipped weights (CISPO)."),
  aggregation: keyOf(aggregations).describe("How the tokens' losses become one: see advantages.ts."),
  aggregationLength: count.optional().describe("Divisor of `constant`, in tokens; default: `maxNewTokens`."),
  clip: z
    .strictObject({ low: nonNegative, high: positive })
    .describe("The ratio is clipped to [1 - low, 1 + high]. R1 uses 10 (2501.12948 v2)."),
  kl: nonNegative.describe("Weight of the KL divergence (k3, in the loss) to the reference policy; 0: none."),
  referenceEvery: z
    .int()
    .min(0)
    .default(0)
    .describe("Steps until the policy becomes its own reference; 0: never. R1-Zero: 400."),
  epochs: count.default(1).describe("Passes over the completions of a step."),
  miniBatches: count.default(1).describe("Updates per pass."),
  dynamicSampling: z
    .strictObject({ maxRounds: count })
    .optional()
    .describe("Draw problems until enough groups have a signal (DAPO)."),
  overlong: overlong.optional().describe("What happens to completions that reach the limit."),
  effort: effortOptions.optional(),
  importance: z
    .strictObject({ level: keyOf(importanceLevels), cap: z.number().min(1) })
    .optional()
    .describe("Truncated importance sampling between sampler and trainer."),
  maxBatch: count.default(MAX_BATCH).describe("Sequences that the sampler decodes at once."),
  recompute: off.describe("Recompute activations in the backward pass: less memory, a third more FLOPs."),
  microBatchTokens: count.default(4096).describe("Tokens of a forward pass, with padding."),
  sharedPrefix: off.describe("A group shares one copy of the prompt: for long prompts."),
  lora,
  optimizer: optimizerSchema,
  schedule: scheduleSchema,
});

const languages = ["prompt", ...(Object.keys(SCRIPTS) as Language[])] as const;

/** The schema of a stage that samples completions and keeps good ones as training data. */
export const sampleOptions = z.strictObject({
  kind: z.literal("sample"),
  teacher: endpointOptions.optional(),
  problems: count.describe("Problems that are asked."),
  problemsPerStep: count.default(64).describe("Problems between two saves."),
  samples: count.describe("Completions per problem."),
  ...samplingOptions,
  maxNewTokens: count.describe("Most tokens of a completion."),
  keep: z
    .strictObject({
      right: z.boolean().default(true).describe("Only right answers."),
      readable: z
        .boolean()
        .default(true)
        .describe("Only thoughts that keep the form, do not repeat themselves and have no false step."),
      language: z
        .enum(languages)
        .optional()
        .describe(
          "Only thoughts in this language, or the prompt's; scripts are told apart, not languages of one script.",
        ),
      perProblem: count.default(1).describe("Most completions of a problem: the shortest different ones."),
    })
    .prefault({})
    .describe("Which completions become training data."),
  maxBatch: count.default(MAX_BATCH).describe("Sequences that the sampler decodes at once."),
});

/** Options of rejection sampling with all defaults. */
export type SampleOptions = z.output<typeof sampleOptions>;

/** Steps in which all problems are asked. */
export const sampleSteps = (options: Pick<SampleOptions, "problems" | "problemsPerStep">): number =>
  Math.ceil(options.problems / options.problemsPerStep);

/** The schema of on-policy distillation, but for its teachers, whom a recipe names. */
export const distillOptions = z.strictObject({
  kind: z.literal("distill"),
  steps: count.describe("Rollouts, each with one update."),
  problemsPerStep: count.describe("Problems per rollout, of each task."),
  samples: count.default(1).describe("Completions per problem."),
  maxNewTokens: count.describe("Most tokens of a completion."),
  ...samplingOptions,
  estimate: keyOf(estimates)
    .default("full")
    .describe(
      "`full`: KL(student || teacher) over the whole vocabulary at each token; `sample`: its policy gradient by the sampled token alone.",
    ),
  maxBatch: count.default(MAX_BATCH).describe("Sequences that the sampler decodes at once."),
  recompute: off.describe("Recompute activations in the backward pass: less memory, a third more FLOPs."),
  microBatchTokens: count.default(4096).describe("Tokens of a forward pass, with padding."),
  lora,
  optimizer: optimizerSchema,
  schedule: scheduleSchema,
});

/** Options of on-policy distillation with all defaults. */
export type DistillOptions = z.output<typeof distillOptions>;

/** The schema of an average of weights, but for its models, which a recipe names. */
export const mergeOptions = z.strictObject({ kind: z.literal("merge") });

/** Options of GRPO with all defaults. */
export type GrpoOptions = z.output<typeof grpoOptions>;
