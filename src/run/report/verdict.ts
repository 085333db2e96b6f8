/** What a run may honestly claim: which stages finished, what was learned, and what was not. */
import { gainBetween } from "../../eval/compare.ts";
import type { EvaluationRecord } from "../../events.ts";
import type { GrpoStage, Stage } from "../../recipe/schema.ts";
import { CUT_LIMIT, FEW_SIGNALS, signalRemedy } from "../../train/learning.ts";
import type { MetricsLine } from "../folder.ts";
import type { RunData } from "../reader.ts";

/** One sentence per stage that has something to admit; empty for a clean stage. */
export function stageVerdict(stage: Stage, run: RunData): string[] {
  const lines = run.metrics.filter((line) => line.stage === stage.name);
  if (stage.kind === "evaluate") {
    const done = run.evaluations.some((evaluation) => evaluation.label === stage.label);
    return done ? [] : [`The evaluation "${stage.name}" was not done.`];
  }
  const last = lines.at(-1);
  if (last === undefined) return [`The stage "${stage.name}" did not start.`];
  const sentences: string[] = [];
  if (last.step < last.totalSteps) {
    sentences.push(
      `The stage "${stage.name}" did not finish: it stopped at step ${last.step} of ${last.totalSteps}.`,
    );
  }
  if (stage.kind === "sample") {
    const rows = last.metrics.rows ?? 0;
    if (rows === 0) sentences.push(`The stage "${stage.name}" kept no completion.`);
    return sentences;
  }
  if (stage.kind === "merge") return sentences;
  // An RL step in which no group carried a signal makes no update, and so has no loss.
  const unknown = lines
    .filter(({ metrics }) => metrics.loss === null && metrics["groups/signal"] !== 0)
    .filter(({ metrics }) => stage.kind === "grpo" || metrics["grad/norm"] !== null);
  if (unknown.length > 0) {
    sentences.push(`In "${stage.name}" the loss was not a number at ${stepList(unknown)}.`);
  }
  const untrained = lines.filter(
    ({ metrics }) => stage.kind !== "grpo" && metrics.loss === null && metrics["grad/norm"] === null,
  );
  if (untrained.length > 0) {
    sentences.push(`"${stage.name}" trained no token, and made no update, at ${stepList(untrained)}.`);
  }
  if (!lines.some((line) => (line.metrics["grad/norm"] ?? 0) > 0)) {
    sentences.push(
      `The stage "${stage.name}" trained nothing: no update was non-zero, so the weights are those from before it.${cause(lines)}`,
    );
  }
  if (stage.kind === "grpo") sentences.push(...signalVerdict(stage, lines));
  return sentences;
}

const average = (lines: MetricsLine[], key: string): number | null => {
  const values = lines.flatMap((line) => line.metrics[key] ?? []);
  return values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;
};

/** That most of what was sampled taught nothing, with the remedy. */
function signalVerdict({ name, groupSize, dynamicSampling }: GrpoStage, lines: MetricsLine[]): string[] {
  const share = average(lines, "groups/signal");
  if (share === null || share === 0 || share >= FEW_SIGNALS) return [];
  const [pass1, cut] = [average(lines, "pass@1") ?? 0, average(lines, "truncated") ?? 0];
  const remedy = signalRemedy(pass1, groupSize, cut, dynamicSampling !== undefined);
  return [
    `In "${name}" only ${percent(share)} of the groups carried a signal: in the others all rewards were equal, and they taught nothing; ${remedy}.`,
  ];
}

/** Why groups carried no signal, with the remedy. */
function cause(lines: MetricsLine[]): string {
  const truncated = average(lines, "truncated");
  const withSignal = average(lines, "groups/signal");
  if (truncated !== null && truncated > CUT_LIMIT) {
    return ` ${percent(truncated)} of the completions were cut off before they ended: raise maxNewTokens, or begin with a model whose completions are shorter.`;
  }
  if (withSignal === 0) {
    return " In every group all completions had the same reward: use easier problems, a better base, larger groups or a higher temperature.";
  }
  return "";
}

function stepList(list: MetricsLine[]): string {
  const shown = list
    .slice(0, 5)
    .map(({ step }) => step)
    .join(", ");
  return `step ${shown}${list.length > 5 ? ` and ${list.length - 5} more` : ""}`;
}

/**
 * What training changed, in a sentence that knows the noise: problem by problem where both evaluations kept their
 * tallies, and else as two independent ones, which the sentence says.
 */
export function gainVerdict(before: EvaluationRecord, after: EvaluationRecord): string {
  const { mean, interval, significant, how, problemsNeeded } = gainBetween(before, after);
  const points = (value: number): string => (100 * value).toFixed(1);
  const change = `from ${percent(before.passAt1)} to ${percent(after.passAt1)} (${mean < 0 ? "" : "+"}${points(mean)} points, 95 % interval ${points(interval[0])} to ${points(interval[1])}, ${how})`;
  const comparable =
    before.task === after.task && before.temperature === after.temperature
      ? ""
      : " The two evaluations differ in task or temperature, so this compares more than the training.";
  if (!significant) {
    const more =
      problemsNeeded === null || problemsNeeded <= after.problems
        ? ""
        : ` About ${problemsNeeded.toLocaleString("en-US")} problems would settle a difference of this size.`;
    return `Nothing was learned that this evaluation can show: pass@1 went ${change}, which is inside the noise.${more}${comparable}`;
  }
  return mean > 0
    ? `pass@1 on held-out problems rose ${change}.${comparable}`
    : `The training did harm: pass@1 on held-out problems fell ${change}.${comparable}`;
}

export const percent = (share: number | null, digits = 1): string =>
  share === null ? "unknown" : `${(100 * share).toFixed(digits)} %`;
