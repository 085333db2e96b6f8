/** Which metrics belong together in one chart, and what a reader should look for in it. */
import type { StageInfo } from "../recipe/events.ts";

export interface ChartSpec {
  title: string;
  note: string;
  /** Metric name to the words of the legend. */
  series: [metric: string, label: string][];
  unit: "share" | "number";
  /** Noisy steps: a moving average is drawn over the raw values. */
  smooth?: boolean;
  /** In the fold below the main charts. */
  detail?: boolean;
}

const PRETRAIN: ChartSpec[] = [
  {
    title: "Loss",
    note: "Cross-entropy of the next token, in nats.",
    series: [["loss", "loss"]],
    unit: "number",
    smooth: true,
  },
  {
    title: "Speed",
    note: "Tokens trained on in a second.",
    series: [["tokens-per-second", "tokens/s"]],
    unit: "number",
  },
  {
    title: "Gradient norm",
    note: "Before clipping.",
    series: [["grad/norm", "norm"]],
    unit: "number",
    detail: true,
  },
  { title: "Learning rate", note: "As scheduled.", series: [["rate", "rate"]], unit: "number", detail: true },
  {
    title: "Utilisation",
    note: "Counted FLOPs as a share of this machine's.",
    series: [["mfu", "MFU"]],
    unit: "share",
    detail: true,
  },
];

const GRPO: ChartSpec[] = [
  {
    title: "Reward",
    note: "Mean of a step's samples, by component.",
    series: [
      ["reward/mean", "total"],
      ["reward/accuracy", "right answer"],
      ["reward/format", "format"],
    ],
    unit: "number",
    smooth: true,
  },
  {
    title: "pass@1",
    note: "Share of training samples that were right.",
    series: [["pass1", "pass@1"]],
    unit: "share",
    smooth: true,
  },
  {
    title: "Response length",
    note: "Tokens. Nothing asks for longer thoughts: they grow by themselves where thinking pays.",
    series: [["length/mean", "mean"]],
    unit: "number",
    smooth: true,
  },
  {
    title: "Thought validity",
    note: "Share of the thoughts' equations that are true. If it falls while reward rises, thoughts have become decoration.",
    series: [["validity", "all equations"]],
    unit: "share",
    smooth: true,
  },
  {
    title: "Validity by position",
    note: "The same, by tokens from the start of the thought.",
    series: [],
    unit: "share",
  },
  {
    title: "Entropy",
    note: "Of the next token while sampling, in nats.",
    series: [["entropy", "entropy"]],
    unit: "number",
    smooth: true,
  },
  {
    title: "KL to the base",
    note: "How far the policy has moved away, in nats per token.",
    series: [["kl", "KL"]],
    unit: "number",
    smooth: true,
  },
  {
    title: "What a step can learn from",
    note: "Groups whose samples differ in reward; samples cut off at the limit.",
    series: [
      ["groups/informative", "informative groups"],
      ["truncated", "cut off"],
    ],
    unit: "share",
  },
  {
    title: "Longest response",
    note: "Tokens.",
    series: [["length/max", "longest"]],
    unit: "number",
    detail: true,
  },
  {
    title: "Clipped ratios",
    note: "Share of tokens.",
    series: [
      ["clip/low", "below"],
      ["clip/high", "above"],
    ],
    unit: "share",
    detail: true,
  },
  {
    title: "Gradient norm",
    note: "Before clipping.",
    series: [["grad/norm", "norm"]],
    unit: "number",
    detail: true,
  },
  {
    title: "Sampler against trainer",
    note: "Difference of the log-probabilities of the same tokens.",
    series: [
      ["mismatch/mean", "mean"],
      ["mismatch/max", "largest"],
    ],
    unit: "number",
    detail: true,
  },
  {
    title: "Speed",
    note: "Tokens a second.",
    series: [
      ["tokens/rollout-per-second", "sampling"],
      ["tokens/train-per-second", "training"],
    ],
    unit: "number",
    detail: true,
  },
  {
    title: "Utilisation",
    note: "Counted FLOPs as a share of this machine's.",
    series: [["mfu", "MFU"]],
    unit: "share",
    detail: true,
  },
  { title: "Learning rate", note: "As scheduled.", series: [["rate", "rate"]], unit: "number", detail: true },
  {
    title: "Loss",
    note: "The policy's; its height says little.",
    series: [["loss", "loss"]],
    unit: "number",
    detail: true,
  },
];

/** The charts that a stage has metrics for. */
export function chartsFor(kind: StageInfo["kind"], metrics: string[]): ChartSpec[] {
  const present = new Set(metrics);
  return (kind === "grpo" ? GRPO : PRETRAIN)
    .map((spec) => (spec.title === "Validity by position" ? { ...spec, series: positions(metrics) } : spec))
    .map((spec) => ({ ...spec, series: spec.series.filter(([metric]) => present.has(metric)) }))
    .filter((spec) => spec.series.length > 0);
}

/** `validity/64-127` and its like, from the front of the thought to its end. */
function positions(metrics: string[]): ChartSpec["series"] {
  return metrics
    .map((metric) => /^validity\/(\d+)-(\d+)$/.exec(metric))
    .filter((match) => match !== null)
    .sort((a, b) => Number(a[1]) - Number(b[1]))
    .map((match) => [match[0], `${match[1]}\u2013${match[2]}`]);
}
