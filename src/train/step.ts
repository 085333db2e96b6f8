/**
 * A training step as programs: either one graph from batch to next parameters, or, where gradients accumulate over
 * micro-batches, one graph that adds to the gradients and one that applies the optimizer.
 */
import { countFlops } from "../graph/analyse.ts";
import { gradients as differentiate } from "../graph/grad.ts";
import { input } from "../graph/ops/source.ts";
import { add, constant, expandLike, mul } from "../graph/ops.ts";
import {
  adamW,
  balanceBias,
  clipFactor,
  globalNorm,
  type MuonGroupMember,
  muon,
  stepScalars,
  stepScalarValues,
} from "../graph/optim.ts";
import { RunFlops } from "../graph/run-flops.ts";
import { Graph, GraphError, type Tensor } from "../graph/tensor.ts";
import { isProjection, type ParameterSpec, type Parameters, parameterInputs } from "../models/layers.ts";
import { DoubleBuffer } from "../runtime/buffers.ts";
import { allocate, type HostValue, Session, scalar } from "../runtime/session.ts";
import { locateNonFinite, NonFiniteError } from "./diagnose.ts";
import { numbers, vectors } from "./measurements.ts";
import type { Optimizer } from "./optimizer.ts";

export { NonFiniteError };

export interface LossGraph {
  /** A scalar whose gradient is taken. */
  loss: Tensor;
  /** Scalars to be reported, such as sums over the batch, and vectors: the tokens of each expert. */
  measurements: Record<string, Tensor>;
  /** Tokens of each expert, [experts] f32, by the name of the router's bias that balances them. */
  loads?: ReadonlyMap<string, Tensor>;
}

/** Traces the loss; it defines the batch's inputs itself. */
export type BuildLoss = (graph: Graph, parameters: Parameters) => LossGraph;

/** The load of experts moves it and no gradient. */
const isBalanced = ({ role }: ParameterSpec): boolean => role === "routerBias";

/** The state of one parameter's optimizer: Muon keeps a momentum, AdamW two moments. */
function momentNames(spec: ParameterSpec, optimizer: Optimizer): string[] {
  if (isBalanced(spec)) return [];
  return usesMuon(spec, optimizer) ? [`${spec.name}.momentum`] : [`${spec.name}.m`, `${spec.name}.v`];
}

/** Muon is for the matrices inside the blocks; embeddings, head and norms stay with AdamW (Jordan et al. 2024). */
function usesMuon(spec: ParameterSpec, optimizer: Optimizer): boolean {
  return optimizer.kind === "muon" && (isProjection(spec) || spec.role === "router");
}

/** Traces the optimizer: outputs `<name>.next` for parameters and moments, and `norm`, the norm before clipping. */
function traceUpdate(
  graph: Graph,
  specs: readonly ParameterSpec[],
  parameters: Parameters,
  gradients: ReadonlyMap<string, Tensor>,
  optimizer: Optimizer,
): void {
  const balanced = specs.some(isBalanced);
  const scalars = graph.scope("optimizer", () => ({
    ...stepScalars(graph),
    biasRate: balanced ? input(graph, "biasRate", "f32", []) : null,
  }));
  const [beta1, beta2] = optimizer.betas;
  graph.scope("optimizer", () => {
    const learned = specs
      .filter((spec) => !isBalanced(spec))
      .map(({ name }) => gradients.get(name) as Tensor);
    const norm = graph.scope("norm", () => globalNorm(learned));
    graph.output("norm", norm);
    const factor =
      optimizer.clip === null ? null : graph.scope("clip", () => clipFactor(norm, optimizer.clip as number));
    const members: MuonGroupMember[] = [];
    for (const { name } of specs.filter(isBalanced)) {
      const [bias, load] = [parameters.get(name) as Tensor, gradients.get(name) as Tensor];
      graph.output(`${name}.next`, balanceBias(bias, load, scalars.biasRate as Tensor));
    }
    for (const spec of specs.filter((spec) => !isBalanced(spec))) {
      const parameter = parameters.get(spec.name) as Tensor;
      const raw = gradients.get(spec.name) as Tensor;
      graph.scope(spec.name, () => {
        const moment = (suffix: string) => input(graph, `${spec.name}.${suffix}`, "f32", spec.shape);
        if (usesMuon(spec, optimizer)) {
          const gradient = factor === null ? raw : mul(raw, factor);
          members.push({ name: spec.name, parameter, gradient, momentum: moment("momentum") });
          return;
        }
        const options = { beta1, beta2, epsilon: optimizer.epsilon, weightDecay: optimizer.weightDecay };
        const next = adamW(parameter, raw, factor, moment("m"), moment("v"), scalars, options);
        graph.output(`${spec.name}.next`, next.parameter);
        graph.output(`${spec.name}.m.next`, next.m);
        graph.output(`${spec.name}.v.next`, next.v);
      });
    }
    if (optimizer.kind === "muon" && members.length > 0)
      for (const [name, next] of muon(members, scalars.muonLr, {
        momentum: optimizer.momentum,
        weightDecay: optimizer.weightDecay,
      })) {
        graph.output(`${name}.next`, next.parameter);
        graph.output(`${name}.momentum.next`, next.momentum);
      }
  });
}

