/** What a GRPO step says about itself, and in words why it taught nothing. */
import type { Metrics } from "../events.ts";
import { hasSignal } from "./advantages.ts";
import type { ExpertLoads } from "./expert-load.ts";
import { rewardMetrics } from "./rewards.ts";
import type { Group, Sample } from "./rollout.ts";
import { CUT_LIMIT } from "./signals.ts";

const mean = (values: readonly number[]): number | null =>
  values.length === 0 ? null : values.reduce((a, b) => a + b, 0) / values.length;

const extreme = (values: readonly number[], of: (a: number, b: number) => number): number | null =>
  values.length === 0 ? null : values.reduce((a, b) => of(a, b));

/** Bounds of the buckets by position, in tokens from the start of the row. */
export const POSITION_BUCKET = 64;

/** Share of true equations, in all and by position: the thought must not become decoration while the score rises. */
export function validityMetrics(samples: readonly Sample[]): Metrics {
  const all = samples.flatMap((s) => s.equations);
  const metrics: Metrics = { validity: mean(all.map((e) => (e.holds ? 1 : 0))) };
  for (const { from, to, share } of validityByPosition(samples))
    metrics[`validity/${from}-${to - 1}`] = share;
  return metrics;
}

export function validityByPosition(
  samples: readonly Pick<Sample, "equations">[],
): { from: number; to: number; share: number; equations: number }[] {
  const buckets = new Map<number, { holds: number; count: number }>();
  for (const { position, holds } of samples.flatMap((s) => s.equations)) {
    const index = Math.floor(position / POSITION_BUCKET);
    const bucket = buckets.get(index) ?? { holds: 0, count: 0 };
    bucket.count++;
    if (holds) bucket.holds++;
    buckets.set(index, bucket);
  }
  return [...buckets]
    .sort((a, b) => a[0] - b[0])
    .map(([index, { holds, count }]) => ({
      from: index * POSITION_BUCKET,
      to: (index + 1) * POSITION_BUCKET,
      share: holds / count,
      equations: count,
    }));
}

/** Metrics of what was sampled; throughput counts every generated token, masked or not. */
export function rolloutMetrics(groups: readonly Group[]): Metrics {
  const samples = groups.flatMap((g) => g.samples);
  const lengths = samples.map((s) => s.ids.length);
  const finished = samples.filter((s) => s.finish === "stop").map((s) => s.ids.length);
  return {
    ...rewardMetrics(samples),
    "length/mean": mean(lengths),
    "length/min": extreme(lengths, Math.min),
    "length/max": extreme(lengths, Math.max),
    // A cut completion's length is the limit's, not its own.
    "length/mean-finished": mean(finished),
    "length/min-finished": extreme(finished, Math.min),
    truncated: mean(samples.map((s) => (s.finish === "length" ? 1 : 0))),
    "groups/informative": mean(groups.map((g) => (hasSignal(g.samples.map((s) => s.reward)) ? 1 : 0))),
    ...validityMetrics(samples),
  };
}

interface LossTotals {
  sums: ReadonlyMap<string, number>;
  norms: readonly number[];
  losses: readonly number[];
  /** Completion tokens of the rows that were computed, each epoch counted. */
  trained: number;
  /** Those of rows with an advantage: what entropy, clipping and bounds are means over, with and without a KL term. */
  signal: number;
  /** Those of the first mini-batch, whose log-probabilities are those of the policy that sampled. */
  compared: number;
  loads: ExpertLoads;
  /** Of each sequence with importance weights: its tokens, and how many of them had their weight cut. */
  corrected: readonly { length: number; cut: number }[];
}

