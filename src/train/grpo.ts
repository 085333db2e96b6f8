/**
 * Group relative policy optimization (DeepSeekMath, arXiv 2402.03300, algorithm 1; R1, arXiv 2501.12948, section 2): sample
 * groups, reward them, turn rewards into advantages, and maximise the objective over mini-batches. The parts of the
 * objective are in advantages.ts (plain numbers) and grpo-loss.ts (the traced loss).
 *
 * RL does not move the biases that balance the experts of a DeepSeek-V3, and logs the load. V3 moves them during pretraining
 * and stops before its end (arXiv 2412.19437, section 4.2). No gradient moves them: the policy would change between sampling
 * and update, and no ratio would show it. NVIDIA's NeMo RL freezes them too (`moe_router_bias_update_rate: 0.0`).
 */
import { sumWork, type Work, workSince } from "../ledger/work.ts";
import { scalar } from "../runtime/value.ts";
import type { Task } from "../tasks/problem.ts";
import { advantages, hasSignal } from "./advantages.ts";
import { measureLoss, stepMetrics, trainedTokens, UPDATE_METRICS } from "./grpo-metrics.ts";
import { createParts, type GrpoParts, REFERENCE } from "./grpo-parts.ts";
import { Progress, type ProgressState } from "./grpo-progress.ts";
import { hasAdvantage, type RewardedGroup, type Scoring, trainingBatches } from "./grpo-rows.ts";
import { learningNotices } from "./learning.ts";
import { Meter } from "./meter.ts";
import { fedTokens, microBatches, microBatchFeeds, type TrainingRow } from "./microbatch.ts";
import type { GrpoOptions } from "./options.ts";
import { copyParameters } from "./policy.ts";
import { groupRecord, rollout, shown } from "./rollout.ts";
import type { Model, StageContext, StageSnapshot, StepResult } from "./stage.ts";
import type { Feeds, Rates } from "./step.ts";
import { TrainingStage } from "./training-stage.ts";

/** GRPO on a task: each step samples groups, rewards them and updates the policy. */
export class GrpoStage extends TrainingStage {
  private readonly parts: GrpoParts;
  private readonly progress: Progress;

  private constructor(parts: GrpoParts, { done, ...state }: Partial<ProgressState & { done: number }> = {}) {
    super(parts.policy, parts.options, parts.options.steps, done);
    this.parts = parts;
    this.progress = new Progress(parts.task, state);
  }

  /** @throws UserError for a reward that the task does not have */
  static async create(
    model: Model,
    task: Task,
    options: GrpoOptions,
    context: StageContext,
    resume?: StageSnapshot,
  ): Promise<GrpoStage> {
    const parts = await createParts(model, task, options, context, resume);
    return new GrpoStage(parts, resume?.state as (ProgressState & { done: number }) | undefined);
  }

  /** The body of algorithm 1's inner loop: lines 5 to 9 in `sample`, 10 and 11 in `update`, and line 3 where it is due. */
  protected async step(rates: Rates): Promise<StepResult> {
    const { options } = this.parts;
    const meter = new Meter(UPDATE_METRICS);
    const before = this.work();
    const start = performance.now();
    const { all, kept, rounds } = await this.sample();
    const sampled = performance.now();
    const { generated } = workSince(this.work(), before);
    const batches = await trainingBatches(kept, options, this.scoring(), meter);
    const tokens = await this.update(batches, rates, meter);
    // Rollout and update take turns, so each frees its memory for the other: see `sample`.
    await this.policy.step.rest();
    const seconds = { rollout: (sampled - start) / 1000, train: (performance.now() - sampled) / 1000 };
    const done = this.done + 1;
    if (this.parts.reference !== null && options.referenceEvery > 0 && done % options.referenceEvery === 0)
      this.parts.reference = copyParameters(this.parameters());

    const groups = all.map(({ group }) => group);
    const { level, learning } = this.progress;
    const metrics = stepMetrics(groups, meter, { rounds, level, seconds, generated, trained: tokens });
    const learned = batches.flat().some(hasAdvantage);
    const last = done === this.totalSteps;
    const { notices, state } = learningNotices(learning, { groups, learned, last }, options);
    this.progress.learning = state;
    this.progress.moveLevel(groups);
    return { metrics, groups: shown(all).map((one) => groupRecord(one.group, one.advantages)), notices };
  }

