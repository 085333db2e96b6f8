/**
 * The model that a stage trains: all of its parameters, or an adapter beside frozen ones, which is merged into copies of them
 * for the sampler and for checkpoints.
 */

import { countFlops } from "../graph/analyse.ts";
import { sizeOf } from "../graph/tensor.ts";
import { configError } from "../models/checks.ts";
import { initialise, type ParameterSpec, parameterInputs } from "../models/layers.ts";
import { adapted, adaptedWeights, adapterSpecs, type LoraOptions, traceMerge } from "../models/lora.ts";
import { allocate, allocateLike, copyBlocks, type Session, type Value } from "../runtime/session.ts";
import type { Optimizer } from "./optimizer.ts";
import { type StageContext, type StageSnapshot, type TrainedAdapter, tensorsUnder } from "./stage.ts";
import { createTrainStep, type TrainStep } from "./step.ts";
import type { BuildLoss } from "./trace-step.ts";

/** A loss and the parameters that it reads and moves. */
export interface Trained {
  specs: ParameterSpec[];
  loss: BuildLoss;
}

/** The same loss with an adapter as the trained parameters; unchanged without `lora`. */
export function withAdapter(trained: Trained, lora: LoraOptions | undefined): Trained {
  if (lora === undefined) return trained;
  const { specs, loss } = trained;
  return {
    specs: adapterSpecs(specs, lora),
    loss: (graph, halves) => {
      const parameters = new Map([...parameterInputs(graph, specs), ...halves]);
      return loss(graph, adapted(specs, parameters, lora));
    },
  };
}

export interface PolicyOptions extends StageContext {
  optimizer: Optimizer;
  /** Train an adapter, whose A is drawn from the seed, and freeze the model's weights. */
  lora?: LoraOptions;
  /** Gradients of several micro-batches add up to an update. */
  accumulate: boolean;
  /** Merge the adapter when it is asked for, which saves copies of the adapted weights where nobody asks; default false. */
  mergeLater?: boolean;
}

interface Merging {
  lora: LoraOptions;
  /** The adapted weights, as they were at the stage's start. */
  frozen: ReadonlyMap<string, Value>;
  session: Session;
  /** FLOPs of one merge. */
  flops: number;
  /** The model's parameters, as the stage was given them. */
  model: ReadonlyMap<string, Value>;
  /** The same with separate arrays for adapted weights, from the first merge on. */
  merged: ReadonlyMap<string, Value> | null;
}

/** The frozen weights' names in a snapshot. */
const FROZEN = "frozen.";

/** Updates of the optimizer; in checkpoints of older versions each step made one. */
function updatesIn({ state }: StageSnapshot): number {
  const { updates, done } = state as { updates?: number; done: number };
  return updates ?? done;
}

export class Policy {
  readonly step: TrainStep;
  private readonly merging: Merging | null;
  private merges = 0;

  private constructor(step: TrainStep, merging: Merging | null) {
    this.step = step;
    this.merging = merging;
  }

  /**
   * `parameters` are taken over, not copied. `resume` holds the result of `tensors`, and in its state the number of updates.
   * @throws UserError for an adapter's target that the model does not have, and for an adapter with Muon
   */
  static async create(
    trained: Trained,
    parameters: ReadonlyMap<string, Value>,
    { optimizer, lora, accumulate, seed, engine, mergeLater = false }: PolicyOptions,
    resume?: StageSnapshot,
  ): Promise<Policy> {
    const { specs, loss } = withAdapter(trained, lora);
    if (specs.some(({ role }) => role === "adapter") && optimizer.kind === "muon")
      throw configError(
        "optimizer.kind",
        "adamw, since an adapter has no whole matrix for Muon",
        "muon",
        "Use adamw, or train without lora.",
      );
    const start = new Map([...parameters, ...(resume ? tensorsUnder(resume.tensors, FROZEN) : [])]);
    if (lora !== undefined)
      for (const [name, value] of initialise(specs, seed))
        start.set(name, resume?.tensors.get(name) ?? value);
    const step = await createTrainStep(specs, start, loss, optimizer, {
      engine,
      accumulate,
      step: resume && updatesIn(resume),
      moments: resume && tensorsUnder(resume.tensors, "optimizer."),
    });
    if (lora === undefined) return new Policy(step, null);
    const merge = traceMerge(trained.specs, lora);
    const session = await engine.session(merge, "merge");
    const names = new Set(adaptedWeights(trained.specs, lora.targets).map(({ name }) => name));
    const frozen = new Map([...start].filter(([name]) => names.has(name)));
    const flops = countFlops(merge).total;
    const policy = new Policy(step, { lora, frozen, session, flops, model: parameters, merged: null });
    if (!mergeLater) await policy.merge();
    return policy;
  }

  /** The model's parameters; with an adapter, those of the last `merge`, which the next one overwrites. */
  parameters(): ReadonlyMap<string, Value> {
    if (this.merging === null) return this.step.parameters();
    if (this.merging.merged === null) throw new RangeError("the adapter has not been merged yet");
    return this.merging.merged;
  }

  /** Brings `parameters` up to date with the adapter. */
  async merge(): Promise<void> {
    if (this.merging === null) return;
    const { session, frozen, model } = this.merging;
    const separate = (name: string, value: Value): Value =>
      frozen.has(name) ? allocate("f32", value.shape) : value;
    const merged =
      this.merging.merged ?? new Map([...model].map(([name, value]) => [name, separate(name, value)]));
    this.merging.merged = merged;
    const fetches = [...frozen.keys()].map((name) => [`${name}.merged`, merged.get(name) as Value]);
    await session.run(Object.fromEntries(this.step.parameters()), Object.fromEntries(fetches));
    this.merges++;
  }

  /** FLOPs run so far: losses, gradients, optimizer and the adapter's merges. */
  get flops(): number {
    return this.step.flops + this.merges * (this.merging?.flops ?? 0);
  }

  /** The adapter alone, under PEFT's names; `null` where all parameters are trained. */
  adapter(): TrainedAdapter | null {
    if (this.merging === null) return null;
    const current = this.step.parameters();
    const tensors = new Map(this.step.specs.map(({ name }) => [name, current.get(name) as Value]));
    return { lora: this.merging.lora, tensors };
  }

  /** All that resumption needs: the model's parameters under their names, and the optimizer's moments. */
  tensors(): Map<string, Value> {
    const tensors = new Map<string, Value>(this.parameters());
    for (const [name, value] of this.step.moments()) tensors.set(`optimizer.${name}`, value);
    for (const [name, value] of this.merging?.frozen ?? []) tensors.set(`${FROZEN}${name}`, value);
    for (const [name, value] of this.adapter()?.tensors ?? []) tensors.set(name, value);
    return tensors;
  }

  async release(): Promise<void> {
    await this.step.release();
    await this.merging?.session.release();
  }
}

/** The same values in arrays that no update overwrites. */
export function copyParameters(parameters: ReadonlyMap<string, Value>): Map<string, Value> {
  return new Map(
    [...parameters].map(([name, value]) => {
      const fresh = allocateLike(value);
      copyBlocks(fresh, value, { count: 1, width: sizeOf(value.shape) });
      return [name, fresh];
    }),
  );
}
