/**
 * One update of the parameters. A fused step is one graph from batch to next parameters; an accumulating one adds up the
 * gradients of several batches in one graph and applies the optimizer in another.
 */
import { stepScalarValues } from "../graph/optim.ts";
import { RunFlops } from "../graph/run-flops.ts";
import type { Graph } from "../graph/tensor.ts";
import type { ParameterSpec } from "../models/layers.ts";
import { DoubleBuffer } from "../runtime/buffers.ts";
import type { Engine } from "../runtime/engine.ts";
import { allocate, type HostValue, read, type Session, scalar } from "../runtime/session.ts";
import { locateNonFinite, nonFinite } from "./diagnose.ts";
import type { Optimizer } from "./optimizer.ts";
import { type BuildLoss, momentNames, traceAccumulation, traceOptimizer, traceStep } from "./trace-step.ts";

export type Feeds = Readonly<Record<string, HostValue>>;

/** Learning rates of one update: AdamW's, and that of Muon's matrices. */
export interface Rates {
  lr: number;
  muonLr: number;
  /** γ: how far a router's bias moves (DeepSeek-V3, section 4.2); it rests where this is left out. */
  biasRate?: number;
}

/** What a loss graph measured on one batch: its loss and other scalars, and vectors such as the tokens of each expert. */
export interface Measured {
  scalars: Readonly<Record<string, number>>;
  vectors: ReadonlyMap<string, Float32Array>;
}

/** Parameters, moments and the programs that advance them. */
export interface TrainStep {
  /** What is trained. */
  readonly specs: readonly ParameterSpec[];
  /** Updates made so far. */
  readonly stepCount: number;
  /** FLOPs run so far, counted from the graphs: of losses, gradients and optimizer. */
  readonly flops: number;
  /**
   * One update by the sum of all batches' gradients.
   * @returns the gradient's norm before clipping, and what each batch measured
   * @throws UserError of kind "non-finite", before anything is replaced
   */
  update(batches: Iterable<Feeds>, rates: Rates): Promise<{ norm: number; measured: Measured[] }>;
  /** The current parameters by name; valid until the update after the next. */
  parameters(): ReadonlyMap<string, HostValue>;
  moments(): ReadonlyMap<string, HostValue>;
  /** See `Session.rest`. */
  rest(): Promise<void>;
  release(): Promise<void>;
}

export interface StepOptions {
  engine: Engine;
  /** Updates from the gradients of several batches. */
  accumulate?: boolean;
  /** Moments and step count to resume from. */
  moments?: ReadonlyMap<string, HostValue>;
  step?: number;
}

/** Traces and prepares the step. `parameters` are taken over, not copied. */
export async function createTrainStep(
  specs: readonly ParameterSpec[],
  parameters: ReadonlyMap<string, HostValue>,
  buildLoss: BuildLoss,
  optimizer: Optimizer,
  options: StepOptions,
): Promise<TrainStep> {
  const prepare = async (graph: Graph, name: string): Promise<Program> => ({
    graph,
    session: await options.engine.session(graph, name),
    flops: new RunFlops(graph),
  });
  const state = new TrainState(specs, optimizer, parameters, options);
  if (options.accumulate !== true)
    return new FusedStep(state, await prepare(traceStep(specs, buildLoss, optimizer), "train-step"));
  return new AccumulatingStep(
    state,
    await prepare(traceAccumulation(specs, buildLoss), "accumulate"),
    await prepare(traceOptimizer(specs, optimizer), "optimizer"),
  );
}

interface Program {
  graph: Graph;
  session: Session;
  flops: RunFlops;
}

/** What both kinds of steps hold and do. */
class TrainState {
  readonly specs: readonly ParameterSpec[];
  readonly parameters: DoubleBuffer<HostValue>;
  readonly moments: DoubleBuffer<HostValue>;
  /** What is not trained: frozen weights that the loss reads, and modules that it does not. */
  readonly frozen: Feeds;
  stepCount: number;
  flops = 0;
  private readonly optimizer: Optimizer;

  constructor(
    specs: readonly ParameterSpec[],
    optimizer: Optimizer,
    parameters: ReadonlyMap<string, HostValue>,
    { moments, step = 0 }: Pick<StepOptions, "moments" | "step">,
  ) {
    this.specs = specs;
    this.optimizer = optimizer;
    this.stepCount = step;
    const names = new Set(specs.map(({ name }) => name));
    this.parameters = new DoubleBuffer(new Map([...parameters].filter(([name]) => names.has(name))));
    this.frozen = Object.fromEntries([...parameters].filter(([name]) => !names.has(name)));
    this.moments = new DoubleBuffer(
      new Map(
        specs.flatMap((spec) =>
          momentNames(spec, optimizer).map((name) => [
            name,
            moments?.get(name) ?? allocate("f32", spec.shape),
          ]),
        ),
      ),
    );
  }