/** Per-token means from the sums of all micro-batches; `null` where nothing was trained. */
export function lossMetrics(totals: LossTotals, withKl: boolean): Metrics {
  const perToken = (name: string, tokens = totals.signal): number | null =>
    tokens === 0 ? null : (totals.sums.get(name) ?? 0) / tokens;
  return {
    loss: mean(totals.losses),
    "grad/norm": mean(totals.norms),
    entropy: perToken("entropy"),
    kl: withKl ? perToken("kl", totals.trained) : null,
    "kl/bounded": withKl ? perToken("boundedKl", totals.trained) : null,
    "ratio/bounded": perToken("boundedRatios"),
    "clip/low": perToken("clippedLow"),
    "clip/high": perToken("clippedHigh"),
    "mismatch/mean": perToken("mismatchSum", totals.compared),
    "mismatch/max": totals.compared === 0 ? null : (totals.sums.get("mismatchMax") ?? 0),
    ...totals.loads.metrics(),
    ...importanceMetrics(totals.corrected),
  };
}

/**
 * A micro-batch's measurements onto those before it: sums, and the largest mismatch. Where the policy has `moved` since it
 * sampled, a mismatch says nothing of sampler and trainer, and is left out.
 */
export function addMeasurements(
  sums: Map<string, number>,
  result: Readonly<Record<string, number>>,
  moved: boolean,
): void {
  for (const [name, value] of Object.entries(result)) {
    if (moved && name.startsWith("mismatch")) continue;
    const before = sums.get(name) ?? 0;
    sums.set(name, name === "mismatchMax" ? Math.max(before, value) : before + value);
  }
}

/** Shares of tokens and of sequences whose importance weight was cut, and of tokens by the sequence's length. */
export function importanceMetrics(corrected: LossTotals["corrected"]): Metrics {
  const share = (rows: LossTotals["corrected"]): number | null => {
    const tokens = rows.reduce((total, { length }) => total + length, 0);
    return tokens === 0 ? null : rows.reduce((total, { cut }) => total + cut, 0) / tokens;
  };
  const metrics: Metrics = {
    "importance/cut": share(corrected),
    "importance/cut-sequences": mean(corrected.map(({ cut }) => (cut > 0 ? 1 : 0))),
  };
  const bucketOf = ({ length }: { length: number }): number => Math.floor((length - 1) / POSITION_BUCKET);
  for (const bucket of [...new Set(corrected.map(bucketOf))].sort((a, b) => a - b)) {
    const [from, to] = [bucket * POSITION_BUCKET + 1, (bucket + 1) * POSITION_BUCKET];
    metrics[`importance/cut/${from}-${to}`] = share(corrected.filter((row) => bucketOf(row) === bucket));
  }
  return metrics;
}

/** Steps without a signal before the person is told. */
const PATIENCE = 3;

/** In words, with the remedy; empty while the run can learn. */
export function whyNothingWasLearned(metrics: Metrics, idleSteps: number, maxNewTokens: number): string[] {
  // Groups that could teach were there, so what kept them from it is the mask over truncated samples: said at once.
  const allMasked = (metrics["groups/informative"] ?? 0) > 0;
  const due = idleSteps > 0 && (idleSteps % PATIENCE === 0 || (allMasked && idleSteps === 1));
  if (!due) return [];
  const percent = (name: string) => `${Math.round(100 * (metrics[name] ?? 0))} %`;
  const facts = `truncated ${percent("truncated")}, informative groups ${percent("groups/informative")}, pass@1 ${percent("pass1")}`;
  const cause = allMasked
    ? "all samples were cut off, and maskTruncated leaves those out"
    : "in each group all rewards are equal";
  const remedy =
    (metrics.truncated ?? 0) > CUT_LIMIT
      ? `Completions are cut off at ${maxNewTokens} tokens, before their answer: raise maxNewTokens.`
      : (metrics.pass1 ?? 0) > 0.5
        ? `${metrics.pass1 === 1 ? "Every problem is" : "Most problems are"} solved by all samples: make the task harder.`
        : "No sample earns a reward: train the base longer, make the task easier, or sample larger groups.";
  const since = idleSteps === 1 ? "in this step" : `for ${idleSteps} steps`;
  return [`Nothing was learned ${since}: ${cause} (${facts}). ${remedy}`];
}
