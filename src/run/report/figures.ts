/** A run's charts: the metrics that each of them shows. */
import type { EvaluationRecord, StageInfo } from "../../events.ts";
import type { MetricsLine } from "../folder.ts";
import type { RunData } from "../reader.ts";
import { type Chart, lineChart, type Series } from "./svg.ts";

export interface Figure {
  /** File name within figures/. */
  file: string;
  title: string;
  svg: string;
}

interface Plan {
  key: string;
  title: string;
  yLabel: string;
  percent?: boolean;
  /** Metric name -> what the legend calls it. */
  metrics: Record<string, string>;
}

/** @param steps what the task calls the steps of a thought */
const grpoPlans = (steps: string): Plan[] => [
  {
    key: "reward",
    title: "Reward",
    yLabel: "mean reward of a completion",
    // The parts add up to the total.
    metrics: {
      ...{ "reward/mean": "total", "reward/accuracy": "accuracy", "reward/format": "format" },
      ...{ "reward/validity": `true ${steps}`, "reward/overlong": "length penalty" },
      "reward/length": "length",
    },
  },
  {
    key: "pass1",
    title: "Right answers while training",
    yLabel: "pass@1, training problems",
    percent: true,
    metrics: { "pass@1": "pass@1" },
  },
  {
    key: "length",
    title: "Length of the completions",
    yLabel: "tokens",
    metrics: {
      "length/mean": "mean",
      "length/mean-finished": "mean of those not cut off",
      "length/max": "longest",
    },
  },
  {
    key: "validity",
    title: "Truth of the thoughts",
    yLabel: `true ${steps}`,
    percent: true,
    metrics: { validity: `share of ${steps} that are true` },
  },
  { key: "entropy", title: "Entropy", yLabel: "nats per token", metrics: { entropy: "entropy" } },
  {
    key: "kl",
    title: "Distance from the reference policy",
    yLabel: "KL, nats per token",
    metrics: { kl: "KL (k3)" },
  },
  {
    key: "turns",
    title: "Turns",
    yLabel: "completions of a conversation",
    metrics: { "turns/mean": "mean" },
  },
  {
    key: "difficulty",
    title: "Difficulty of the problems",
    yLabel: "level",
    metrics: { "difficulty/level": "level" },
  },
  {
    key: "signal",
    title: "Groups that teach, completions cut off",
    yLabel: "share",
    percent: true,
    metrics: { "groups/signal": "groups with a signal", truncated: "truncated completions" },
  },
];

const languageModellingPlans: Plan[] = [
  { key: "loss", title: "Loss", yLabel: "nats per token", metrics: { loss: "loss" } },
];

/** The load of each routed layer, where there are any. */
function expertPlan(lines: MetricsLine[]): Plan {
  const names = new Set(lines.flatMap(({ metrics }) => Object.keys(metrics)));
  const layers = [...names].flatMap((name) => {
    const layer = /^experts\/(\d+)\/max-load$/.exec(name)?.[1];
    return layer === undefined ? [] : [[name, `layer ${layer}`]];
  });
  return {
    key: "experts",
    title: "Load of experts",
    yLabel: "fullest expert's tokens over the mean",
    metrics: Object.fromEntries(layers),
  };
}

/** Of a distillation: each teacher's divergence, and the right answers on each task. */
function teacherPlans(lines: MetricsLine[]): Plan[] {
  const names = [...new Set(lines.flatMap(({ metrics }) => Object.keys(metrics)))];
  const under = (prefix: string): Plan["metrics"] =>
    Object.fromEntries(
      names.flatMap((name) => (name.startsWith(prefix) ? [[name, name.slice(prefix.length)]] : [])),
    );
  return [
    {
      key: "teachers",
      title: "Distance from the teachers",
      yLabel: "KL, nats per token",
      metrics: under("kl/"),
    },
    {
      ...{ key: "pass1-by-task", title: "Right answers by task", yLabel: "pass@1, training problems" },
      ...{ percent: true, metrics: under("pass@1/") },
    },
  ];
}

/** Charts of one training stage; those without a value are left out. */
export function stageFigures(stage: StageInfo, lines: MetricsLine[]): Figure[] {
  if (stage.kind === "evaluate") return [];
  const asks = stage.kind === "grpo" || stage.kind === "sample" || stage.kind === "distill";
  const plans = asks ? grpoPlans(stage.stepName ?? "steps") : languageModellingPlans;
  const taught = stage.kind === "distill" ? teacherPlans(lines) : [];
  return [...taught, ...plans, expertPlan(lines)].flatMap((plan) => {
    const series: Series[] = Object.entries(plan.metrics).map(([metric, name]) => ({
      name,
      points: lines.map((line) => [line.step, line.metrics[metric] ?? null] as const),
    }));
    const { percent = false, yLabel } = plan;
    const title = `${plan.title} (${stage.name})`;
    return figure(`${stage.name}-${plan.key}.svg`, { title, xLabel: "step", yLabel, series, percent });
  });
}

/** What the evaluations' tasks call their steps. */
export const stepNames = (evaluations: readonly EvaluationRecord[]): string =>
  [...new Set(evaluations.flatMap(({ stepName }) => stepName ?? []))].join(", ") || "steps";

/** Share of true steps by position, one line per evaluation. */
export function validityFigure(run: RunData): Figure[] {
  const series = run.evaluations.map((evaluation: EvaluationRecord) => ({
    name: evaluation.label,
    points: evaluation.validityByPosition.map(
      ({ from, to, share, steps }) => [(from + to) / 2, steps === 0 ? null : share] as const,
    ),
  }));
  return figure("validity-by-position.svg", {
    title: "Truth of the thoughts by position",
    xLabel: "tokens from the start of the completion",
    yLabel: `true ${stepNames(run.evaluations)}`,
    series,
    percent: true,
    dots: true,
  });
}

/** pass@k by k, one line per evaluation that has several completions to a problem. */
export function passFigure(run: RunData): Figure[] {
  const series = run.evaluations.flatMap(({ label, passAtK = [] }: EvaluationRecord) =>
    passAtK.length < 2 ? [] : [{ name: label, points: passAtK.map(({ k, value }) => [k, value] as const) }],
  );
  return figure("pass-at-k.svg", {
    title: "pass@k",
    xLabel: "completions to a problem",
    yLabel: "problems solved by one of k",
    series,
    percent: true,
    dots: true,
  });
}

/** pass@1 by the mean length of a completion: a point per evaluation at an effort. */
export function effortFigure(run: RunData): Figure[] {
  const asked = run.evaluations.filter(({ effort }) => effort !== undefined);
  const points = asked
    .map(({ meanTokens, passAt1 }) => [meanTokens, passAt1] as const)
    .sort(([a], [b]) => a - b);
  return figure("effort.svg", {
    title: "Right answers by thinking effort",
    xLabel: "tokens of a completion in the mean",
    yLabel: "pass@1",
    series: points.length < 2 ? [] : [{ name: "efforts", points }],
    percent: true,
    dots: true,
  });
}

function figure(file: string, chart: Chart): Figure[] {
  const svg = lineChart(chart);
  return svg === null ? [] : [{ file, title: chart.title, svg }];
}
