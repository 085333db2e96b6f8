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
import { modelOf } from "../models/architectures.ts";
import { scalar, type Value } from "../runtime/value.ts";
import { Sampler } from "../sample/sampler.ts";
import { Scorer } from "../sample/scorer.ts";
import { firstLevel, movedLevel } from "../tasks/curriculum.ts";
import type { Task } from "../tasks/problem.ts";
import { advantages, hasSignal } from "./advantages.ts";
import { grpoLoss } from "./grpo-loss.ts";
import { measureLoss, trainedTokens, UPDATE_METRICS } from "./grpo-metrics.ts";
import { hasAdvantage, type RewardedGroup, type Scoring, trainingBatches } from "./grpo-rows.ts";
import { type LearningState, learningNotices, signalsFrom } from "./learning.ts";
import { Meter } from "./meter.ts";
import { fedTokens, microBatches, microBatchFeeds, type TrainingRow } from "./microbatch.ts";
import type { GrpoOptions } from "./options.ts";
import { copyParameters, Policy } from "./policy.ts";
import { rewardsOf, type WeightedReward } from "./rewards.ts";
import { type Group, groupRecord, rollout, rolloutMetrics, shown } from "./rollout.ts";
import { type Model, type StageContext, type StageSnapshot, type StepResult, tensorsUnder } from "./stage.ts";
import type { Feeds, Rates } from "./step.ts";
import { TrainingStage } from "./training-stage.ts";
import { noneUnscored } from "./unscored.ts";

/** The state in a snapshot; checkpoints of older versions lack some of it. */
interface State extends Partial<LearningState> {
  done: number;
  /** The next unused problem of the training stream. */
  nextProblem: number;
  /** Of the next problems; absent without a curriculum. */
  level?: number;
}

/** What a stage is made of. */
interface Parts {
  model: Model;
  task: Task;
  options: GrpoOptions;
  seed: number;
  rewards: readonly WeightedReward[];
  sampler: Sampler;
  /** Where the reference's log-probabilities are needed, or the trainer's own before it moves. */
  scorer: Scorer | null;
}

/** GRPO on a task: each step samples groups, rewards them and updates the policy. */
export class GrpoStage extends TrainingStage {
  private readonly parts: Parts;
  /** A frozen copy of the policy; `null` without a KL term. */
  private reference: ReadonlyMap<string, Value> | null;
  private nextProblem: number;
  private level: number | undefined;
  private learning: LearningState;

  private constructor(
    policy: Policy,
    parts: Parts,
    reference: GrpoStage["reference"],
    { done, nextProblem = 0, level, idleSteps = 0, signals, unscored = noneUnscored() }: Partial<State> = {},
  ) {
    super(policy, parts.options, parts.options.steps, done);
    this.parts = parts;
    this.reference = reference;
    this.nextProblem = nextProblem;
    const { curriculum } = parts.task;
    this.level = curriculum && (level ?? firstLevel(curriculum));
    this.learning = { idleSteps, signals: signalsFrom(signals), unscored };
  }

  /** @throws UserError for a reward that the task does not have */
  static async create(
    model: Model,
    task: Task,
    options: GrpoOptions,
    context: StageContext,
    resume?: StageSnapshot,
  ): Promise<GrpoStage> {
    const { ratio, clip, kl, recompute, optimizer, lora } = options;
    const { seed, engine } = context;
    const rewards = rewardsOf(options, task);
    const start = resume ? tensorsUnder(resume.tensors, "reference.") : null;
    const reference = kl === 0 ? null : (start ?? copyParameters(model.parameters));
    const mask = options.sharedPrefix ? "each" : "shared";
    const trained = {
      specs: modelOf(model.config).parameters,
      loss: grpoLoss(model.config, { ratio, clip, kl, recompute, mask }),
    };
    const policy = await Policy.create(
      trained,
      model.parameters,
      { ...context, optimizer, lora, accumulate: true },
      resume,
    );
    const sampler = await Sampler.create(model.config, engine);
    const scored = kl > 0 || options.importance !== undefined;
    const scorer = scored ? await Scorer.create(model.config, engine, { mask }) : null;
    const parts = { model, task, options, seed, rewards, sampler, scorer };
    return new GrpoStage(policy, parts, reference, resume?.state as State | undefined);
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
    if (this.reference !== null && options.referenceEvery > 0 && done % options.referenceEvery === 0)
      this.reference = copyParameters(this.parameters());

    const groups = all.map(({ group }) => group);
    const metrics = {
      ...rolloutMetrics(groups),
      ...meter.metrics(),
      "groups/rounds": rounds,
      ...(this.level !== undefined && { "difficulty/level": this.level }),
      "seconds/rollout": seconds.rollout,
      "seconds/train": seconds.train,
      "tokens/rollout-per-second": generated / seconds.rollout,
      "tokens/train-per-second": tokens / seconds.train,
    };
    const learned = batches.flat().some(hasAdvantage);
    const last = done === this.totalSteps;
    const { notices, state } = learningNotices(this.learning, { groups, metrics, learned, last }, options);
    this.learning = state;
    this.moveLevel(groups);
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
      const indices = Array.from({ length: problemsPerStep }, () => this.nextProblem++);
      const settings = { ...options, seed, rewards, sampling: options, level: this.level };
      for (const group of await rollout(current, task, indices, settings)) {
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

  private moveLevel(groups: readonly Group[]): void {
    const { curriculum } = this.parts.task;
    if (curriculum === undefined || this.level === undefined) return;
    const values = groups.flatMap(({ samples }) => samples.map(({ verdict }) => verdict.value));
    this.level = movedLevel(curriculum, this.level, values);
  }

  /** Whose log-probabilities the rows need beside the sampler's. */
  private scoring(): Scoring | null {
    const { model, scorer } = this.parts;
    if (scorer === null) return null;
    const { maxPositions } = model.config;
    return { scorer, reference: this.reference, policy: this.parameters(), maxPositions };
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
    return { nextProblem: this.nextProblem, level: this.level, ...this.learning };
  }

  /** With the reference policy, where there is a KL term. */
  override snapshot(): StageSnapshot {
    const { tensors, state } = super.snapshot();
    for (const [name, value] of this.reference ?? []) tensors.set(`reference.${name}`, value);
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
