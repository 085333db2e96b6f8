/**
 * On-policy distillation as a stage (see distill-loss.ts): each step the student answers problems of its teachers' tasks, the
 * teachers judge every token of its answers, and one update draws it to them.
 */
import { sumWork, type Work, workSince } from "../ledger/work.ts";
import { UserError } from "../lib/errors.ts";
import { Random } from "../lib/random.ts";
import { modelOf } from "../models/architectures.ts";
import { allocate, copyBlocks, f32, type HostValue, read, scalar, type Value } from "../runtime/value.ts";
import { Sampler } from "../sample/sampler.ts";
import type { Task } from "../tasks/problem.ts";
import { distillLoss } from "./distill-loss.ts";
import { stepMetrics, trainedTokens } from "./grpo-metrics.ts";
import { onOwn } from "./grpo-rows.ts";
import { Meter } from "./meter.ts";
import { fedTokens, microBatches, microBatchFeeds, type TrainingRow } from "./microbatch.ts";
import type { DistillOptions } from "./options.ts";
import { Policy } from "./policy.ts";
import { rewardsOf } from "./rewards.ts";
import { type Group, groupRecord, rollout, rolloutMetrics, type Sample, shown } from "./rollout.ts";
import type { Model, StageContext, StageSnapshot, StepResult } from "./stage.ts";
import type { Feeds, Rates } from "./step.ts";
import { type Domain, domainsOf, type Teacher, TeacherForward, vocabularyDifference } from "./teachers.ts";
import { TrainingStage } from "./training-stage.ts";

interface Parts {
  model: Model;
  domains: Domain[];
  teachers: readonly Teacher[];
  options: DistillOptions;
  seed: number;
  policy: Policy;
  sampler: Sampler;
  forward: TeacherForward;
}

/** Completions of one task, and who judges them. */
interface Asked {
  domain: Domain;
  groups: Group[];
  rows: TrainingRow[];
}

/** What the judges of a micro-batch found: what is fed for it, and each one's divergence where that is known before. */
interface Judged {
  feeds: Feeds;
  kl: readonly number[] | null;
}

/** Distillation from teachers on the student's own rollouts. */
export class DistillStage extends TrainingStage {
  private readonly parts: Parts;

  private constructor(parts: Parts, done?: number) {
    super(parts.policy, parts.options, parts.options.steps, done);
    this.parts = parts;
  }

  /**
   * Starts a stage, or continues one from its snapshot. `model.parameters` are taken over, not copied.
   * @param task what is asked for teachers that have no task of their own
   * @throws UserError "stage" for a teacher of another vocabulary
   */
  static async create(
    model: Model,
    { teachers, task }: { teachers: readonly Teacher[]; task: Task },
    options: DistillOptions,
    context: StageContext,
    resume?: StageSnapshot,
  ): Promise<DistillStage> {
    const { estimate, recompute, optimizer, lora } = options;
    const { seed, engine } = context;
    for (const [i, teacher] of teachers.entries()) checkTeacher(model, teacher, i);
    const trained = {
      specs: modelOf(model.config).parameters,
      loss: distillLoss(model.config, { estimate, recompute }),
    };
    const settings = { ...context, optimizer, lora, accumulate: true };
    const policy = await Policy.create(trained, model.parameters, settings, resume);
    const sampler = await Sampler.create(model.config, engine);
    const forward = new TeacherForward(engine, estimate);
    const domains = domainsOf(teachers, { name: task.name, task });
    const parts = { model, domains, teachers, options, seed, policy, sampler, forward };
    return new DistillStage(parts, (resume?.state as { done: number } | undefined)?.done);
  }

  protected async step(rates: Rates): Promise<StepResult> {
    const { teachers, domains } = this.parts;
    const meter = new Meter(["loss", "grad/norm", "entropy", ...teachers.map(klName)]);
    const before = this.work();
    const start = performance.now();
    const asked: Asked[] = [];
    for (const domain of domains) asked.push(await this.ask(domain));
    this.parts.sampler.forget();
    const sampled = performance.now();
    const { generated } = workSince(this.work(), before);
    const tokens = asked.reduce((total, { rows }) => total + trainedTokens(rows), 0);
    await this.update(asked, { tokens, rates, meter });
    // Rollout and update take turns, so each frees its memory for the other.
    await this.policy.step.rest();
    const groups = asked.flatMap((one) => one.groups);
    const seconds = { rollout: (sampled - start) / 1000, train: (performance.now() - sampled) / 1000 };
    const metrics = {
      ...stepMetrics(groups, meter, { rounds: 1, level: undefined, seconds, generated, trained: tokens }),
      ...Object.fromEntries(
        asked.map((one) => [`pass@1/${one.domain.name}`, rolloutMetrics(one.groups)["pass@1"]!]),
      ),
    };
    const records = groups.map((group) => ({ group, advantages: group.samples.map(() => 0) }));
    return {
      metrics,
      groups: shown(records).map((one) => groupRecord(one.group, one.advantages)),
      notices: [],
    };
  }

  /** Completions of new problems of a task, by the current student. */
  private async ask(domain: Domain): Promise<Asked> {
    const { model, options, seed, sampler } = this.parts;
    const { problemsPerStep, samples: groupSize } = options;
    const first = this.done * problemsPerStep;
    const groups = await rollout(
      { ...model, generate: sampler.with(this.parameters()) },
      domain.task,
      Array.from({ length: problemsPerStep }, (_, i) => first + i),
      {
        ...{ ...options, groupSize, sampling: options },
        seed: new Random(seed, "domain", domain.name).uint32(),
        rewards: rewardsOf({ rewards: { accuracy: 1 } }, domain.task),
      },
    );
    return { domain, groups, rows: groups.flatMap(({ samples }) => samples.map(rowOf)) };
  }

