/** The training data that a pretraining or SFT stage may name. */
import { z } from "zod";
import { count, fraction } from "../lib/schema.ts";

/** How many numbers a Countdown problem has; several entries are drawn evenly. */
const numbers = z.array(z.int().min(2).max(6)).min(1);

/** Attempts, right and wrong alike, generated on the fly: every equation in them is true. */
const countdownAttempts = z.strictObject({
  kind: z.literal("countdown-attempts"),
  numbers,
  /** Probability that an attempt is the known solution. */
  hint: fraction,
  /** Share of documents that are one equation. */
  singles: fraction,
  maxAttempts: count,
  /** Probability of another attempt after a miss. */
  goOn: fraction,
  /** Largest intermediate result. */
  maxResult: count,
  /** Share of problems whose known solution multiplies or divides; 0: as they are drawn, one in twelve for 3 numbers. */
  products: fraction.default(0),
  /** No attempt twice in one thought. */
  distinct: z.boolean().default(false),
});

/**
 * The files below a folder, those that import one another as one document, imported files first
 * (DeepSeek-Coder, 2401.14196, section 2.2), and cut for fill-in-the-middle (section 3.1.2) where there is `fim`.
 */
const repository = z.strictObject({
  kind: z.literal("repository"),
  folder: z.string().min(1),
  /** Endings of the files that are read, without the dot. */
  extensions: z.array(z.string().regex(/^[A-Za-z0-9+]+$/)).min(1),
  /** `rate`: share of documents that are cut; `spm`: share of those with the suffix first. */
  fim: z.strictObject({ rate: fraction.default(0.5), spm: fraction.default(0) }).optional(),
});

export const dataSchema = z.discriminatedUnion("kind", [
  countdownAttempts,
  z.strictObject({
    kind: z.literal("jsonl"),
    file: z.string().min(1),
    /** Left out, SFT uses the model's chat template where it has one; `plain` takes prompt and completion as they are. */
    template: z.enum(["chat", "plain"]).optional(),
  }),
  z.strictObject({ kind: z.literal("text"), file: z.string().min(1) }),
  repository,
]);

export type TrainingData = z.infer<typeof dataSchema>;
