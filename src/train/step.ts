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
  /** γ: how far a router's bias moves (DeepSeek-V3, section 4.2); default 0. */
  biasRate?: number;
}

/** What a loss graph measured on one batch: its loss and other scalars, and vectors such as the tokens of each expert. */
export interface Measured {
  scalars: Readonly<Record<string, number>>;
  vectors: ReadonlyMap<string, Float32Array>;
}

export interface StepOptions {
  engine: Engine;
  /** Updates from the gradients of several batches. */
  accumulate?: boolean;
  /** Moments and step count to resume from. */
  moments?: ReadonlyMap<string, HostValue>;
  step?: number;
}

interface Program {
  graph: Graph;
  session: Session;
  flops: RunFlops;
}

/** The gradients of a batch added to a sum, and the sums that an update begins with. */
interface Accumulation {
  program: Program;
  zeros: Feeds;
  sums: DoubleBuffer<HostValue>;
}

/** Traces and prepares the step. `parameters` are taken over, not copied. */
export async function createTrainStep(
  specs: readonly ParameterSpec[],
  parameters: ReadonlyMap<string, HostValue>,
  buildLoss: BuildLoss,
  optimizer: Optimizer,
  options: StepOptions,
): Promise<TrainStep> {
  const { engine } = options;
  const prepare = async (graph: Graph, name: string): Promise<Program> => ({
    graph,
    session: await engine.session(graph, name),
    flops: new RunFlops(graph),
  });
  if (options.accumulate !== true) {
    const program = await prepare(traceStep(specs, buildLoss, optimizer), "train-step");
    return new TrainStep(specs, parameters, optimizer, options, program, null);
  }
  const zeros = () => new Map(specs.map(({ name, shape }) => [`${name}.sum`, allocate("f32", shape)]));
  const accumulation = {
    program: await prepare(traceAccumulation(specs, buildLoss), "accumulate"),
    zeros: Object.fromEntries(zeros()),
    sums: new DoubleBuffer(zeros()),
  };
  const program = await prepare(traceOptimizer(specs, optimizer), "optimizer");
  return new TrainStep(specs, parameters, optimizer, options, program, accumulation);
}

/** Parameters, moments and the programs that advance them; made by `createTrainStep`. */
export class TrainStep {
  /** What is trained. */
  readonly specs: readonly ParameterSpec[];
  /** Updates made so far. */
  stepCount: number;
  /** FLOPs run so far, counted from the graphs: of losses, gradients and optimizer. */
  flops = 0;
  private readonly optimizer: Optimizer;
  private readonly engine: Engine;
  /** Holds the optimizer, and without accumulation the loss too. */
  private readonly program: Program;
  private readonly accumulation: Accumulation | null;
  private readonly trained: DoubleBuffer<HostValue>;
  /** What is not trained: frozen weights that the loss reads, and modules that it does not. */
  private readonly frozen: Feeds;
  private readonly state: DoubleBuffer<HostValue>;

  constructor(
    specs: readonly ParameterSpec[],
    parameters: ReadonlyMap<string, HostValue>,
    optimizer: Optimizer,
    { engine, moments, step = 0 }: StepOptions,
    program: Program,
    accumulation: Accumulation | null,
  ) {
    this.specs = specs;
    this.stepCount = step;
    this.optimizer = optimizer;
    this.engine = engine;
    this.program = program;
    this.accumulation = accumulation;
    const names = new Set(specs.map(({ name }) => name));
    this.trained = new DoubleBuffer(new Map([...parameters].filter(([name]) => names.has(name))));
    this.frozen = Object.fromEntries([...parameters].filter(([name]) => !names.has(name)));
    const initial = specs.flatMap((spec) =>
      momentNames(spec, optimizer).map(
        (name) => [name, moments?.get(name) ?? allocate("f32", spec.shape)] as const,
      ),
    );
    this.state = new DoubleBuffer(new Map(initial));
  }

  /**
   * One update by the sum of all batches' gradients.
   * @returns the gradient's norm before clipping, and what each batch measured
   * @throws UserError of kind "non-finite", before anything is replaced
   */
  async update(batches: Iterable<Feeds>, rates: Rates): Promise<{ norm: number; measured: Measured[] }> {
    if (this.accumulation === null) {
      const [batch, ...others] = batches;
      if (batch === undefined || others.length > 0)
        throw new RangeError(
          `a fused step takes one batch, not ${batch === undefined ? 0 : 1 + others.length}`,
        );
      const measured = await this.advance({ ...this.frozen, ...batch }, rates);
      return { norm: measured.scalars.norm, measured: [measured] };
    }
    const { program, zeros, sums } = this.accumulation;
    const measured: Measured[] = [];
    for (const batch of batches) {
      const before = measured.length === 0 ? zeros : sums.feeds();
      const feeds = { ...this.frozen, ...this.trained.feeds(), ...before, ...batch };
      measured.push(await this.run(program, feeds, sums.fetches()));
      sums.swap();
    }
    if (measured.length === 0) throw new RangeError("an update needs a batch");
    const { scalars } = await this.advance(sums.feeds(), rates);
    return { norm: scalars.norm, measured };
  }

  /** Runs a program and checks its loss and norm. */
  private async run({ graph, session, flops }: Program, feeds: Feeds, fetches: Feeds): Promise<Measured> {
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
        throw nonFinite(this.stepCount + 1, await locateNonFinite(this.engine, graph, feeds), what);
    return { scalars, vectors };
  }

  /** Runs the program that holds the optimizer; its results become the state. */
  private async advance(feeds: Feeds, rates: Rates): Promise<Measured> {
    const { trained, state } = this;
    const [beta1, beta2] = this.optimizer.betas;
    const { lr, muonLr, biasRate = 0 } = rates;
    const values = { ...stepScalarValues(this.stepCount + 1, lr, muonLr, beta1, beta2), biasRate };
    const scalars = Object.entries(values).map(([name, value]) => [name, scalar(value)]);
    const measured = await this.run(
      this.program,
      { ...trained.feeds(), ...state.feeds(), ...feeds, ...Object.fromEntries(scalars) },
      { ...trained.fetches(), ...state.fetches() },
    );
    trained.swap();
    state.swap();
    this.stepCount++;
    return measured;
  }

  /** The current parameters by name; valid until the update after the next. */
  parameters(): ReadonlyMap<string, HostValue> {
    return new Map([...this.trained.values(), ...Object.entries(this.frozen)]);
  }

  moments(): ReadonlyMap<string, HostValue> {
    return this.state.values();
  }

  /** See `Session.rest`. */
  async rest(): Promise<void> {
    await (this.accumulation?.program ?? this.program).session.rest();
  }

  async release(): Promise<void> {
    await this.accumulation?.program.session.release();
    await this.program.session.release();
  }
}
