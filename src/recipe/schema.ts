/**
 * A recipe: one YAML file from which a run follows completely. Every object is strict, so a misspelt key is an error and
 * never a silent default.
 */
import { z } from "zod";
import { TRAINED_RULES } from "../checkpoint/gguf/splits.ts";
import { dataSchema } from "../data/options.ts";
import { count, fraction, nonNegative, off, positive } from "../lib/schema.ts";
import { taskOptions } from "../tasks/registry.ts";
import { grpoOptions, pretrainOptions, sftOptions } from "../train/options.ts";
import { RUN_NAME, RUN_NAME_RULE } from "./name.ts";

export type { TrainingData } from "../data/options.ts";
export type { TaskOptions } from "../tasks/registry.ts";

const factor = z.number().min(1).describe("How many times longer the sequences are than in training.");
const originalPositions = count.describe("Positions in training.");

/** How rotary positions reach beyond the `originalPositions` of training: src/models/rope.ts has each formula's paper. */
const ropeScalingSchema = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("linear"), factor }),
  z.strictObject({ kind: z.literal("dynamic"), factor, originalPositions }),
  z.strictObject({
    kind: z.literal("llama3"),
    factor,
    originalPositions,
    lowFrequencyFactor: positive
      .default(1)
      .describe("Dimensions with longer wavelengths are scaled in full."),
    highFrequencyFactor: positive.default(4).describe("Dimensions with shorter wavelengths are not scaled."),
  }),
  z.strictObject({
    kind: z.literal("yarn"),
    factor,
    originalPositions,
    betaFast: positive.default(32).describe("Rotations above which a dimension is not scaled."),
    betaSlow: positive.default(1).describe("Rotations below which a dimension is scaled in full."),
    truncate: z.boolean().optional().describe("Round the bounds of that range to whole dimensions."),
    attentionFactor: positive.optional().describe("Factor of the attention's logits instead of YaRN's."),
    mscale: positive.optional().describe("Factor of YaRN's temperature, numerator."),
    mscaleAllDim: positive.optional().describe("Factor of YaRN's temperature, denominator."),
  }),
]);

const denseShapeSchema = z
  .strictObject({
    layers: count.describe("Transformer blocks."),
    hiddenSize: count.describe("Width of the residual stream."),
    heads: count.describe("Query heads."),
    kvHeads: count
      .optional()
      .describe("Key and value heads; fewer than `heads` is grouped-query attention. Default: `heads`."),
    headDim: count.optional().describe("Width of a head. Default: `hiddenSize / heads`."),
    intermediateSize: count.describe("Inner width of SwiGLU."),
    maxPositions: z.int().min(2).describe("Longest sequence in tokens."),
    ropeTheta: positive.default(10000).describe("Base of the rotary frequencies."),
    ropeScaling: ropeScalingSchema.optional().describe("Longer sequences than in training."),
    qkvBias: z.boolean().optional().describe("Biases of queries, keys and values, as in Qwen2."),
    qkNorm: z
      .boolean()
      .optional()
      .describe("RMSNorm of queries and keys, as in Qwen3; not together with `qkvBias`."),
    normEps: positive.default(1e-6).describe("RMSNorm's epsilon."),
    tieEmbeddings: off.describe("The head uses the embedding's weights."),
  })
  .describe("A dense decoder like DeepSeek LLM (arXiv 2401.02954, section 2.2), Llama or Qwen.");

/** DeepSeek-V3's design (arXiv 2412.19437, section 2.1), in any size; `src/models/v3-config.ts` says more of each size. */
const v3ShapeSchema = z.strictObject({
  architecture: z
    .literal("deepseek_v3")
    .describe("DeepSeek-V3 with latent attention and routed experts (arXiv 2412.19437, section 2.1)."),
  layers: count.describe("Transformer blocks."),
  hiddenSize: count.describe("Width of the residual stream."),
  heads: count.describe("Attention heads."),
  queryLoraRank: count
    .nullable()
    .default(null)
    .describe("Width of the queries' latent; `null`: queries have one projection."),
  kvLoraRank: count.describe("Width of the latent from which keys and values are computed."),
  nopeDim: count.describe("Width of a head's part without rotary positions."),
  ropeDim: count.describe("Width of a head's part with rotary positions."),
  valueDim: count.describe("Width of a head's values."),
  intermediateSize: count.describe("Inner width of SwiGLU in the first `denseLayers` blocks."),
  denseLayers: z.int().min(0).default(1).describe("Blocks without experts, at the start."),
  moeIntermediateSize: count.describe("Inner width of one expert."),
  experts: count.describe("Routed experts per block."),
  activeExperts: count.describe("Routed experts per token."),
  sharedExperts: count.default(1).describe("Experts that every token uses."),
  groups: count.default(1).describe("Groups of experts for group-limited routing."),
  activeGroups: count.default(1).describe("Groups per token."),
  normaliseWeights: z
    .boolean()
    .default(true)
    .describe("The weights of a token's experts add up to `routedScale`."),
  routedScale: positive.default(2.5).describe("Factor of the routed experts' output."),
  maxPositions: z.int().min(2).describe("Longest sequence in tokens."),
  ropeTheta: positive.default(10000).describe("Base of the rotary frequencies."),
  /** Positions beyond those of training. */
  yarn: z
    .strictObject({
      factor: z.number().min(1).describe("How many times longer the sequences are than in training."),
      originalPositions: count.describe("Positions in training."),
      betaFast: positive.default(32).describe("Rotations above which a dimension is not scaled."),
      betaSlow: positive.default(1).describe("Rotations below which a dimension is scaled in full."),
      mscale: nonNegative.default(1).describe("Factor of YaRN's temperature, numerator."),
      mscaleAllDim: nonNegative.default(1).describe("Factor of YaRN's temperature, denominator."),
    })
    .nullable()
    .default(null),
  normEps: positive.default(1e-6).describe("RMSNorm's epsilon."),
  mtpLayers: z
    .int()
    .min(0)
    .max(1)
    .default(0)
    .describe("MTP modules, which predict one token more in pretraining."),
  tieEmbeddings: off.describe("The head uses the embedding's weights."),
});

