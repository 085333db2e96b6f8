/** Schedules of the learning rate, and of the rate at which router biases move. */
import { z } from "zod";
import { fraction } from "../lib/schema.ts";

const warmup = z
  .int()
  .min(0)
  .default(0)
  .describe("Steps over which the learning rate rises linearly from 0.");
const minLrRatio = fraction.default(0.1).describe("The last learning rate, as a fraction of the peak.");
const decayFraction = fraction.default(0.1).describe("Fraction of the steps that decay.");

export const scheduleSchema = z.discriminatedUnion("kind", [
  z
    .strictObject({ kind: z.literal("multi-step"), warmup })
    .describe(
      "x 0.316 after 80 % and x 0.1 after 90 % of the steps (DeepSeek LLM, arXiv 2401.02954, section 2.3).",
    ),
  z
    .strictObject({ kind: z.literal("cosine"), warmup, minLrRatio })
    .describe("Loshchilov and Hutter 2017, eq. 5."),
  z
    .strictObject({ kind: z.literal("wsd"), warmup, minLrRatio, decayFraction })
    .describe(
      "Warm-up, stable, decay: flat until the last `decayFraction` of the steps (MiniCPM, 2404.06395).",
    ),
  z.strictObject({ kind: z.literal("linear"), warmup, minLrRatio }),
  z.strictObject({ kind: z.literal("constant"), warmup }),
]);

/** How the learning rate goes over a stage's steps; each kind has its source in the schema. */
export type Schedule = z.output<typeof scheduleSchema>;

/** The factor of the peak learning rate at step `step` (from 0) of `total`. */
export function lrFactor(schedule: Schedule, step: number, total: number): number {
  const { warmup } = schedule;
  if (step < warmup) return (step + 1) / warmup;
  /** Fraction of the steps after warm-up that are done, in [0, 1). */
  const progress = total > warmup ? Math.min(1, (step - warmup) / (total - warmup)) : 1;
  switch (schedule.kind) {
    case "constant":
      return 1;
    case "multi-step":
      return step < 0.8 * total ? 1 : step < 0.9 * total ? Math.sqrt(0.1) : 0.1;
    case "cosine":
      return schedule.minLrRatio + (1 - schedule.minLrRatio) * 0.5 * (1 + Math.cos(Math.PI * progress));
    case "wsd": {
      const start = 1 - schedule.decayFraction;
      return progress < start
        ? 1
        : schedule.minLrRatio + (1 - schedule.minLrRatio) * ((1 - progress) / schedule.decayFraction);
    }
    case "linear":
      return schedule.minLrRatio + (1 - schedule.minLrRatio) * (1 - progress);
  }
}

/**
 * The factor of γ, by which DeepSeek-V3's router biases move in a step: 1, and 0 for the last 0.5 of 14.8 trillion tokens,
 * so that training ends with the choices it will run with (arXiv 2412.19437, section 4.2).
 */
export function biasFactor(step: number, total: number): number {
  return step < (14.3 / 14.8) * total ? 1 : 0;
}