function traceGradients(
  graph: Graph,
  specs: readonly ParameterSpec[],
  buildLoss: BuildLoss,
): { parameters: Parameters; gradients: Map<string, Tensor> } {
  const parameters = parameterInputs(graph, specs);
  const { loss, measurements, loads } = buildLoss(graph, parameters);
  for (const [name, tensor] of Object.entries({ loss, ...measurements })) graph.output(name, tensor);
  const seed = graph.scopeAt("loss.grad", () => constant(graph, 1));
  const learned = specs.filter((spec) => !isBalanced(spec)).map(({ name }) => name);
  const found = differentiate(
    [loss],
    [seed],
    learned.map((name) => parameters.get(name) as Tensor),
  );
  const gradients = new Map<string, Tensor>();
  learned.forEach((name, i) => {
    const gradient = found[i];
    if (gradient === null) throw new GraphError(`the loss does not depend on "${name}"`);
    gradients.set(name, gradient);
  });
  // A bias that balances experts has their load in the place of a gradient: it adds up over micro-batches as well.
  for (const { name } of specs.filter(isBalanced)) {
    const none = expandLike(constant(graph, 0), parameters.get(name) as Tensor);
    gradients.set(name, loads?.get(name) ?? none);
  }
  return { parameters, gradients };
}

/** The whole step in one graph: batch, parameters and moments in; next parameters and moments, loss and norm out. */
export function traceStep(
  specs: readonly ParameterSpec[],
  buildLoss: BuildLoss,
  optimizer: Optimizer,
): Graph {
  const graph = new Graph();
  const { parameters, gradients } = traceGradients(graph, specs, buildLoss);
  traceUpdate(graph, specs, parameters, gradients, optimizer);
  return graph;
}

/** Adds a micro-batch's gradients to `<name>.sum`, giving `<name>.sum.next`. */
export function traceAccumulation(specs: readonly ParameterSpec[], buildLoss: BuildLoss): Graph {
  const graph = new Graph();
  const { gradients } = traceGradients(graph, specs, buildLoss);
  graph.scope("accumulate", () => {
    for (const { name, shape } of specs) {
      const total = add(input(graph, `${name}.sum`, "f32", shape), gradients.get(name) as Tensor);
      graph.output(`${name}.sum.next`, total);
    }
  });
  return graph;
}

/** The optimizer alone, from accumulated gradients `<name>.sum`. */
export function traceOptimizer(specs: readonly ParameterSpec[], optimizer: Optimizer): Graph {
  const graph = new Graph();
  const parameters = parameterInputs(graph, specs);
  const gradients = new Map(
    specs.map(({ name, shape }) => [name, input(graph, `${name}.sum`, "f32", shape)]),
  );
  traceUpdate(graph, specs, parameters, gradients, optimizer);
  return graph;
}

/** Learning rates of one update: AdamW's, and that of Muon's matrices. */
export interface Rates {
  lr: number;
  muonLr: number;
  /** γ: how far a router's bias moves (DeepSeek-V3, section 4.2); it rests where this is left out. */
  biasRate?: number;
}

