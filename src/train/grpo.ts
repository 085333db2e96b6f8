/**
 * Group relative policy optimization, one step after another: sample groups, judge them, turn rewards into advantages,
 * and update (DeepSeekMath, arXiv 2402.03300, algorithm 1; R1, arXiv 2501.12948, section 2). The objective's slots are
 * in grpo-loss.ts.
 *
 * The biases that balance a V3's experts rest here, whose load is logged. V3 moves them while it pretrains and stops
 * before the end (arXiv 2412.19437, section 4.2). They move by no gradient: in RL, a policy that changed between sampling
 * and update in a way that no ratio sees, and an even load over one task's problems, which is not what the experts were
 * trained for. NVIDIA's NeMo RL has it so as well (`moe_router_bias_update_rate: 0.0`).
 */

import type { Metrics } from "../events.ts";
import { sumWork, type Work, workSince } from "../ledger/work.ts";
import { modelOf } from "../models/architectures.ts";
import { Engine } from "../runtime/engine.ts";
import { allocate, type HostValue, scalar } from "../runtime/session.ts";
import { Sampler } from "../sample/sampler.ts";
import { Scorer } from "../sample/scorer.ts";
import type { Task } from "../tasks/problem.ts";
import { advantages, aggregations, hasSignal, importanceWeights } from "./advantages.ts";
import { ExpertLoads } from "./expert-load.ts";
import { grpoLoss } from "./grpo-loss.ts";
import { addMeasurements, lossMetrics, rolloutMetrics, whyNothingWasLearned } from "./grpo-metrics.ts";
import {
  type Bundle,
  bundleLength,
  bundlesOf,
  forEachRow,
  microBatchFeeds,
  miniBatchesOf,
  planMicroBatches,
  type TrainingRow,
} from "./microbatch.ts";
import { learningRates } from "./optimizer.ts";
import type { GrpoOptions } from "./options.ts";
import { Policy } from "./policy.ts";
import { type Group, groupRecord, rollout, type Sample } from "./rollout.ts";
import { lrFactor } from "./schedule.ts";
import { countSignals, fewSignals, noSignals, type Signals } from "./signals.ts";
import {
  type Model,
  type StageContext,
  type StageSnapshot,
  type StepReport,
  type TrainedAdapter,
  type TrainingStage,
  tensorsUnder,
} from "./stage.ts";
import type { TrainStep } from "./step.ts";

/** Groups kept for the page and the journal. */
const SHOWN_GROUPS = 2;

interface State {
  done: number;
  /** The next unused problem of the training stream. */
  nextProblem: number;
  /** Steps in a row without any update. */
  idleSteps: number;
  /** Updates made by the optimizer. */
  updates: number;
  /** Groups since the last notice about them; absent in checkpoints of older versions. */
  signals?: Signals;
}

/** How much of each sequence's importance weights was cut. */
type Corrected = { length: number; cut: number }[];

interface Judged {
  group: Group;
  advantages: number[];
}

export class GrpoStage implements TrainingStage {
  readonly totalSteps: number;
  done: number;
  private nextProblem: number;
  private readonly model: Model;
  private readonly task: Task;
  private readonly options: GrpoOptions;
  private readonly context: StageContext;
  private readonly policy: Policy;
  private readonly step: TrainStep;
  private readonly sampler: Sampler;
  private readonly scorer: Scorer | null;
  private reference: ReadonlyMap<string, HostValue> | null;
  /** Steps in a row in which nothing could be learned. */
  private idleSteps: number;
  private signals: Signals;
  /** Tokens of the rows that were trained. */
  private trained = 0;

  private constructor(
    model: Model,
    task: Task,
    options: GrpoOptions,
    context: StageContext,
    engines: { policy: Policy; sampler: Sampler; scorer: Scorer | null },
    reference: ReadonlyMap<string, HostValue> | null,
    state: State | undefined,
  ) {
    this.model = model;
    this.task = task;
    this.options = options;
    this.context = context;
    this.totalSteps = options.steps;
    this.policy = engines.policy;
    this.step = engines.policy.step;
    this.sampler = engines.sampler;
    this.scorer = engines.scorer;
    this.reference = reference;
    this.done = state?.done ?? 0;
    this.nextProblem = state?.nextProblem ?? 0;
    this.idleSteps = state?.idleSteps ?? 0;
    this.signals = state?.signals ?? noSignals();
  }

