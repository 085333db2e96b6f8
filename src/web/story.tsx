/** The run's stages, and its evaluations before and after RL. */
import { bracket, gainBetween } from "../eval/compare.ts";
import type { EvaluationRecord, StageInfo } from "../events.ts";
import { run } from "./feed.ts";
import { decimal, percent, signed } from "./format.ts";

const KINDS: Record<StageInfo["kind"], string> = {
  pretrain: "Pretraining",
  sft: "Fine-tuning",
  grpo: "Reinforcement learning",
  sample: "Rejection sampling",
  distill: "On-policy distillation",
  merge: "Average of weights",
  evaluate: "Evaluation",
};

/** A run is an R1-Zero if no fine-tuning on a teacher's completions comes between the base and RL. */
const ZERO = " The base learns to compute; reinforcement learning alone then teaches it to search.";

export function stageTitle(stage: StageInfo): string {
  return KINDS[stage.kind];
}

export function Story() {
  const { run: info, evaluations } = run.value;
  const compared = bracket(evaluations);
  const isZero =
    info!.stages.some(({ kind }) => kind === "grpo") &&
    !info!.stages.some(({ kind }) => kind === "sft" || kind === "distill");
  return (
    <section aria-labelledby="story-title">
      <h2 id="story-title">The run</h2>
      <p class="lead">
        {large(info!.parameters)} parameters, seed {info!.seed}.{isZero && ZERO}
      </p>
      <ol class="rail">
        {info!.stages.map((stage, index) => (
          <Stage key={index} stage={stage} index={index} />
        ))}
      </ol>
      {evaluations.length > 0 && (
        <div class="evaluations">
          {evaluations.map((evaluation) => (
            <Evaluation key={`${evaluation.label} ${evaluation.task}`} evaluation={evaluation} />
          ))}
          {compared !== null && <Gain first={compared[0]} last={compared[1]} />}
        </div>
      )}
    </section>
  );
}

/** A change whose interval contains 0 is called neither better nor worse. */
function Gain({ first, last }: { first: EvaluationRecord; last: EvaluationRecord }) {
  const { mean, interval, significant, how } = gainBetween(first, last);
  const [low, high] = interval;
  return (
    <p class={!significant ? "gain level" : mean < 0 ? "gain fell" : "gain"}>
      <strong>{signed(mean * 100, 1)}</strong> points from {first.label} to {last.label}{" "}
      <span class="detail">
        95 % interval {signed(low * 100, 1)} to {signed(high * 100, 1)}, {how}
        {!significant && ": inside the noise"}
      </span>
    </p>
  );
}

function large(count: number): string {
  return count >= 1e6 ? `${decimal(count / 1e6)} M` : count.toLocaleString("en");
}

function Stage({ stage, index }: { stage: StageInfo; index: number }) {
  const { stageIndex, progress, evaluations, outcome, run: info } = run.value;
  const at = stageIndex ?? -1;
  const finished = index < at || outcome?.type === "done";
  const state = finished ? "past" : index === at ? "present" : "future";
  const share = finished
    ? 1
    : index === at && progress
      ? progress.step / Math.max(progress.totalSteps, 1)
      : 0;
  // Evaluations come in the order of their stages.
  const place = info!.stages.slice(0, index).filter((other) => other.kind === "evaluate").length;
  const evaluation = stage.kind === "evaluate" ? evaluations[place] : undefined;
  const steps = stage.kind === "evaluate" ? "" : `${stage.totalSteps.toLocaleString("en")} steps`;
  return (
    <li class={state} aria-current={state === "present" ? "step" : undefined}>
      <span class="track">
        <span style={{ width: `${share * 100}%` }} />
      </span>
      <strong>{stageTitle(stage)}</strong>
      <span class="detail">
        {stage.name}
        {evaluation ? `: ${percent(evaluation.passAt1)}` : steps && `, ${steps}`}
      </span>
      <span class="hidden">{state === "past" ? "done" : state === "present" ? "under way" : "to come"}</span>
    </li>
  );
}

/** A point with its 95 % interval on a scale from 0 to 100 %. */
function Evaluation({ evaluation }: { evaluation: EvaluationRecord }) {
  const { label, passAt1, interval, problems, temperature, meanTokens, truncated, counts } = evaluation;
  const { stepName, thoughtValidity } = evaluation;
  const [low, high] = interval;
  const curve = (evaluation.passAtK ?? []).filter(({ k }) => k > 1);
  const range = (of: readonly [number, number]): string => `${percent(of[0])} to ${percent(of[1])}`;
  return (
    <div class="evaluation">
      <div class="evaluation-head">
        <span>{label}</span>
        <strong>{percent(passAt1)}</strong>
        <span class="detail">95 % interval {range(interval)}</span>
      </div>
      <div class="scale" aria-hidden="true">
        <span
          class="interval"
          style={{ left: `${low * 100}%`, width: `${Math.max(high - low, 0.003) * 100}%` }}
        />
        <span class="point" style={{ left: `${passAt1 * 100}%` }} />
      </div>
      <p class="detail">
        pass@1 on {problems.toLocaleString("en")} held-out problems at temperature {temperature};{" "}
        {decimal(meanTokens)} tokens on average
        {thoughtValidity !== null && `; ${percent(thoughtValidity)} of the ${stepName} in its thoughts true`}
        {counts !== undefined &&
          counts.unscored > 0 &&
          `; ${counts.unscored} completions without a score left out`}
        {truncated > 0 && `; ${percent(truncated)} cut off`}
        {curve.map(({ k, value, interval: of }) => `; pass@${k} ${percent(value)} (${range(of)})`)}
      </p>
    </div>
  );
}
