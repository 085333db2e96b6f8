/**
 * One update of the parameters. A fused step is one graph from batch to next parameters; an accumulating one adds up the
 * gradients of several batches in one graph and applies the optimizer in another.
 */
import { stepScalarValues } from "../graph/optim.ts";
import { RunFlops } from "../graph/run-flops.ts";
import { type Graph, sizeOf } from "../graph/tensor.ts";
import type { ParameterSpec } from "../models/layers.ts";
import { DoubleBuffer } from "../runtime/buffers.ts";
import type { Engine } from "../runtime/engine.ts";
import { allocate, copyBlocks, read, type Session, scalar, type Value } from "../runtime/session.ts";
import { locateNonFinite, nonFinite } from "./diagnose.ts";
import type { Optimizer } from "./optimizer.ts";
import {
  type BuildLoss,
  momentNames,
  traceAccumulation,
  traceForward,
  traceOptimizer,
  traceStep,
} from "./trace-step.ts";

/** The inputs of a loss graph by name: a batch. */
export type Feeds = Readonly<Record<string, Value>>;

/** Learning rates of one update: AdamW's, and that of Muon's matrices. */
export interface Rates {
  lr: number;
  muonLr: number;
  /** γ: how far a router's bias moves (DeepSeek-V3, section 4.2); default 0. */
  biasRate?: number;
}

/** What a loss graph measured on one batch: its loss and other scalars, and arrays such as the tokens of each expert. */
export interface Measured {
  scalars: Readonly<Record<string, number>>;
  vectors: ReadonlyMap<string, Float32Array>;
}

/** What a training step runs on, and from which state it continues. */
export interface StepOptions {
  engine: Engine;
  /** Updates from the gradients of several batches. */
  accumulate?: boolean;
  /** Moments and step count to resume from. */
  moments?: ReadonlyMap<string, Value>;
  step?: number;
}

interface Program {
  graph: Graph;
  session: Session;
  flops: RunFlops;
}

/** Sums of gradients over batches, and the zeros that an update begins with. */
interface Sums {
  zeros: Feeds;
  buffer: DoubleBuffer;
  /** Batches in the sum. */
  batches: number;
}

/**
 * Prepares a step. `parameters` are taken over, not copied. `buildLoss` is what `forwardBackward` and `update` compute where
 * they are given no other loss.
 */
export async function createTrainStep(
  specs: readonly ParameterSpec[],
  parameters: ReadonlyMap<string, Value>,
  buildLoss: BuildLoss,
  optimizer: Optimizer,
  options: StepOptions,
): Promise<TrainStep> {
  const step = new TrainStep(specs, parameters, buildLoss, optimizer, options);
  await step.prepare();
  return step;
}

/** Parameters, moments and the programs that advance them; made by `createTrainStep`. */
export class TrainStep {
  /** What is trained. */
  readonly specs: readonly ParameterSpec[];
  /** Updates made so far. */
  stepCount: number;
  /** FLOPs run so far, counted from the graphs: of losses, gradients and optimizer. */
  flops = 0;
  private readonly loss: BuildLoss;
  private readonly optimizer: Optimizer;
  private readonly engine: Engine;
  /** `null` where loss and optimizer are one graph. */
  private readonly sums: Sums | null;
  /** Programs by loss, with gradients and without, and by what an optimizer's graph depends on. */
  private readonly losses = new Map<BuildLoss, Program>();
  private readonly forwards = new Map<BuildLoss, Program>();
  private readonly optimizers = new Map<string, Program>();
  private readonly trained: DoubleBuffer;
  /** What is not trained: frozen weights that the loss reads, and modules that it does not. */
  private readonly frozen: Feeds;
  private readonly state: DoubleBuffer;