  static async create(
    model: Model,
    task: Task,
    options: GrpoOptions,
    context: StageContext,
    resume?: StageSnapshot,
  ): Promise<GrpoStage> {
    const state = resume?.state as State | undefined;
    const { ratio, clip, kl, recompute, optimizer, lora } = options;
    const { threads } = context;
    // The reference is a frozen copy of the policy that the stage starts from, whatever made that policy.
    const reference =
      kl === 0
        ? null
        : resume === undefined
          ? copy(model.parameters)
          : tensorsUnder(resume.tensors, "reference.");
    const mask = options.sharedPrefix ? "each" : "shared";
    const trained = {
      specs: modelOf(model.config).parameters,
      loss: grpoLoss(model.config, { ratio, clip, kl, recompute, mask }),
    };
    const policy = await Policy.create(
      trained,
      model.parameters,
      { ...context, optimizer, lora, accumulate: true },
      resume && { tensors: resume.tensors, updates: (state as State).updates },
    );
    const engine = new Engine({ threads });
    const sampler = await Sampler.create(model.config, engine);
    const scorer =
      kl > 0 || options.importance !== undefined ? await Scorer.create(model.config, engine, { mask }) : null;
    return new GrpoStage(model, task, options, context, { policy, sampler, scorer }, reference, state);
  }

  async advance(): Promise<StepReport> {
    const started = performance.now();
    const before = this.work();
    const { options } = this;
    const sampled = await this.sampleGroups();
    const rolloutSeconds = (performance.now() - started) / 1000;
    const groups = sampled.all.map(({ group }) => group);
    const metrics: Metrics = { ...rolloutMetrics(groups), "groups/rounds": sampled.rounds };
    metrics["tokens/rollout-per-second"] = workSince(this.work(), before).generated / rolloutSeconds;
    metrics["seconds/rollout"] = rolloutSeconds;

    const trainStart = performance.now();
    const factor = lrFactor(options.schedule, this.done, this.totalSteps);
    const update = await this.update(sampled.kept, factor);
    // Rollout and update take turns, so the memory of one is the other's: see `sampleGroups`.
    await this.step.rest();
    const trainSeconds = (performance.now() - trainStart) / 1000;
    const work = workSince(this.work(), before);
    Object.assign(metrics, update.metrics, {
      rate: factor * options.optimizer.lr,
      "seconds/train": trainSeconds,
      "tokens/train-per-second": update.tokens / trainSeconds,
      "flops-per-second": work.flops / (rolloutSeconds + trainSeconds),
    });

    this.done++;
    this.idleSteps = update.taught ? 0 : this.idleSteps + 1;
    if (options.referenceEvery > 0 && options.kl > 0 && this.done % options.referenceEvery === 0)
      this.reference = copy(this.policy.parameters());
    const last = this.done === this.totalSteps;
    const few = fewSignals(countSignals(this.signals, groups), {
      ...{ groupSize: options.groupSize, last, redrawn: this.redraws > 0 },
    });
    this.signals = few.signals;
    return {
      metrics,
      groups: shown(sampled.all).map(({ group, advantages: a }) => groupRecord(group, a)),
      notices: [...whyNothingWasLearned(metrics, this.idleSteps, options.maxNewTokens), ...few.notices],
      ...work,
    };
  }