export interface StepOptions {
  threads?: number;
  accumulate?: boolean;
  /** Moments and step count to go on from. */
  moments?: ReadonlyMap<string, HostValue>;
  step?: number;
}

/** Parameters, moments and the programs that advance them. */
export class TrainStep {
  readonly specs: readonly ParameterSpec[];
  readonly optimizer: Optimizer;
  /** Updates made so far. */
  stepCount: number;
  /** FLOPs run so far, counted from the graphs: of losses, gradients and optimizer. */
  flops = 0;
  /** The vectors among the last batch's measurements. */
  vectors: ReadonlyMap<string, Float32Array> = new Map();
  private readonly parameterState: DoubleBuffer<HostValue>;
  /** What is not trained: frozen weights that the loss reads, and modules that it does not. */
  private readonly frozen: Record<string, HostValue>;
  private readonly momentState: DoubleBuffer<HostValue>;
  private readonly lossGraph: Graph;
  private readonly main: Session;
  private readonly mainFlops: RunFlops;
  private readonly update: { graph: Graph; session: Session; flops: number } | null;
  private readonly sums: { zeros: Record<string, HostValue>; buffers: DoubleBuffer<HostValue> } | null;
  private accumulated = 0;

  private constructor(
    specs: readonly ParameterSpec[],
    optimizer: Optimizer,
    parameters: ReadonlyMap<string, HostValue>,
    lossGraph: Graph,
    main: Session,
    update: { graph: Graph; session: Session; flops: number } | null,
    options: StepOptions,
  ) {
    this.specs = specs;
    this.optimizer = optimizer;
    this.stepCount = options.step ?? 0;
    this.lossGraph = lossGraph;
    this.main = main;
    this.mainFlops = new RunFlops(lossGraph);
    this.update = update;
    const trained = new Set(specs.map(({ name }) => name));
    const pick = (wanted: boolean) =>
      new Map([...parameters].filter(([name]) => trained.has(name) === wanted));
    this.parameterState = new DoubleBuffer(pick(true));
    this.frozen = Object.fromEntries(pick(false));
    const moments = new Map<string, HostValue>();
    for (const spec of specs)
      for (const name of momentNames(spec, optimizer))
        moments.set(name, options.moments?.get(name) ?? allocate("f32", spec.shape));
    this.momentState = new DoubleBuffer(moments);
    if (update === null) this.sums = null;
    else {
      const sums = new Map(specs.map(({ name, shape }) => [`${name}.sum`, allocate("f32", shape)]));
      const zeros = Object.fromEntries(
        specs.map(({ name, shape }) => [`${name}.sum`, allocate("f32", shape)]),
      );
      this.sums = { zeros, buffers: new DoubleBuffer(sums) };
    }
  }

  /** Traces and prepares the step. `parameters` are taken over, not copied. */
  static async create(
    specs: readonly ParameterSpec[],
    parameters: ReadonlyMap<string, HostValue>,
    buildLoss: BuildLoss,
    optimizer: Optimizer,
    options: StepOptions = {},
  ): Promise<TrainStep> {
    const { threads } = options;
    if (options.accumulate !== true) {
      const graph = traceStep(specs, buildLoss, optimizer);
      const session = await Session.create(graph, { threads, name: "train-step" });
      return new TrainStep(specs, optimizer, parameters, graph, session, null, options);
    }
    const graph = traceAccumulation(specs, buildLoss);
    const session = await Session.create(graph, { threads, name: "accumulate" });
    const rest = traceOptimizer(specs, optimizer);
    const optimizing = await Session.create(rest, { threads, name: "optimizer" });
    const update = { graph: rest, session: optimizing, flops: countFlops(rest).total };
    return new TrainStep(specs, optimizer, parameters, graph, session, update, options);
  }

  /** The current parameters by name; valid until the update after the next. */
  parameters(): ReadonlyMap<string, HostValue> {
    return new Map([...this.parameterState.values(), ...Object.entries(this.frozen)]);
  }