  constructor(
    specs: readonly ParameterSpec[],
    parameters: ReadonlyMap<string, Value>,
    loss: BuildLoss,
    optimizer: Optimizer,
    { engine, accumulate = false, moments, step = 0 }: StepOptions,
  ) {
    this.specs = specs;
    this.stepCount = step;
    this.loss = loss;
    this.optimizer = optimizer;
    this.engine = engine;
    const names = new Set(specs.map(({ name }) => name));
    this.trained = new DoubleBuffer(new Map([...parameters].filter(([name]) => names.has(name))));
    this.frozen = Object.fromEntries([...parameters].filter(([name]) => !names.has(name)));
    const initial = specs.flatMap((spec) =>
      momentNames(spec, optimizer).map(
        (name) => [name, moments?.get(name) ?? allocate("f32", spec.shape)] as const,
      ),
    );
    this.state = new DoubleBuffer(new Map(initial));
    const zeros = () => new Map(specs.map(({ name, shape }) => [`${name}.sum`, allocate("f32", shape)]));
    this.sums = accumulate
      ? { zeros: Object.fromEntries(zeros()), buffer: new DoubleBuffer(zeros()), batches: 0 }
      : null;
  }

  /** Prepares the programs of the loss and the optimizer that the step was made with. */
  async prepare(): Promise<void> {
    if (this.sums !== null) await this.lossProgram(this.loss);
    await this.optimizerProgram(this.optimizer);
  }

  /**
   * Adds the gradients of one batch to those of the coming update.
   * @returns what the loss's graph measured
   * @throws UserError of kind "non-finite"; the sum is as before
   */
  async forwardBackward(batch: Feeds, loss: BuildLoss = this.loss): Promise<Measured> {
    const { sums } = this;
    if (sums === null) throw new RangeError("a fused step has no sum of gradients");
    const before = sums.batches === 0 ? sums.zeros : sums.buffer.feeds();
    const feeds = { ...this.frozen, ...this.trained.feeds(), ...before, ...batch };
    const measured = await this.run(await this.lossProgram(loss), feeds, sums.buffer.fetches());
    sums.buffer.swap();
    sums.batches++;
    return measured;
  }

  /** What the loss's graph measures on one batch, without gradients. @throws UserError of kind "non-finite" */
  async forward(batch: Feeds, loss: BuildLoss = this.loss): Promise<Measured> {
    const program = await this.program(this.forwards, loss, "forward", () => traceForward(this.specs, loss));
    return this.run(program, { ...this.frozen, ...this.trained.feeds(), ...batch }, {});
  }

  /**
   * Updates the parameters by the gradients of all batches since the last update. The optimizer must be of the kind that
   * the step was made with.
   * @returns the gradient's norm before clipping
   * @throws UserError of kind "non-finite", before anything is replaced; RangeError without a batch
   */
  async optimStep(rates: Rates, optimizer: Optimizer = this.optimizer): Promise<number> {
    const { sums } = this;
    if (sums === null || sums.batches === 0) throw new RangeError("an update needs a batch");
    const { scalars } = await this.advance(sums.buffer.feeds(), rates, optimizer);
    sums.batches = 0;
    return scalars.norm;
  }

  /** Drops the gradients since the last update. */
  dropGradients(): void {
    if (this.sums !== null) this.sums.batches = 0;
  }

  /**
   * One update by the sum of all batches' gradients: `forwardBackward` of each and `optimStep`, or the same of one batch in
   * one graph.
   * @returns the gradient's norm before clipping, and what each batch measured
   * @throws UserError of kind "non-finite", before anything is replaced
   */
  async update(batches: Iterable<Feeds>, rates: Rates): Promise<{ norm: number; measured: Measured[] }> {
    if (this.sums === null) {
      const [batch, ...others] = batches;
      if (batch === undefined || others.length > 0)
        throw new RangeError(
          `a fused step takes one batch, not ${batch === undefined ? 0 : 1 + others.length}`,
        );
      const measured = await this.advance({ ...this.frozen, ...batch }, rates, this.optimizer);
      return { norm: measured.scalars.norm, measured: [measured] };
    }
    const measured: Measured[] = [];
    try {
      for (const batch of batches) measured.push(await this.forwardBackward(batch));
      return { norm: await this.optimStep(rates), measured };
    } finally {
      this.dropGradients();
    }
  }

  private async program<Key>(
    known: Map<Key, Program>,
    key: Key,
    name: string,
    trace: () => Graph,
  ): Promise<Program> {
    const found = known.get(key);
    if (found !== undefined) return found;
    const graph = trace();
    const program = { graph, session: await this.engine.session(graph, name), flops: new RunFlops(graph) };
    known.set(key, program);
    return program;
  }

