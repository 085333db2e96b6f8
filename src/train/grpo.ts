/**
 * Group relative policy optimization (DeepSeekMath, arXiv 2402.03300, algorithm 1; R1, arXiv 2501.12948, section 2), step by
 * step: sample groups, reward them, turn rewards into advantages, and maximise the objective over mini-batches. The
 * objective's parts are in advantages.ts (plain numbers) and grpo-loss.ts (the traced loss).
 *
 * RL leaves the biases that balance a V3's experts as they are and logs the load. V3 moves them while it pretrains and stops
 * before the end (arXiv 2412.19437, section 4.2). They move by no gradient, so the policy would change between sampling and
 * update without any ratio seeing it, towards an even load over one task's problems. NVIDIA's NeMo RL freezes them too
 * (`moe_router_bias_update_rate: 0.0`).
 */
import { sumWork, type Work, workSince } from "../ledger/work.ts";
import { modelOf } from "../models/architectures.ts";
import { type HostValue, scalar } from "../runtime/session.ts";
import { Sampler } from "../sample/sampler.ts";
import { Scorer } from "../sample/scorer.ts";
import type { Task } from "../tasks/problem.ts";
import { advantages, hasSignal } from "./advantages.ts";
import { grpoLoss } from "./grpo-loss.ts";
import { measureLoss, UPDATE_METRICS } from "./grpo-metrics.ts";
import { hasAdvantage, microBatches, type RewardedGroup, trainingBatches } from "./grpo-rows.ts";
import { type LearningState, learningNotices, signalsFrom } from "./learning.ts";
import { Meter } from "./meter.ts";
import { fedTokens, microBatchFeeds, type TrainingRow } from "./microbatch.ts";
import type { GrpoOptions } from "./options.ts";
import { copyParameters, Policy } from "./policy.ts";
import { rewardsOf, type WeightedReward } from "./rewards.ts";
import { groupRecord, rollout, rolloutMetrics, shown } from "./rollout.ts";
import {
  type Model,
  PolicyStage,
  type StageContext,
  type StageSnapshot,
  type StepResult,
  tensorsUnder,
} from "./stage.ts";
import type { Feeds, Rates } from "./step.ts";

/** The state in a snapshot; checkpoints of older versions lack some of it. */
interface State extends Partial<LearningState> {
  done: number;
  /** The next unused problem of the training stream. */
  nextProblem: number;
}

/** What a stage is made of. */
interface Parts {
  model: Model;
  task: Task;
  options: GrpoOptions;
  seed: number;
  rewards: readonly WeightedReward[];
  policy: Policy;
  sampler: Sampler;
  /** Where the reference's log-probabilities are needed, or the trainer's own before it moves. */
  scorer: Scorer | null;
}

export class GrpoStage extends PolicyStage {
  private readonly parts: Parts;
  /** A frozen copy of the policy; `null` without a KL term. */
  private reference: ReadonlyMap<string, HostValue> | null;
  private nextProblem: number;
  private learning: LearningState;

  private constructor(parts: Parts, reference: GrpoStage["reference"], state: Partial<State> = {}) {
    const { done, nextProblem = 0, idleSteps = 0, signals } = state;
    super(parts.policy, parts.options, parts.options.steps, done);
    this.parts = parts;
    this.reference = reference;
    this.nextProblem = nextProblem;
    this.learning = { idleSteps, signals: signalsFrom(signals) };
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
    const parts = { model, task, options, seed, rewards, policy, sampler, scorer };
    return new GrpoStage(parts, reference, resume?.state as State | undefined);
  }

  protected async step(rates: Rates): Promise<StepResult> {
    const { policy } = this;
    const { model, options, scorer } = this.parts;
    const meter = new Meter(UPDATE_METRICS);
    const before = this.work();
    const start = performance.now();
    const { all, kept, rounds } = await this.sample();
    const sampled = performance.now();
    const { generated } = workSince(this.work(), before);
    const scoring = scorer && {
      ...{ scorer, reference: this.reference, policy: policy.parameters() },
      maxPositions: model.config.maxPositions,
    };
    const batches = await trainingBatches(kept, options, scoring, meter);
    const tokens = await this.update(batches, rates, meter);
    // Rollout and update take turns, so each leaves its memory to the other: see `sample`.
    await policy.step.rest();
    const seconds = { rollout: (sampled - start) / 1000, train: (performance.now() - sampled) / 1000 };
    const { referenceEvery, kl } = options;
    const done = this.done + 1;
    if (referenceEvery > 0 && kl > 0 && done % referenceEvery === 0)
      this.reference = copyParameters(policy.parameters());
    const groups = all.map(({ group }) => group);
    const metrics = {
      ...rolloutMetrics(groups),
      ...meter.metrics(),
      "groups/rounds": rounds,
      "seconds/rollout": seconds.rollout,
      "seconds/train": seconds.train,
      "tokens/rollout-per-second": generated / seconds.rollout,
      "tokens/train-per-second": tokens / seconds.train,
    };
    const learned = batches.flat().some(hasAdvantage);
    const last = done === this.totalSteps;
    const { notices, state } = learningNotices(this.learning, { groups, metrics, learned, last }, options);
    this.learning = state;
    return { metrics, groups: shown(all).map((one) => groupRecord(one.group, one.advantages)), notices };
  }

  /**
   * Groups of completions with rewards and advantages: all that were sampled, and those that are trained on. With dynamic
   * sampling (DAPO, 2503.14476, section 3.2) these are the first that carry a signal, and more are drawn until there are
   * enough. Without it every group counts in the denominators: dropping the others would weigh problems by difficulty, which
   * is what Dr. GRPO removes.
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
      const sampling = { seed, split: "train" as const, sampling: options, rewards };
      for (const group of await rollout(current, task, indices, { ...options, ...sampling })) {
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
        tokens += rows.reduce((total, { ids }) => total + ids.length, 0);
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
    return { nextProblem: this.nextProblem, ...this.learning };
  }

  override snapshot(): StageSnapshot {
    const { tensors, state } = super.snapshot();
    for (const [name, value] of this.reference ?? []) tensors.set(`reference.${name}`, value);
    return { tensors, state };
  }

  override async release(): Promise<void> {
    const { sampler, scorer } = this.parts;
    await super.release();
    await sampler.release();
    await scorer?.release();
  }
}
