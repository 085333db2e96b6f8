/** A training stage: it advances step by step, can be saved after each step, and is released. */
import { sumWork, type Work, workSince } from "../ledger/work.ts";
import type { Value } from "../runtime/value.ts";
import { learningRates, type Optimizer } from "./optimizer.ts";
import type { Policy } from "./policy.ts";
import { lrFactor, type Schedule } from "./schedule.ts";
import type { Stage, StageSnapshot, StepReport, StepResult, TrainedAdapter } from "./stage.ts";
import type { Rates } from "./step.ts";

/** A policy that is trained step by step, on a schedule of learning rates: by GRPO or by language modelling. */
export abstract class TrainingStage implements Stage {
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

  /**
   * One step at the schedule's learning rates. @throws UserError "non-finite" if loss or gradient is not a number
   */
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
  parameters(): ReadonlyMap<string, Value> {
    return this.policy.parameters();
  }

  /** All that the stage needs to continue; its tensors are valid until the next `advance`. */
  snapshot(): StageSnapshot {
    const { done, policy } = this;
    const state = { done, updates: policy.step.stepCount, ...this.state() };
    return { tensors: policy.tensors(), state };
  }

  /** The trained adapter; `null` where all parameters are trained. */
  adapter(): TrainedAdapter | null {
    return this.policy.adapter();
  }

  /** Frees the sessions' memory. The stage cannot advance afterwards. */
  async release(): Promise<void> {
    await this.policy.release();
  }
}
