/** The parts that several stages share: optimizer, learning-rate schedule, training data. */
import { z } from "zod";

export const positive = z.number().positive();
export const count = z.int().positive();
export const share = z.number().min(0).max(1);

const betas = z.tuple([share, share]).default([0.9, 0.95]);
const weightDecay = z.number().min(0).default(0);
/** Largest global gradient norm; `null` switches clipping off. */
const clip = positive.nullable().default(1);

/** AdamW with decoupled decay (arXiv 1711.05101). `betas` default to DeepSeek LLM's (2401.02954, 2.3). */
const adamw = z.strictObject({ kind: z.literal("adamw"), lr: positive, betas, weightDecay, clip });

/** Muon for the block matrices, AdamW at `adamLr` for embeddings, head and norms. */
const muon = z.strictObject({
  kind: z.literal("muon"),
  lr: positive,
  adamLr: positive,
  betas,
  weightDecay,
  clip,
  momentum: share.default(0.95),
});

export const optimizerSchema = z.discriminatedUnion("kind", [adamw, muon]);

/** Steps over which the rate climbs linearly from 0. */
const warmup = z.int().min(0).default(0);
/** The last rate, as a share of the peak. */
const minLrRatio = share.default(0.1);

export const scheduleSchema = z.discriminatedUnion("kind", [
  /** x 0.316 after 80 % and x 0.1 after 90 % of the steps (DeepSeek LLM, 2401.02954, section 2.3). */
  z.strictObject({ kind: z.literal("multi-step"), warmup }),
  z.strictObject({ kind: z.literal("cosine"), warmup, minLrRatio }),
  /** Warm-up, stable, decay: flat until the last `decayFraction` of the steps (MiniCPM, 2404.06395). */
  z.strictObject({ kind: z.literal("wsd"), warmup, minLrRatio, decayFraction: share.default(0.1) }),
  z.strictObject({ kind: z.literal("linear"), warmup, minLrRatio }),
  z.strictObject({ kind: z.literal("constant"), warmup }),
]);

const factor = z.number().min(1);
const originalPositions = count;

/** How rotary positions reach beyond the `originalPositions` of training: src/models/rope.ts has each formula's paper. */
export const ropeScalingSchema = z.discriminatedUnion("kind", [
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

/** How many numbers a Countdown problem has; several entries are drawn evenly. */
export const numbers = z.array(z.int().min(2).max(6)).min(1);

/** Attempts, right and wrong alike, generated on the fly: every equation in them is true. */
const countdownAttempts = z.strictObject({
  kind: z.literal("countdown-attempts"),
  numbers,
  /** Probability that an attempt is the known solution. */
  hint: share,
  /** Share of documents that are one equation. */
  singles: share,
  maxAttempts: count,
  /** Probability of another attempt after a miss. */
  goOn: share,
  /** Largest intermediate result. */
  maxResult: count,
  /** Share of problems whose known solution multiplies or divides; 0: as they come, one in twelve for 3 numbers. */
  products: share.default(0),
  /** No attempt twice in one thought. */
  distinct: z.boolean().default(false),
});

/**
 * The files below a folder, those that imports hold together as one document in the order of their imports
 * (DeepSeek-Coder, 2401.14196, section 2.2), and cut for fill-in-the-middle (section 3.1.2) where `fim` stands.
 */
const repository = z.strictObject({
  kind: z.literal("repository"),
  folder: z.string().min(1),
  /** Endings of the files that are read, without the dot. */
  extensions: z.array(z.string().regex(/^[A-Za-z0-9+]+$/)).min(1),
  /** `rate`: share of documents that are cut; `spm`: share of those with the suffix first. */
  fim: z.strictObject({ rate: share.default(0.5), spm: share.default(0) }).optional(),
});

/** Files are relative to the directory where the command runs. */
export const dataSchema = z.discriminatedUnion("kind", [
  countdownAttempts,
  z.strictObject({
    kind: z.literal("jsonl"),
    file: z.string().min(1),
    /** Left out, SFT uses the model's chat template where it has one; `plain` takes prompt and completion as they stand. */
    template: z.enum(["chat", "plain"]).optional(),
  }),
  z.strictObject({ kind: z.literal("text"), file: z.string().min(1) }),
  repository,
]);

export type Optimizer = z.infer<typeof optimizerSchema>;
export type Schedule = z.infer<typeof scheduleSchema>;
export type TrainingData = z.infer<typeof dataSchema>;