  /**
   * Groups of completions with rewards and advantages: all that were sampled, and those that are trained on. With dynamic
   * sampling (DAPO, 2503.14476, section 3.2) these are the first that carry a signal, and more are drawn until there are
   * enough. Without it every group counts in the denominators: without the others, problems would be weighed by difficulty,
   * which Dr. GRPO removes.
   */
  private async sample(): Promise<{ all: RewardedGroup[]; kept: RewardedGroup[]; rounds: number }> {
    const { model, task, options, seed, rewards, sampler } = this.parts;
    const { problemsPerStep, dynamicSampling } = options;
    const current = { ...model, generate: sampler.with(this.parameters()) };
    const all: RewardedGroup[] = [];
    let kept: RewardedGroup[] = [];
    let rounds = 0;
    while (rounds <= (dynamicSampling?.maxRounds ?? 0) && kept.length < problemsPerStep) {
      rounds++;
      const settings = { ...options, seed, rewards, sampling: options, level: this.progress.level };
      for (const group of await rollout(current, task, this.progress.draw(problemsPerStep), settings)) {
        const scores = group.samples.map(({ reward }) => reward);
        const rewarded = { group, advantages: advantages[options.advantage](scores) };
        all.push(rewarded);
        if (hasSignal(scores)) kept.push(rewarded);
      }
    }
    if (dynamicSampling === undefined) kept = [...all];
    sampler.forget();
    return { all, kept: kept.slice(0, problemsPerStep), rounds };
  }

  /** Whose log-probabilities the rows need beside the sampler's. */
  private scoring(): Scoring | null {
    const { model, scorer, reference } = this.parts;
    if (scorer === null) return null;
    const { maxPositions } = model.config;
    return { scorer, reference, policy: this.parameters(), maxPositions };
  }

  /** Epochs over the mini-batches, one update each. @returns the completion tokens that were trained */
  private async update(batches: readonly TrainingRow[][], rates: Rates, meter: Meter): Promise<number> {
    const { policy } = this;
    const { options } = this.parts;
    let [updates, tokens] = [0, 0];
    for (let epoch = 0; epoch < options.epochs; epoch++)
      for (const batch of batches) {
        // Without a KL term a row without advantage has no gradient: it counts in the weights and is not computed.
        const rows = options.kl > 0 ? batch : batch.filter(hasAdvantage);
        if (rows.length === 0) continue;
        const { norm, measured } = await policy.step.update(this.feeds(rows), rates);
        meter.mean("grad/norm", norm);
        // Later batches see a policy that has moved: only the first update shows how sampler and trainer differ.
        measureLoss(meter, measured, rows, { withKl: options.kl > 0, compare: updates === 0 });
        updates++;
        tokens += trainedTokens(rows);
      }
    if (updates > 0) await policy.merge();
    return tokens;
  }

  private *feeds(rows: readonly TrainingRow[]): Generator<Feeds> {
    const { options, model } = this.parts;
    const inverseTemperature = scalar(1 / options.temperature);
    for (const micro of microBatches(rows, options, model.config.maxPositions)) {
      yield { ...microBatchFeeds(micro), inverseTemperature };
      this.trained += fedTokens(micro);
    }
  }

  override work(): Work {
    const { sampler, scorer } = this.parts;
    return sumWork(super.work(), sampler.work, scorer?.work ?? {});
  }

  protected state(): object {
    return this.progress.state();
  }

  /** With the reference policy, where there is a KL term. */
  override snapshot(): StageSnapshot {
    const { tensors, state } = super.snapshot();
    for (const [name, value] of this.parts.reference ?? []) tensors.set(`${REFERENCE}${name}`, value);
    return { tensors, state };
  }

  /** With the sampler and the scorer. */
  override async release(): Promise<void> {
    const { sampler, scorer } = this.parts;
    await super.release();
    await sampler.release();
    await scorer?.release();
  }
}
