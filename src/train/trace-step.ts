/** The graphs of a training step: loss and gradients, and the optimizer's update, in one graph or in two. */
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
} from "../graph/optim.ts";
import { Graph, GraphError, type Tensor } from "../graph/tensor.ts";
import type { LossGraph } from "../models/design.ts";
import { isProjection, type ParameterSpec, type Parameters, parameterInputs } from "../models/layers.ts";
import type { Optimizer } from "./optimizer.ts";

/** Traces the loss; it defines the batch's inputs itself. */
export type BuildLoss = (graph: Graph, parameters: Parameters) => LossGraph;

/** A router's bias is moved by its experts' load, not by a gradient. */
const isBalanced = ({ role }: ParameterSpec): boolean => role === "routerBias";

/** The state of one parameter's optimizer: Muon keeps a momentum, AdamW two moments. */
export function momentNames(spec: ParameterSpec, optimizer: Optimizer): string[] {
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
  const [balanced, learned] = [specs.filter(isBalanced), specs.filter((spec) => !isBalanced(spec))];
  const { betas, epsilon, weightDecay, clip } = optimizer;
  const options = { beta1: betas[0], beta2: betas[1], epsilon, weightDecay };
  graph.scope("optimizer", () => {
    const scalars = stepScalars(graph);
    const biasRate = balanced.length > 0 ? input(graph, "biasRate", "f32", []) : null;
    const norm = graph.scope("norm", () =>
      globalNorm(learned.map(({ name }) => gradients.get(name) as Tensor)),
    );
    graph.output("norm", norm);
    const factor = clip === null ? null : graph.scope("clip", () => clipFactor(norm, clip));
    const members: MuonGroupMember[] = [];
    for (const { name } of balanced) {
      const [bias, load] = [parameters.get(name) as Tensor, gradients.get(name) as Tensor];
      graph.output(`${name}.next`, balanceBias(bias, load, biasRate as Tensor));
    }
    for (const spec of learned) {
      const parameter = parameters.get(spec.name) as Tensor;
      const raw = gradients.get(spec.name) as Tensor;
      graph.scope(spec.name, () => {
        const moment = (suffix: string) => input(graph, `${spec.name}.${suffix}`, "f32", spec.shape);
        if (usesMuon(spec, optimizer)) {
          const gradient = factor === null ? raw : mul(raw, factor);
          members.push({ name: spec.name, parameter, gradient, momentum: moment("momentum") });
          return;
        }
        const next = adamW(parameter, raw, factor, moment("m"), moment("v"), scalars, options);
        graph.output(`${spec.name}.next`, next.parameter);
        graph.output(`${spec.name}.m.next`, next.m);
        graph.output(`${spec.name}.v.next`, next.v);
      });
    }
    if (optimizer.kind === "muon" && members.length > 0)
      for (const [name, next] of muon(members, scalars.muonLr, {
        momentum: optimizer.momentum,
        weightDecay,
      })) {
        graph.output(`${name}.next`, next.parameter);
        graph.output(`${name}.momentum.next`, next.momentum);
      }
  });
}

function traceMeasured(graph: Graph, parameters: Parameters, buildLoss: BuildLoss): LossGraph {
  const traced = buildLoss(graph, parameters);
  for (const [name, tensor] of Object.entries({ loss: traced.loss, ...traced.measurements }))
    graph.output(name, tensor);
  return traced;
}

/** The loss and its measurements alone. */
export function traceForward(specs: readonly ParameterSpec[], buildLoss: BuildLoss): Graph {
  const graph = new Graph();
  traceMeasured(graph, parameterInputs(graph, specs), buildLoss);
  return graph;
}

function traceGradients(
  graph: Graph,
  specs: readonly ParameterSpec[],
  buildLoss: BuildLoss,
): { parameters: Parameters; gradients: Map<string, Tensor> } {
  const parameters = parameterInputs(graph, specs);
  const { loss, loads } = traceMeasured(graph, parameters, buildLoss);
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
  // In place of a router bias's gradient is its experts' load, which is summed over micro-batches like one.
  for (const { name } of specs.filter(isBalanced)) {
    const none = expandLike(constant(graph, 0), parameters.get(name) as Tensor);
    gradients.set(name, loads?.get(name) ?? none);
  }
  return { parameters, gradients };
}

/** The step in one graph: batch, parameters and moments in; next parameters and moments, loss and norm out. */
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
