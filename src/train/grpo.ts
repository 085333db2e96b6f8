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
import type { Metrics } from "../events.ts";
import { sumWork, type Work, workSince } from "../ledger/work.ts";
import { modelOf } from "../models/architectures.ts";
import { allocateLike, copyBlocks, type HostValue, scalar } from "../runtime/session.ts";
import { Sampler } from "../sample/sampler.ts";
import { Scorer } from "../sample/scorer.ts";
import type { Task } from "../tasks/problem.ts";
import { advantages, hasSignal } from "./advantages.ts";
import { grpoLoss } from "./grpo-loss.ts";
import { measureLoss, UPDATE_METRICS } from "./grpo-metrics.ts";
import {
  hasAdvantage,
  microBatches,
  type RewardedGroup,
  type Scoring,
  trainingBatches,
} from "./grpo-rows.ts";
import { countSignals, fewSignals, noSignals, type Signals, whyNothingWasLearned } from "./learning.ts";
import { Meter } from "./meter.ts";
import { fedTokens, microBatchFeeds, type TrainingRow } from "./microbatch.ts";
import { learningRates } from "./optimizer.ts";
import type { GrpoOptions } from "./options.ts";
import { Policy } from "./policy.ts";
import { rewardsOf, type WeightedReward } from "./rewards.ts";
import { type Group, groupRecord, rollout, rolloutMetrics } from "./rollout.ts";
import { lrFactor } from "./schedule.ts";
import {
  type Model,
  type StageContext,
  type StageSnapshot,
  type StepReport,
  type TrainedAdapter,
  type TrainingStage,
  tensorsUnder,
} from "./stage.ts";
import type { Feeds } from "./step.ts";

/** Groups kept for the page and the journal. */
const SHOWN_GROUPS = 2;

interface State {
  done: number;
  /** The next unused problem of the training stream. */
  nextProblem: number;
  /** Steps in a row in which nothing could be learned. */
  idleSteps: number;
  /** Updates made by the optimizer. */
  updates: number;
  /** Groups since the last notice about them; absent in checkpoints of older versions. */
  signals?: Signals;
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

export class GrpoStage implements TrainingStage {
  readonly totalSteps: number;
  private readonly parts: Parts;
  /** A frozen copy of the policy; `null` without a KL term. */
  private reference: ReadonlyMap<string, HostValue> | null;
  private state: Required<Omit<State, "updates">>;
  /** Tokens of the rows that were trained. */
  private trained = 0;

  private constructor(parts: Parts, reference: GrpoStage["reference"], state: Partial<State> = {}) {
    this.totalSteps = parts.options.steps;
    this.parts = parts;
    this.reference = reference;
    const { done = 0, nextProblem = 0, idleSteps = 0, signals = noSignals() } = state;
    this.state = { done, nextProblem, idleSteps, signals };
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
    const state = resume?.state as State | undefined;
    const rewards = rewardsOf(options, task);
    const start = resume ? tensorsUnder(resume.tensors, "reference.") : null;
    const reference = kl === 0 ? null : (start ?? copy(model.parameters));
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
    return new GrpoStage(parts, reference, state);
  }

  get done(): number {
    return this.state.done;
  }

  async advance(): Promise<StepReport> {
    const { options, policy } = this.parts;
    const meter = new Meter(UPDATE_METRICS);
    const before = this.work();
    const start = performance.now();
    const { all, kept, rounds } = await this.sample();
    const sampled = performance.now();
    const { generated } = workSince(this.work(), before);
    const batches = await trainingBatches(kept, options, this.scoring(), meter);
    const factor = lrFactor(options.schedule, this.done, this.totalSteps);
    const tokens = await this.update(batches, factor, meter);
    // Rollout and update take turns, so each leaves its memory to the other: see `sample`.
    await policy.step.rest();
    const seconds = { rollout: (sampled - start) / 1000, train: (performance.now() - sampled) / 1000 };
    const work = workSince(this.work(), before);
    const groups = all.map(({ group }) => group);
    const metrics: Metrics = {
      ...rolloutMetrics(groups),
      ...meter.metrics(),
      "groups/rounds": rounds,
      lr: factor * options.optimizer.lr,
      "seconds/rollout": seconds.rollout,
      "seconds/train": seconds.train,
      "tokens/rollout-per-second": generated / seconds.rollout,
      "tokens/train-per-second": tokens / seconds.train,
      "flops-per-second": work.flops / (seconds.rollout + seconds.train),
    };
    const notices = this.finish(groups, metrics, batches.flat().some(hasAdvantage));
    return {
      metrics,
      groups: shown(all).map(({ group, advantages: own }) => groupRecord(group, own)),
      notices,
      ...work,
    };
  }

