/** A training stage: it advances step by step, can be saved after each step, and is released. */

import type { ModelShape } from "../checkpoint/folder.ts";
import type { GroupRecord, Metrics } from "../events.ts";
import { sumWork, type Work, workSince } from "../ledger/work.ts";
import type { LoraOptions } from "../models/lora.ts";
import type { Engine } from "../runtime/engine.ts";
import type { HostValue } from "../runtime/session.ts";
import { learningRates, type Optimizer } from "./optimizer.ts";
import type { Policy } from "./policy.ts";
import { lrFactor, type Schedule } from "./schedule.ts";
import type { Rates } from "./step.ts";

/** A model between stages, of any architecture. */
export interface Model extends ModelShape {
  parameters: ReadonlyMap<string, HostValue>;
}

/** What a stage needs beside its options. */
export interface StageContext {
  /** Of the stage's random streams: its problems or documents, its samples, its adapter. */
  seed: number;
  engine: Engine;
}

/** The result of a step. */
export interface StepResult {
  metrics: Metrics;
  groups: GroupRecord[];
  /** What the person should know: above all that, and why, a step could not learn. */
  notices: string[];
}

/** The same with the step's work. */
export type StepReport = StepResult & Work;

/** Everything needed to continue as if the stage had never stopped. */
export interface StageSnapshot {
  tensors: Map<string, HostValue>;
  state: unknown;
}

/** A LoRA adapter, under PEFT's names. */
export interface TrainedAdapter {
  lora: LoraOptions;
  tensors: ReadonlyMap<string, HostValue>;
}

/** A policy that is trained step by step, on a schedule of learning rates: by GRPO or by language modelling. */
export abstract class TrainingStage {
  readonly totalSteps: number;
  /** Steps done. */
  done: number;
  protected readonly policy: Policy;
  /** Tokens of the rows that were trained. */
  protected trained = 0;
  private readonly peak: { optimizer: Optimizer; schedule: Schedule };

  protected constructor(
    policy: Policy,
    peak: { optimizer: Optimizer; schedule: Schedule },
    totalSteps: number,
    done = 0,
  ) {
    this.policy = policy;
    this.peak = peak;
    this.totalSteps = totalSteps;
    this.done = done;
  }

  /** One step at these learning rates. */
  protected abstract step(rates: Rates): Promise<StepResult>;

  /** What a snapshot holds beside the policy, as JSON. */
  protected abstract state(): object;

  async advance(): Promise<StepReport> {
    const { optimizer, schedule } = this.peak;
    const before = this.work();
    const start = performance.now();
    const factor = lrFactor(schedule, this.done, this.totalSteps);
    const { metrics, groups, notices } = await this.step(learningRates(optimizer, factor));
    this.done++;
    const work = workSince(this.work(), before);
    const flopsPerSecond = work.flops / ((performance.now() - start) / 1000);
    return {
      metrics: {
        ...metrics,
        lr: factor * optimizer.lr,
        "flops-per-second": work.flops === 0 ? null : flopsPerSecond,
      },
      groups,
      notices,
      ...work,
    };
  }

  /** All that was computed so far, with the current step. */
  work(): Work {
    return sumWork({ flops: this.policy.flops, trained: this.trained });
  }

  /** The current parameters; valid until the next `advance`. */
  parameters(): ReadonlyMap<string, HostValue> {
    return this.policy.parameters();
  }

  snapshot(): StageSnapshot {
    const { done, policy } = this;
    const state = { done, updates: policy.step.stepCount, ...this.state() };
    return { tensors: policy.tensors(), state };
  }

  /** The trained adapter; `null` where all parameters are trained. */
  adapter(): TrainedAdapter | null {
    return this.policy.adapter();
  }

  async release(): Promise<void> {
    await this.policy.release();
  }
}

/** The tensors of a snapshot whose names begin with `prefix`, named without it. */
export function tensorsUnder(
  tensors: ReadonlyMap<string, HostValue>,
  prefix: string,
): Map<string, HostValue> {
  return new Map(
    [...tensors].flatMap(([name, value]) =>
      name.startsWith(prefix) ? [[name.slice(prefix.length), value]] : [],
    ),
  );
}