  moments(): ReadonlyMap<string, HostValue> {
    return this.momentState.values();
  }

  /** FLOPs of one run of the main graph for the given sizes. */
  flopsOf(sizes: Record<string, number>): number {
    return countFlops(this.lossGraph, sizes).total;
  }

  private async scalars(rates: Rates): Promise<Record<string, HostValue>> {
    const [beta1, beta2] = this.optimizer.betas;
    const values = {
      ...stepScalarValues(this.stepCount + 1, rates.lr, rates.muonLr, beta1, beta2),
      biasRate: rates.biasRate ?? 0,
    };
    return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, scalar(value)]));
  }

  /** One fused step. Throws `NonFiniteError` before anything is replaced. */
  async step(batch: Record<string, HostValue>, rates: Rates): Promise<Record<string, number>> {
    const feeds = {
      ...this.frozen,
      ...this.parameterState.feeds(),
      ...this.momentState.feeds(),
      ...batch,
      ...pickInputs(this.main, await this.scalars(rates)),
    };
    const fetches = { ...this.parameterState.fetches(), ...this.momentState.fetches() };
    const results = await this.runMain(feeds, fetches);
    await this.checkFinite(results, feeds);
    this.parameterState.swap();
    this.momentState.swap();
    this.stepCount++;
    return results;
  }

  /** Adds a micro-batch's gradients; the parameters stay. */
  async accumulate(batch: Record<string, HostValue>): Promise<Record<string, number>> {
    if (this.sums === null) throw new GraphError("this step was created without `accumulate`");
    const before = this.accumulated === 0 ? this.sums.zeros : this.sums.buffers.feeds();
    const feeds = { ...this.frozen, ...this.parameterState.feeds(), ...before, ...batch };
    const results = await this.runMain(feeds, this.sums.buffers.fetches());
    await this.checkFinite(results, feeds);
    this.sums.buffers.swap();
    this.accumulated++;
    return results;
  }

  private async runMain(
    feeds: Record<string, HostValue>,
    fetches: Record<string, HostValue>,
  ): Promise<Record<string, number>> {
    const outputs = await this.main.run(feeds, fetches);
    this.flops += this.mainFlops.of(feeds);
    this.vectors = vectors(outputs, fetches);
    return numbers(outputs);
  }

  /** Applies the optimizer to what was accumulated; returns the gradient's norm before clipping. */
  async applyUpdate(rates: Rates): Promise<{ norm: number }> {
    if (this.sums === null || this.update === null || this.accumulated === 0)
      throw new GraphError("nothing was accumulated");
    const feeds = {
      ...this.parameterState.feeds(),
      ...this.momentState.feeds(),
      ...this.sums.buffers.feeds(),
      ...pickInputs(this.update.session, await this.scalars(rates)),
    };
    const fetches = { ...this.parameterState.fetches(), ...this.momentState.fetches() };
    const results = numbers(await this.update.session.run(feeds, fetches));
    this.flops += this.update.flops;
    await this.checkFinite(results, feeds, this.update.graph);
    this.parameterState.swap();
    this.momentState.swap();
    this.accumulated = 0;
    this.stepCount++;
    return { norm: results.norm };
  }

  private async checkFinite(
    results: Record<string, number>,
    feeds: Record<string, HostValue>,
    graph = this.lossGraph,
  ): Promise<void> {
    for (const what of ["loss", "norm"])
      if (what in results && !Number.isFinite(results[what])) {
        // What was accumulated is lost with the step.
        this.accumulated = 0;
        throw new NonFiniteError(
          this.stepCount + 1,
          await locateNonFinite(graph, feeds),
          what === "norm" ? "gradient norm" : what,
        );
      }
  }

  /** See `Session.rest`. */
  async rest(): Promise<void> {
    await this.main.rest();
  }

  async release(): Promise<void> {
    await this.main.release();
    await this.update?.session.release();
  }
}

function pickInputs(session: Session, values: Record<string, HostValue>): Record<string, HostValue> {
  return Object.fromEntries(
    session.inputs.flatMap(({ name }) => (name in values ? [[name, values[name]]] : [])),
  );
}
