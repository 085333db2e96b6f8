/** Learning-rate schedules: the factor of the peak rate at step `step` (from 0) of `total`. */

export type Schedule =
  | { kind: "constant"; warmup: number }
  /** DeepSeek LLM (arXiv 2401.02954, section 2.3): flat, x 0.316 from 80 % of the steps, x 0.1 from 90 %. */
  | { kind: "multi-step"; warmup: number }
  /** Loshchilov and Hutter 2017, eq. 5, down to `minLrRatio`. */
  | { kind: "cosine"; warmup: number; minLrRatio: number }
  /** Warm-up, stable, decay (Hu et al. 2024): flat, then linear to `minLrRatio` over the last `decayFraction`. */
  | { kind: "wsd"; warmup: number; minLrRatio: number; decayFraction: number }
  | { kind: "linear"; warmup: number; minLrRatio: number };

export function rateFactor(schedule: Schedule, step: number, total: number): number {
  const { warmup } = schedule;
  if (step < warmup) return (step + 1) / warmup;
  /** Share of the steps after warm-up that are done, in [0, 1). */
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
