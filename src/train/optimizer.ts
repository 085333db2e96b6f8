/** The optimizers that a stage may use, as a recipe describes them. */
import { z } from "zod";
import { fraction, positive } from "../lib/schema.ts";

const shared = {
  /** Peak learning rate: of every parameter for AdamW, of the matrices in the blocks for Muon. */
  lr: positive,
  /** DeepSeek LLM's (arXiv 2401.02954, section 2.3). */
  betas: z.tuple([fraction, fraction]).default([0.9, 0.95]),
  epsilon: positive.default(1e-8),
  weightDecay: z.number().min(0).default(0),
  /** Largest global gradient norm; `null` switches clipping off. */
  clip: positive.nullable().default(1),
};

export const optimizerSchema = z.discriminatedUnion("kind", [
  /** AdamW with decoupled decay (arXiv 1711.05101). */
  z.strictObject({ kind: z.literal("adamw"), ...shared }),
  /** Muon for the matrices in the blocks, AdamW at `adamLr` for embeddings, head and norms. */
  z.strictObject({
    kind: z.literal("muon"),
    ...shared,
    adamLr: positive,
    momentum: fraction.default(0.95),
  }),
]);

export type Optimizer = z.output<typeof optimizerSchema>;

/** The learning rates of one update, `factor` (see `lrFactor`) times the peaks: AdamW's, and that of Muon's matrices. */
export function learningRates(optimizer: Optimizer, factor: number): { lr: number; muonLr: number } {
  const { kind, lr } = optimizer;
  return { lr: factor * (kind === "muon" ? optimizer.adamLr : lr), muonLr: factor * lr };
}
