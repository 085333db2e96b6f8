/**
 * Reverse-mode differentiation: one walk back over the nodes, which alone adds up fan-out and sums over broadcast axes,
 * so that no gradient rule mentions either.
 */

import { add } from "./ops/elementwise.ts";
import { reshape } from "./ops/movement.ts";
import { sum } from "./ops/reduce.ts";
import { constant } from "./ops/source.ts";
import { type Gradients, GraphError, type Node, sameShape, type Tensor } from "./tensor.ts";

/**
 * d loss / d x for each x of `wrt`; `loss` is a scalar. @throws GraphError naming an x that the loss does not depend on
 */
export function grad(loss: Tensor, wrt: readonly Tensor[]): Tensor[] {
  if (loss.rank !== 0) throw new GraphError(`the loss must be a scalar, not [${loss.shape}]`);
  const seed = loss.graph.scopeAt("loss.grad", () => constant(loss.graph, 1));
  return gradients([loss], [seed], wrt).map((gradient, i) => {
    if (gradient === null) throw new GraphError(`the loss does not depend on "${wrt[i].node.path}"`);
    return gradient;
  });
}

/** Gradients with respect to `wrt`, given those of `outputs`; `null` where the outputs do not depend on it. */
export function gradients(outputs: readonly Tensor[], seeds: Gradients, wrt: readonly Tensor[]): Gradients {
  const graph = outputs[0].graph;
  const last = Math.max(...outputs.map((t) => t.node.id));
  const depends = dependents(wrt, last);
  const flow = new Map<Tensor, Tensor>();
  const receive = (tensor: Tensor, gradient: Tensor | null): void => {
    if (gradient === null || !depends.has(tensor.node)) return;
    const fitted = sumToShape(gradient, tensor);
    const before = flow.get(tensor);
    flow.set(tensor, before === undefined ? fitted : add(before, fitted));
  };
  outputs.forEach((output, i) => {
    receive(output, seeds[i]);
  });

  for (let id = last; id >= 0; id--) {
    const node = graph.nodes[id];
    if (!depends.has(node)) continue;
    const incoming = node.outputs.map((output) => flow.get(output) ?? null);
    if (incoming.every((g) => g === null)) continue;
    graph.scopeAt(`${node.path}.grad`, () => {
      const targets = node.op.grad === undefined ? (node.body ?? []) : node.inputs;
      applyRule(node, incoming).forEach((gradient, i) => {
        receive(targets[i], gradient);
      });
    });
  }
  return wrt.map((tensor) => flow.get(tensor) ?? null);
}

/** An op without a rule hands the gradients on to its body. */
function applyRule(node: Node, incoming: Gradients): Gradients {
  const { op, attrs } = node;
  if (op.grad === undefined) return incoming;
  if (op.grad === null) return [];
  if (typeof op.grad !== "function") return op.grad.all(incoming, node, attrs);
  return incoming[0] === null ? [] : op.grad(incoming[0], node, attrs);
}

/** The nodes up to `last` whose value depends on one of `sources`. */
function dependents(sources: readonly Tensor[], last: number): Set<Node> {
  const found = new Set<Node>(sources.map((t) => t.node));
  const nodes = sources[0]?.graph.nodes ?? [];
  for (let id = 0; id <= last; id++) {
    const node = nodes[id];
    if (node.inputs.some((input) => found.has(input.node)) || node.body?.some((t) => found.has(t.node)))
      found.add(node);
  }
  return found;
}

/** Undoes broadcasting: sums over the axes that `tensor` lacks or has size 1 in. */
function sumToShape(gradient: Tensor, tensor: Tensor): Tensor {
  if (sameShape(gradient.shape, tensor.shape)) return gradient;
  const extra = gradient.rank - tensor.rank;
  const axes: number[] = [];
  for (let i = 0; i < gradient.rank; i++) {
    const target = i < extra ? null : tensor.shape[i - extra];
    if (target === null || (target === 1 && gradient.shape[i] !== 1)) axes.push(i);
  }
  return reshape(sum(gradient, axes, true), tensor.shape, tensor);
}