  /** Runs a program and checks its loss and norm. */
  async run({ graph, session, flops }: Program, feeds: Feeds, fetches: Feeds): Promise<Measured> {
    const outputs = await session.run(feeds, fetches);
    this.flops += flops.of(feeds);
    const scalars: Record<string, number> = {};
    const vectors = new Map<string, Float32Array>();
    for (const [name, value] of Object.entries(outputs)) {
      if (value.shape.length === 0) scalars[name] = Number((await read(value))[0]);
      else if (value.shape.length === 1 && !(name in fetches)) vectors.set(name, await read(value, "f32"));
    }
    for (const [name, what] of [
      ["loss", "loss"],
      ["norm", "gradient norm"],
    ])
      if (name in scalars && !Number.isFinite(scalars[name]))
        throw nonFinite(this.stepCount + 1, await locateNonFinite(graph, feeds), what);
    return { scalars, vectors };
  }

  /** Runs the program that holds the optimizer; its results become the state. */
  async advance(program: Program, feeds: Feeds, rates: Rates): Promise<Measured> {
    const [beta1, beta2] = this.optimizer.betas;
    const { lr, muonLr, biasRate = 0 } = rates;
    const values = { ...stepScalarValues(this.stepCount + 1, lr, muonLr, beta1, beta2), biasRate };
    const scalars = Object.entries(values).map(([name, value]) => [name, scalar(value)]);
    const measured = await this.run(
      program,
      { ...this.parameters.feeds(), ...this.moments.feeds(), ...feeds, ...Object.fromEntries(scalars) },
      { ...this.parameters.fetches(), ...this.moments.fetches() },
    );
    this.parameters.swap();
    this.moments.swap();
    this.stepCount++;
    return measured;
  }
}

abstract class BaseStep implements TrainStep {
  protected readonly state: TrainState;
  protected readonly main: Program;

  constructor(state: TrainState, main: Program) {
    this.state = state;
    this.main = main;
  }

  get specs(): readonly ParameterSpec[] {
    return this.state.specs;
  }

  get stepCount(): number {
    return this.state.stepCount;
  }

  get flops(): number {
    return this.state.flops;
  }

  abstract update(batches: Iterable<Feeds>, rates: Rates): Promise<{ norm: number; measured: Measured[] }>;

  parameters(): ReadonlyMap<string, HostValue> {
    return new Map([...this.state.parameters.values(), ...Object.entries(this.state.frozen)]);
  }

  moments(): ReadonlyMap<string, HostValue> {
    return this.state.moments.values();
  }

  async rest(): Promise<void> {
    await this.main.session.rest();
  }

  async release(): Promise<void> {
    await this.main.session.release();
  }
}

class FusedStep extends BaseStep {
  async update(batches: Iterable<Feeds>, rates: Rates): Promise<{ norm: number; measured: Measured[] }> {
    const [batch, ...others] = batches;
    if (batch === undefined || others.length > 0)
      throw new RangeError(
        `a fused step takes one batch, not ${batch === undefined ? 0 : 1 + others.length}`,
      );
    const measured = await this.state.advance(this.main, { ...this.state.frozen, ...batch }, rates);
    return { norm: measured.scalars.norm, measured: [measured] };
  }
}

class AccumulatingStep extends BaseStep {
  private readonly optimizer: Program;
  private readonly zeros: Feeds;
  private readonly sums: DoubleBuffer<HostValue>;

  constructor(state: TrainState, main: Program, optimizer: Program) {
    super(state, main);
    this.optimizer = optimizer;
    const zeros = () => new Map(this.specs.map(({ name, shape }) => [`${name}.sum`, allocate("f32", shape)]));
    this.zeros = Object.fromEntries(zeros());
    this.sums = new DoubleBuffer(zeros());
  }

  async update(batches: Iterable<Feeds>, rates: Rates): Promise<{ norm: number; measured: Measured[] }> {
    const measured: Measured[] = [];
    for (const batch of batches) {
      const before = measured.length === 0 ? this.zeros : this.sums.feeds();
      const feeds = { ...this.state.frozen, ...this.state.parameters.feeds(), ...before, ...batch };
      measured.push(await this.state.run(this.main, feeds, this.sums.fetches()));
      this.sums.swap();
    }
    if (measured.length === 0) throw new RangeError("an update needs a batch");
    const { scalars } = await this.state.advance(this.optimizer, this.sums.feeds(), rates);
    return { norm: scalars.norm, measured };
  }

  override async release(): Promise<void> {
    await super.release();
    await this.optimizer.session.release();
  }
}