const modelFolderSchema = z
  .strictObject({
    from: z.string().min(1).describe("A Hugging Face folder, a GGUF file, or the name of a pulled model."),
    adapter: z
      .string()
      .min(1)
      .optional()
      .describe("Folder of a LoRA adapter in PEFT's format, which is merged into the weights."),
  })
  .describe("Weights to start from.");

const tokenizerSchema = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("model") }).describe("The tokenizer of the model that `from` names."),
  z.strictObject({ kind: z.literal("compact") }).describe("The built-in vocabulary of the number tasks."),
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

const pretrainSchema = z.strictObject({ name: stageName, data: dataSchema, ...pretrainOptions.shape });
const sftSchema = z.strictObject({ name: stageName, data: dataSchema, ...sftOptions.shape });
const grpoSchema = z.strictObject({ name: stageName, ...grpoOptions.shape });

const evaluateSchema = z.strictObject({
  name: stageName,
  kind: z.literal("evaluate"),
  label: z.string().min(1).describe("Name of the result, such as base or final."),
  problems: count.optional().describe("Different problems; default: all of a file."),
  samples: count.describe("Completions per problem."),
  temperature: nonNegative.describe("Sampling temperature; 0 takes the most likely token."),
  topP: fraction
    .positive()
    .optional()
    .describe("Sample from the top tokens that together have this probability."),
  topK: count.optional().describe("Sample from this many top tokens."),
  maxNewTokens: count
    .optional()
    .describe("Most tokens of a completion; default: all positions after the prompt."),
  maxBatch: count.default(128).describe("Sequences that the sampler decodes at once."),
  split: z
    .enum(["train", "validation", "test", "all"])
    .default("test")
    .describe("`test` of a file that no stage trains on is all of it, and `all` is all of any file."),
  task: taskOptions.optional().describe("Another task than the recipe's."),
});

const stageSchema = z.discriminatedUnion("kind", [pretrainSchema, sftSchema, grpoSchema, evaluateSchema]);

export const recipeObject = z.strictObject({
  name: z.string().regex(RUN_NAME, { error: RUN_NAME_RULE }).describe("Also the name of the run's folder."),
  seed: z.int().min(0).describe("The same seed gives the same numbers on the same machine."),
  description: z.string().optional().describe("For people."),
  model: z
    .union([denseShapeSchema, v3ShapeSchema, modelFolderSchema])
    .describe("Sizes of a new model, or weights to start from."),
  tokenizer: tokenizerSchema.describe("Default with `from`: the model's own."),
  task: taskOptions.describe("The problems of GRPO and of evaluations."),
  stages: z.array(stageSchema).min(1).describe("What the run does, in order."),
  checkpoint: z
    .strictObject({ everySteps: count, keep: count })
    .describe("Save every so many steps, and keep so many checkpoints."),
  hardware: z
    .strictObject({ watts: positive.optional(), dollarsPerHour: nonNegative.optional() })
    .optional()
    .describe("For the bill: the machine's power draw and price. Without them energy and cost are unknown."),
});

export type DenseShape = z.infer<typeof denseShapeSchema>;
export type V3Shape = z.infer<typeof v3ShapeSchema>;
export type Recipe = z.infer<typeof recipeObject>;
export type PretrainStage = z.infer<typeof pretrainSchema>;
export type SftStage = z.infer<typeof sftSchema>;
export type GrpoStage = z.infer<typeof grpoSchema>;
export type EvaluateStage = z.infer<typeof evaluateSchema>;
export type Stage = z.infer<typeof stageSchema>;
