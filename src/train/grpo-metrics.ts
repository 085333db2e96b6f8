/** Metrics of a GRPO update: per-token means over all of its micro-batches, and the importance weights that were cut. */
import type { Metrics } from "../events.ts";
import { POSITION_BUCKET } from "../tasks/steps.ts";
import type { Meter } from "./meter.ts";
import type { TrainingRow } from "./microbatch.ts";
import { type Group, rolloutMetrics } from "./rollout.ts";
import type { Measured } from "./step.ts";

/** Metrics of an update that are `null` where nothing was trained, or without what they measure. */
export const UPDATE_METRICS = [
  ...["loss", "grad/norm", "entropy", "kl", "kl/bounded", "ratio/bounded", "clip/low", "clip/high"],
  ...["mismatch/mean", "mismatch/max", "importance/cut", "importance/cut-sequences"],
];

/** Tokens in the loss. */
export const trainedTokens = (rows: readonly TrainingRow[]): number =>
  rows.reduce((total, { weights }) => total + weights.filter((weight) => weight !== 0).length, 0);

/** Measures one update. Means are over tokens with an advantage, also with a KL term, for which others are computed. */
export function measureLoss(
  meter: Meter,
  measured: readonly Measured[],
  rows: readonly TrainingRow[],
  { withKl, compare }: { withKl: boolean; compare: boolean },
): void {
  const sum = (name: string): number =>
    measured.reduce((total, { scalars }) => total + (scalars[name] ?? 0), 0);
  const tokens = trainedTokens(rows);
  const signal = rows.reduce((total, row) => total + row.advantages.filter((a) => a !== 0).length, 0);
  meter.mean("loss", sum("loss"));
  meter.mean("entropy", sum("entropy"), signal);
  meter.mean("ratio/bounded", sum("boundedRatios"), signal);
  meter.mean("clip/low", sum("clippedLow"), signal);
  meter.mean("clip/high", sum("clippedHigh"), signal);
  if (withKl) {
    meter.mean("kl", sum("kl"), tokens);
    meter.mean("kl/bounded", sum("boundedKl"), tokens);
  }
  if (compare) {
    meter.mean("mismatch/mean", sum("mismatchSum"), signal);
    for (const { scalars } of measured) if (signal > 0) meter.max("mismatch/max", scalars.mismatchMax);
  }
  for (const { vectors } of measured)
    for (const [name, load] of vectors) meter.imbalance(`${name}/max-load`, load);
}

/** How many tokens had their importance weight cut: in all, by sequence, and by the sequence's length. */
export function measureCut(meter: Meter, corrected: readonly { length: number; cut: number }[]): void {
  for (const { length, cut } of corrected.toSorted((a, b) => a.length - b.length)) {
    const from = Math.floor((length - 1) / POSITION_BUCKET) * POSITION_BUCKET;
    meter.mean("importance/cut", cut, length);
    meter.mean("importance/cut-sequences", cut > 0 ? 1 : 0);
    meter.mean(`importance/cut/${from + 1}-${from + POSITION_BUCKET}`, cut, length);
  }
}

/** All metrics of a step: of its samples, of its updates, and how long both took. */
export function stepMetrics(
  groups: readonly Group[],
  updates: Meter,
  step: {
    /** Of dynamic sampling. */
    rounds: number;
    level: number | undefined;
    seconds: { rollout: number; train: number };
    /** Tokens sampled, and tokens in the updates' losses. */
    generated: number;
    trained: number;
  },
): Metrics {
  const { rounds, level, seconds, generated, trained } = step;
  return {
    ...rolloutMetrics(groups),
    ...updates.metrics(),
    "groups/rounds": rounds,
    ...(level !== undefined && { "difficulty/level": level }),
    "seconds/rollout": seconds.rollout,
    "seconds/train": seconds.train,
    "tokens/rollout-per-second": generated / seconds.rollout,
    "tokens/train-per-second": trained / seconds.train,
  };
}