  /** Everything sampled, and the groups of the update: all, or with dynamic sampling as many as can teach. */
  private async sampleGroups(): Promise<{ all: Judged[]; kept: Judged[]; rounds: number }> {
    const { options } = this;
    const { overlong } = options;
    const result = { all: [] as Judged[], kept: [] as Judged[], rounds: 0 };
    const { temperature, topP, topK } = options;
    const sampling = { temperature, topP, topK };
    const policy = { ...this.model, generate: this.sampler.with(this.policy.parameters()) };
    while (result.rounds <= this.redraws && result.kept.length < options.problemsPerStep) {
      result.rounds++;
      const indices = Array.from({ length: options.problemsPerStep }, (_, i) => this.nextProblem + i);
      this.nextProblem += options.problemsPerStep;
      const { groups } = await rollout(policy, this.task, indices, {
        ...{ ...options, sampling, seed: this.context.seed, split: "train" },
        rewards: { ...options.rewards, overlong: overlong?.mode === "soft" ? overlong : null },
      });
      for (const group of groups) {
        const rewards = group.samples.map((s) => s.reward);
        const judged = { group, advantages: advantages[options.advantage](rewards) };
        result.all.push(judged);
        if (hasSignal(rewards)) result.kept.push(judged);
      }
    }
    // Without dynamic sampling every group counts in the denominators: dropping the flat ones would weigh the others by
    // difficulty, which is what Dr. GRPO removes.
    if (this.redraws === 0) result.kept = [...result.all];
    result.kept.splice(options.problemsPerStep);
    this.sampler.forget();
    return result;
  }

  /** Epochs and mini-batches over the informative groups' samples. */
  private async update(
    kept: readonly Judged[],
    factor: number,
  ): Promise<{ metrics: Metrics; tokens: number; taught: boolean }> {
    const { options, step } = this;
    const samples = kept.flatMap(({ group, advantages: a }) =>
      group.samples.map((sample, i) => ({ sample, advantage: a[i] })),
    );
    const usable = samples.filter(
      ({ sample }) =>
        sample.reward !== null && !(options.overlong?.mode === "mask" && sample.finish === "length"),
    );
    const rows = usable.map(({ sample, advantage }) => trainingRow(sample, advantage));
    const totals = {
      sums: new Map<string, number>(),
      norms: [] as number[],
      losses: [] as number[],
      trained: 0,
      signal: 0,
      compared: 0,
      loads: new ExpertLoads(),
      corrected: [] as Corrected,
    };
    await this.annotate(rows, totals);
    const rates = learningRates(options.optimizer, factor);
    for (let epoch = 0; epoch < options.epochs; epoch++)
      for (const batch of miniBatchesOf(rows, options.miniBatches)) {
        const weights = aggregations[options.aggregation](
          batch.map((row) => row.ids.length),
          options.aggregationLength ?? options.maxNewTokens,
        );
        batch.forEach((row, i) => {
          row.weight = weights[i];
        });
        // Without a KL term a row without advantage has no gradient: it counts above and is not computed.
        const computed = options.kl > 0 ? batch : batch.filter((row) => row.advantage !== 0);
        if (computed.length === 0) continue;
        let loss = 0;
        const count = (list: TrainingRow[]) => list.reduce((total, row) => total + row.ids.length, 0);
        const signal = count(computed.filter((row) => row.advantage !== 0));
        // Later batches are seen by a policy that has moved: only the first one shows how sampler and trainer differ.
        const moved = totals.norms.length > 0;
        if (!moved) totals.compared = signal;
        for (const { bundles, seq } of this.plan(computed)) {
          const feeds = {
            ...microBatchFeeds(bundles, seq),
            inverseTemperature: scalar(1 / options.temperature),
          };
          const result = await step.accumulate(feeds);
          this.trained += fedTokens(bundles);
          totals.loads.add(step.vectors);
          loss += result.loss;
          addMeasurements(totals.sums, result, moved);
        }
        totals.norms.push((await step.applyUpdate(rates)).norm);
        totals.losses.push(loss);
        totals.trained += count(computed);
        totals.signal += signal;
      }
    if (totals.norms.length > 0) await this.policy.merge();
    const taught = rows.some((row) => row.advantage !== 0);
    return { metrics: lossMetrics(totals, options.kl > 0), tokens: totals.trained, taught };
  }