  /**
   * Groups of completions with rewards and advantages: all that were sampled, and those that are trained on. With dynamic
   * sampling (DAPO, 2503.14476, section 3.2) these are the first that carry a signal, and more are drawn until there are
   * enough. Without it every group counts in the denominators: dropping the others would weigh problems by difficulty, which
   * is what Dr. GRPO removes.
   */
  private async sample(): Promise<{ all: RewardedGroup[]; kept: RewardedGroup[]; rounds: number }> {
    const { model, task, options, seed, rewards, policy, sampler } = this.parts;
    const { problemsPerStep, dynamicSampling } = options;
    const current = { ...model, generate: sampler.with(policy.parameters()) };
    const all: RewardedGroup[] = [];
    let kept: RewardedGroup[] = [];
    let rounds = 0;
    while (rounds <= (dynamicSampling?.maxRounds ?? 0) && kept.length < problemsPerStep) {
      rounds++;
      const first = this.state.nextProblem;
      this.state.nextProblem += problemsPerStep;
      const indices = Array.from({ length: problemsPerStep }, (_, i) => first + i);
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

  private scoring(): Scoring | null {
    const { scorer, policy, model } = this.parts;
    if (scorer === null) return null;
    const { maxPositions } = model.config;
    return { scorer, reference: this.reference, policy: policy.parameters(), maxPositions };
  }

  /** Epochs over the mini-batches, one update each. @returns the completion tokens that were trained */
  private async update(batches: readonly TrainingRow[][], factor: number, meter: Meter): Promise<number> {
    const { options, policy } = this.parts;
    const rates = learningRates(options.optimizer, factor);
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

  /** Ends the step: counts it, replaces the reference where that is due, and says why nothing is learned. */
  private finish(groups: readonly Group[], metrics: Metrics, taught: boolean): string[] {
    const { state, totalSteps } = this;
    const { groupSize, kl, maxNewTokens, referenceEvery, dynamicSampling } = this.parts.options;
    state.done++;
    state.idleSteps = taught ? 0 : state.idleSteps + 1;
    if (referenceEvery > 0 && kl > 0 && state.done % referenceEvery === 0)
      this.reference = copy(this.parts.policy.parameters());
    const few = fewSignals(countSignals(state.signals, groups), {
      ...{ groupSize, last: state.done === totalSteps, redrawn: dynamicSampling !== undefined },
    });
    state.signals = few.signals;
    return [...whyNothingWasLearned(metrics, state.idleSteps, maxNewTokens), ...few.notices];
  }

  work(): Work {
    const { policy, sampler, scorer } = this.parts;
    return sumWork(sampler.work, { flops: policy.flops, trained: this.trained }, scorer?.work ?? {});
  }

  parameters(): ReadonlyMap<string, HostValue> {
    return this.parts.policy.parameters();
  }

  snapshot(): StageSnapshot {
    const { policy } = this.parts;
    const tensors = policy.tensors();
    for (const [name, value] of this.reference ?? []) tensors.set(`reference.${name}`, value);
    const state: State = { ...this.state, updates: policy.step.stepCount };
    return { tensors, state };
  }

  adapter(): TrainedAdapter | null {
    return this.parts.policy.adapter();
  }

  async release(): Promise<void> {
    const { policy, sampler, scorer } = this.parts;
    await policy.release();
    await sampler.release();
    await scorer?.release();
  }
}

function copy(parameters: ReadonlyMap<string, HostValue>): Map<string, HostValue> {
  return new Map(
    [...parameters].map(([name, value]) => {
      const fresh = allocateLike(value);
      copyBlocks(fresh, value, { count: 1, width: value.data.length });
      return [name, fresh];
    }),
  );
}

/** The first groups that carry a signal, then the first ones that do not. */
export function shown<T extends { advantages: readonly number[] }>(all: readonly T[]): T[] {
  const teaches = ({ advantages: own }: T): boolean => own.some((advantage) => advantage !== 0);
  return [...all.filter(teaches), ...all.filter((one) => !teaches(one))].slice(0, SHOWN_GROUPS);
}