  /** One update by all completions; the loss is a mean over their tokens. */
  private async update(
    asked: readonly Asked[],
    { tokens, rates, meter }: { tokens: number; rates: Rates; meter: Meter },
  ): Promise<void> {
    const { policy } = this;
    const { options, model } = this.parts;
    const inverseTemperature = scalar(1 / options.temperature);
    const { maxPositions } = model.config;
    try {
      for (const { domain, rows } of asked) {
        const weighted = rows.map((row) => ({ ...row, weights: row.weights.map((one) => one / tokens) }));
        for (const micro of microBatches(weighted, { ...options, sharedPrefix: false }, maxPositions)) {
          const fed = fedTokens(micro);
          const rowFeeds = { ...microBatchFeeds(micro), inverseTemperature };
          const { feeds, kl } = await this.judge(domain, rowFeeds, fed);
          const { scalars, vectors } = await policy.step.forwardBackward(feeds);
          const counted = trainedTokens(micro.packed.flat());
          meter.sum("loss", scalars.loss);
          meter.mean("entropy", scalars.entropy, counted);
          const divergences = kl ?? vectors.get("judgeKl")!;
          for (const [i, judge] of domain.judges.entries())
            meter.mean(klName(judge), divergences[i]!, counted);
          for (const [name, load] of vectors)
            if (name !== "judgeKl") meter.imbalance(`${name}/max-load`, load);
          this.trained += fed;
        }
      }
      await this.parts.forward.rest();
      meter.mean("grad/norm", await policy.step.optimStep(rates));
    } finally {
      policy.step.dropGradients();
    }
    await policy.merge();
  }

  /** What the judges think of a micro-batch's tokens, as the loss reads it. */
  private async judge(
    { judges }: Domain,
    rows: Readonly<Record<string, HostValue>>,
    fed: number,
  ): Promise<Judged> {
    const { forward, options } = this.parts;
    const found: Value[] = [];
    for (const judge of judges) found.push(await forward.logProbs(judge, rows, fed));
    const weights = judges.map(({ weight }) => weight);
    if (options.estimate === "sample") return sampledAdvantages(rows, found, weights);
    const judgeWeights = f32(weights, [weights.length, 1]);
    return { feeds: { ...rows, judgements: stacked(found), judgeWeights }, kl: null };
  }

  override work(): Work {
    const { sampler, forward } = this.parts;
    return sumWork(super.work(), sampler.work, forward.work);
  }

  /** The number of steps and the policy are all: teachers are read again. */
  protected state(): object {
    return {};
  }

  /** With the sampler and the teachers. */
  override async release(): Promise<void> {
    await super.release();
    await this.parts.sampler.release();
    await this.parts.forward.release();
  }
}

const klName = ({ name }: Teacher): string => `kl/${name}`;

/** @throws UserError naming the teacher and the field in which its vocabulary differs */
function checkTeacher(student: Model, { name, model }: Teacher, index: number): void {
  const difference = vocabularyDifference(student, model);
  if (difference === null) return;
  throw new UserError({
    kind: "stage",
    what: `the teacher ${name} has another vocabulary than the student: ${difference}`,
    remedy: "Choose a teacher with the student's tokenizer.",
    data: { path: ["teachers", index] },
  });
}

/** A completion whose sampled tokens all count; an environment's replies do not. */
function rowOf(sample: Sample): TrainingRow {
  const { prompt, ids, logProbs } = sample;
  const [zeros, ones] = [ids.map(() => 0), ids.map(() => 1)];
  return {
    ...{ prompt, ids, sampled: logProbs, old: logProbs, reference: null },
    ...{ advantages: zeros, weights: onOwn(sample, () => 1, 0), importance: ones },
  };
}

/** [1, tokens, vocab] of each judge -> [judges, tokens, vocab]. */
function stacked(values: readonly Value[]): Value {
  if (values.length === 1) return values[0]!;
  const [, tokens, vocab] = values[0]!.shape as [number, number, number];
  const all = allocate("f32", [values.length, tokens, vocab]);
  const width = tokens * vocab;
  for (const [i, value] of values.entries()) copyBlocks(all, value, { count: 1, width, to: i * width });
  return all;
}

/**
 * The advantage of each token by one sample, sum_i w_i (log q_i - log p), from the judges' log-probabilities [batch, seq] of
 * the tokens, and the sum of each judge's log p - log q.
 */
async function sampledAdvantages(
  rows: Readonly<Record<string, HostValue>>,
  judgements: readonly Value[],
  weights: readonly number[],
): Promise<Judged> {
  const [old, counts] = [await read(rows.old, "f32"), await read(rows.weights, "f32")];
  const advantages = new Float32Array(old.length);
  const kl = weights.map(() => 0);
  for (const [i, judgement] of judgements.entries()) {
    const logProbs = await read(judgement, "f32");
    for (let t = 0; t < old.length; t++) {
      if (counts[t] === 0) continue;
      advantages[t] += weights[i] * (logProbs[t] - old[t]);
      kl[i] += old[t] - logProbs[t];
    }
  }
  return { feeds: { ...rows, advantage: f32(advantages, rows.old.shape) }, kl };
}