  /** Fills in the reference's log-probabilities, and old ones with importance weights, before the first update. */
  private async annotate(rows: TrainingRow[], totals: { corrected: Corrected }): Promise<void> {
    const { options, scorer } = this;
    if (scorer === null) return;
    for (const { bundles, seq } of this.plan(rows)) {
      const feeds = microBatchFeeds(bundles, seq);
      const score = (parameters: ReadonlyMap<string, HostValue>) =>
        scorer.score(parameters, feeds, options.temperature, fedTokens(bundles));
      const fill = (values: Float32Array, assign: (row: TrainingRow, logProbs: number[]) => void): void =>
        forEachRow(bundles, seq, (row, start) =>
          assign(row, Array.from(values.subarray(start, start + row.ids.length))),
        );
      if (this.reference !== null)
        fill(await score(this.reference), (row, logProbs) => {
          row.reference = logProbs;
        });
      const { importance } = options;
      if (importance !== undefined)
        fill(await score(this.policy.parameters()), (row, logProbs) => {
          row.old = logProbs;
          const { weights, cut } = importanceWeights(logProbs, row.sampled, importance.level, importance.cap);
          row.importance = weights;
          totals.corrected.push({ length: weights.length, cut });
        });
    }
  }

  private plan(rows: readonly TrainingRow[]): { bundles: Bundle[]; seq: number }[] {
    const { microBatchTokens: tokens, sharedPrefix } = this.options;
    const { maxPositions } = this.model.config;
    const bundles = sharedPrefix ? bundlesOf(rows, Math.min(tokens, maxPositions)) : rows.map((row) => [row]);
    return planMicroBatches(bundles.map(bundleLength), tokens, maxPositions).map(
      ({ rows: members, seq }) => ({
        bundles: members.map((i) => bundles[i]),
        seq,
      }),
    );
  }

  /** Rounds that dynamic sampling may draw beyond the first. */
  private get redraws(): number {
    return this.options.dynamicSampling?.maxRounds ?? 0;
  }

  work(): Work {
    const { policy, sampler, scorer, trained } = this;
    return sumWork(sampler.work, { flops: policy.flops, trained }, scorer?.work ?? {});
  }

  parameters(): ReadonlyMap<string, HostValue> {
    return this.policy.parameters();
  }

  snapshot(): StageSnapshot {
    const tensors = this.policy.tensors();
    for (const [name, value] of this.reference ?? []) tensors.set(`reference.${name}`, value);
    const { done, nextProblem, idleSteps, signals } = this;
    const state: State = { done, nextProblem, idleSteps, updates: this.step.stepCount, signals };
    return { tensors, state };
  }

  adapter(): TrainedAdapter | null {
    return this.policy.adapter();
  }

  async release(): Promise<void> {
    await this.policy.release();
    await this.sampler.release();
    await this.scorer?.release();
  }
}

function trainingRow(sample: Sample, advantage: number): TrainingRow {
  const { prompt, ids, logProbs } = sample;
  return {
    prompt,
    ids,
    sampled: logProbs,
    old: logProbs,
    reference: null,
    advantage,
    weight: 0,
    importance: ids.map(() => 1),
  };
}

function copy(parameters: ReadonlyMap<string, HostValue>): Map<string, HostValue> {
  return new Map(
    [...parameters].map(([name, value]) => {
      const fresh = allocate(value.dtype, value.shape);
      (fresh.data as Float32Array).set(value.data as Float32Array);
      return [name, fresh];
    }),
  );
}

/** Tokens of a micro-batch's rows; padding is not. */
const fedTokens = (bundles: readonly Bundle[]): number =>
  bundles.reduce((total, bundle) => total + bundleLength(bundle), 0);

/** The first groups that can teach, then the first ones that cannot. */
export function shown<T extends { advantages: readonly number[] }>(all: readonly T[]): T[] {
  const teaches = ({ advantages: a }: T): boolean => a.some((x) => x !== 0);
  return [...all.filter(teaches), ...all.filter((one) => !teaches(one))].slice(0, SHOWN_GROUPS);
}
