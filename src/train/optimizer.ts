/** The optimizers that a stage may use, as a recipe describes them. */
import { z } from "zod";
import { fraction, nonNegative, positive } from "../lib/schema.ts";

const shared = {
  lr: positive.describe("Peak learning rate, for Muon that of the matrices in the blocks."),
  betas: z
    .tuple([fraction, fraction])
    .default([0.9, 0.95])
    .describe("Decay of AdamW's moments; default: DeepSeek LLM's."),
  epsilon: positive.default(1e-8).describe("AdamW's epsilon."),
  weightDecay: nonNegative.default(0).describe("Decoupled weight decay."),
  clip: positive.nullable().default(1).describe("Largest global norm of the gradient; `null`: any."),
};

export const optimizerSchema = z.discriminatedUnion("kind", [
  z
    .strictObject({ kind: z.literal("adamw"), ...shared })
    .describe("AdamW with decoupled decay (arXiv 1711.05101)."),
  /** Muon for the matrices in the blocks, AdamW at `adamLr` for embeddings, head and norms. */
  z.strictObject({
    kind: z.literal("muon"),
    ...shared,
    adamLr: positive.describe("Peak learning rate of AdamW: embeddings, head and norms."),
    momentum: fraction.default(0.95).describe("Muon's momentum."),
  }),
]);

/** An optimizer with all of its constants: AdamW, or Muon for the matrices of the blocks. */
export type Optimizer = z.output<typeof optimizerSchema>;

/** The learning rates of one update, `factor` (see `lrFactor`) times the peaks: AdamW's, and that of Muon's matrices. */
export function learningRates(optimizer: Optimizer, factor: number): { lr: number; muonLr: number } {
  const { kind, lr } = optimizer;
  return { lr: factor * (kind === "muon" ? optimizer.adamLr : lr), muonLr: factor * lr };
}