  private lossProgram(loss: BuildLoss): Promise<Program> {
    return this.program(this.losses, loss, "accumulate", () => traceAccumulation(this.specs, loss));
  }

  /** Holds the optimizer, and without accumulation the loss too. */
  private optimizerProgram(optimizer: Optimizer): Promise<Program> {
    const { specs, sums, loss, optimizers } = this;
    const { lr: _, ...constants } = optimizer;
    const key = JSON.stringify(constants);
    return sums === null
      ? this.program(optimizers, key, "train-step", () => traceStep(specs, loss, optimizer))
      : this.program(optimizers, key, "optimizer", () => traceOptimizer(specs, optimizer));
  }

  /** Runs a program and checks its loss and norm. */
  private async run({ graph, session, flops }: Program, feeds: Feeds, fetches: Feeds): Promise<Measured> {
    const outputs = await session.run(feeds, fetches);
    this.flops += flops.of(feeds);
    const scalars: Record<string, number> = {};
    const vectors = new Map<string, Float32Array>();
    for (const [name, value] of Object.entries(outputs)) {
      if (value.shape.length === 0) scalars[name] = Number((await read(value))[0]);
      else if (!(name in fetches)) vectors.set(name, await read(value, "f32"));
    }
    for (const [name, what] of [
      ["loss", "loss"],
      ["norm", "gradient norm"],
    ])
      if (name in scalars && !Number.isFinite(scalars[name]))
        throw nonFinite(this.stepCount + 1, await locateNonFinite(this.engine, graph, feeds), what);
    return { scalars, vectors };
  }

  /** Runs the program that holds the optimizer; its results become the state. */
  private async advance(feeds: Feeds, rates: Rates, optimizer: Optimizer): Promise<Measured> {
    const { trained, state } = this;
    const [beta1, beta2] = optimizer.betas;
    const { lr, muonLr, biasRate = 0 } = rates;
    const values = { ...stepScalarValues(this.stepCount + 1, lr, muonLr, beta1, beta2), biasRate };
    const scalars = Object.entries(values).map(([name, value]) => [name, scalar(value)]);
    const measured = await this.run(
      await this.optimizerProgram(optimizer),
      { ...trained.feeds(), ...state.feeds(), ...feeds, ...Object.fromEntries(scalars) },
      { ...trained.fetches(), ...state.fetches() },
    );
    trained.swap();
    state.swap();
    this.stepCount++;
    return measured;
  }

  /** Batches whose gradients the coming update has. */
  get batches(): number {
    return this.sums?.batches ?? 0;
  }

  /** Those of the current parameters that are trained. */
  trainedParameters(): ReadonlyMap<string, Value> {
    return this.trained.values();
  }

  /** The current parameters by name; valid until the update after the next. */
  parameters(): ReadonlyMap<string, Value> {
    return new Map([...this.trained.values(), ...Object.entries(this.frozen)]);
  }

  /** The optimizer's state by name, each of its parameter's shape; valid until the update after the next. */
  moments(): ReadonlyMap<string, Value> {
    return this.state.values();
  }

  /**
   * Continues from copies of these parameters and moments, by name, after `stepCount` updates; gradients since the last
   * update are dropped. @throws RangeError, before anything is replaced, if a value is missing or has another shape
   */
  restore(values: ReadonlyMap<string, Value>, stepCount: number): void {
    const current = [...this.trained.values(), ...this.state.values()];
    for (const [name, { shape }] of current) {
      const found = values.get(name);
      if (found === undefined || String(found.shape) !== String(shape))
        throw new RangeError(
          `"${name}" is ${found === undefined ? "missing" : `[${found.shape}]`}, not [${shape}]`,
        );
    }
    for (const [name, value] of current)
      copyBlocks(value, values.get(name) as Value, { count: 1, width: sizeOf(value.shape) });
    this.stepCount = stepCount;
    this.dropGradients();
  }

  /** See `Session.rest`. */
  async rest(): Promise<void> {
    for (const { session } of (this.sums === null ? this.optimizers : this.losses).values())
      await session.rest();
  }

  /** Frees the sessions' memory. */
  async release(): Promise<void> {
    for (const programs of [this.losses, this.forwards, this.optimizers]) {
      for (const { session } of programs.values()) await session.release();
      programs.clear();
    }
  }
}
