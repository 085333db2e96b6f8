/** The charts: which metrics each one shows, and what to look for in it. */
import type { StageInfo } from "../events.ts";

export interface ChartSpec {
  title: string;
  note: string;
  unit: "share" | "number";
  /** Metric name and the words of the legend. */
  series: [metric: string, label: string][];
  /** Noisy steps: a moving average is drawn over the raw values. */
  smooth: boolean;
  /** Whether it is below the main charts, folded. */
  folded: boolean;
  /** Shown if no step has a value. */
  blank?: string;
}

type Flag = "smooth" | "folded";

function chart(
  unit: ChartSpec["unit"],
  title: string,
  note: string,
  series: Record<string, string>,
  ...flags: Flag[]
): ChartSpec {
  const [smooth, folded] = [flags.includes("smooth"), flags.includes("folded")];
  return { unit, title, note, series: Object.entries(series), smooth, folded };
}

const TEACHERS = "KL to the teachers";
const BY_TASK = "pass@1 by task";
const EXPERTS = "Load of experts";
const LOAD = "Tokens of a layer's fullest expert over the mean: 1 is even.";

const COMMON = [
  chart("number", EXPERTS, LOAD, {}, "smooth", "folded"),
  chart("number", "Gradient norm", "Before clipping.", { "grad/norm": "norm" }, "folded"),
  chart("number", "Learning rate", "As scheduled.", { lr: "learning rate" }, "folded"),
  chart("share", "Utilisation", "Counted FLOPs as a share of this machine's.", { mfu: "MFU" }, "folded"),
];

const PRETRAIN = [
  chart("number", "Loss", "Cross-entropy of the next token, in nats.", { loss: "loss" }, "smooth"),
  chart("number", "Speed", "Tokens trained on in a second.", { "tokens-per-second": "tokens/s" }),
  ...COMMON,
];

/** The components add up to the total. */
const rewards = (steps: string) => ({
  "reward/mean": "total",
  "reward/accuracy": "right answer",
  "reward/format": "format",
  "reward/validity": `true ${steps}`,
  "reward/overlong": "length penalty",
  "reward/length": "length",
});
const LENGTH =
  "Tokens. No reward asks for longer thoughts; they grow where longer thoughts earn more reward.";
const LENGTHS = { "length/mean": "mean", "length/mean-finished": "mean of those not cut off" };
const EXTREMES = {
  "length/min": "shortest",
  "length/min-finished": "shortest not cut off",
  "length/max": "longest",
};
const validity = (steps: string) =>
  `Fraction of ${steps} that are true. If it falls while reward rises, the thoughts no longer matter.`;
const SPEEDS = { "tokens/rollout-per-second": "sampling", "tokens/train-per-second": "training" };
const BY_POSITION = "Validity by position";

const TO_TEACHERS = [
  chart("number", TEACHERS, "Of the student's own tokens, in nats.", {}, "smooth"),
  chart("share", BY_TASK, "Share of training samples that were right.", {}, "smooth"),
];

const grpo = (steps: string) => [
  chart("number", "Reward", "Mean of a step's samples, by component.", rewards(steps), "smooth"),
  chart("share", "pass@1", "Share of training samples that were right.", { "pass@1": "pass@1" }, "smooth"),
  chart("number", "Response length", LENGTH, LENGTHS, "smooth"),
  chart("share", "Thought validity", validity(steps), { validity: `all ${steps}` }, "smooth"),
  chart("share", BY_POSITION, "The same, by tokens from the start of the thought.", {}, "smooth"),
  chart("number", "Entropy", "Of the next token while sampling, in nats.", { entropy: "entropy" }, "smooth"),
  {
    ...chart(
      "number",
      "KL to the base",
      "How far the policy has moved, in nats per token.",
      { kl: "KL" },
      "smooth",
    ),
    blank: "off: the recipe's kl is 0",
  },
  chart(
    "share",
    "Groups to learn from",
    "Groups whose samples differ in reward.",
    { "groups/signal": "with a signal" },
    "smooth",
  ),
  chart("number", "Difficulty", "Level of the problems, which follows pass@1 towards the recipe's target.", {
    "difficulty/level": "level",
  }),
  chart("number", "Turns", "Completions of a conversation.", { "turns/mean": "mean" }, "smooth"),
  chart(
    "share",
    "No end",
    "Conversations at the limit of turns.",
    { "turns/limit": "at the limit" },
    "folded",
  ),
  chart("share", "Cut off", "Samples that reached the limit of tokens.", { truncated: "cut off" }, "smooth"),
  chart("number", "Shortest and longest response", "Tokens.", EXTREMES, "folded"),
  chart(
    "number",
    "Rounds of sampling",
    "More than 1 where dynamic sampling drew again.",
    { "groups/rounds": "rounds" },
    "folded",
  ),
  chart(
    "share",
    "Clipped ratios",
    "Share of tokens.",
    { "clip/low": "below", "clip/high": "above" },
    "folded",
  ),
  chart(
    "number",
    "Sampler against trainer",
    "Log-probabilities of the same tokens: mean difference.",
    { "mismatch/mean": "mean" },
    "folded",
  ),
  chart(
    "number",
    "Sampler against trainer, worst",
    "The largest difference of a step.",
    { "mismatch/max": "largest" },
    "folded",
  ),
  chart("number", "Speed", "Tokens a second.", SPEEDS, "folded"),
  chart("number", "Loss", "The policy's loss; its value says little.", { loss: "loss" }, "folded"),
  ...COMMON,
];

function chartsOf({ kind, stepName = "steps" }: Pick<StageInfo, "kind" | "stepName">): ChartSpec[] {
  if (kind === "distill") return [...TO_TEACHERS, ...grpo(stepName)];
  return kind === "grpo" || kind === "sample" ? grpo(stepName) : PRETRAIN;
}

/** The charts that a stage has metrics for. */
export function chartsFor(stage: Pick<StageInfo, "kind" | "stepName">, metrics: string[]): ChartSpec[] {
  const present = new Set(metrics);
  return chartsOf(stage)
    .map((spec) => ({ ...spec, series: NUMBERED[spec.title]?.(metrics) ?? spec.series }))
    .map((spec) => ({ ...spec, series: spec.series.filter(([metric]) => present.has(metric)) }))
    .filter((spec) => spec.series.length > 0);
}

/** Metrics that match, by the first number in their names. */
const numbered =
  (pattern: RegExp, label: (...numbers: string[]) => string) =>
  (metrics: string[]): ChartSpec["series"] =>
    metrics
      .map((metric) => pattern.exec(metric))
      .filter((match) => match !== null)
      .sort((a, b) => Number(a[1]) - Number(b[1]))
      .map(([metric, ...numbers]) => [metric, label(...numbers)]);

/** Metrics that begin with `prefix`, by what follows it. */
const named =
  (prefix: string) =>
  (metrics: string[]): ChartSpec["series"] =>
    metrics.flatMap((metric) => (metric.startsWith(prefix) ? [[metric, metric.slice(prefix.length)]] : []));

/** Series that differ from run to run, by their chart: positions in the thought, routed layers, teachers and their tasks. */
const NUMBERED: Record<string, (metrics: string[]) => ChartSpec["series"]> = {
  [BY_POSITION]: numbered(/^validity\/(\d+)-(\d+)$/, (from, to) => `${from}\u2013${to}`),
  [TEACHERS]: named("kl/"),
  [BY_TASK]: named("pass@1/"),
  [EXPERTS]: numbered(/^experts\/(\d+)\/max-load$/, (layer) => `layer ${layer}`),
};
