/** What a graph costs without running it: FLOPs by line of the model, and the memory that its values need. */
import type { Op } from "./op.ts";
import { bindShape, DTYPE_BYTES, type DType, type Graph, type Node } from "./tensor.ts";

/** The nodes that the outputs need, composite ops through their bodies, in order. */
export function neededNodes(graph: Graph): Node[] {
  const needed = new Set<Node>();
  for (const tensor of graph.outputs.values()) needed.add(tensor.node);
  for (let id = graph.nodes.length - 1; id >= 0; id--) {
    const node = graph.nodes[id];
    if (!needed.has(node)) continue;
    for (const tensor of node.body ?? node.inputs) needed.add(tensor.node);
  }
  return graph.nodes.filter((node) => needed.has(node));
}

/** Floating-point operations of one run, in total and by path; `sizes` gives the symbols their values. */
export function countFlops(
  graph: Graph,
  sizes: Record<string, number> = {},
): { total: number; byPath: Map<string, number> } {
  const byPath = new Map<string, number>();
  let total = 0;
  for (const node of neededNodes(graph)) {
    const op = node.op as unknown as Op<unknown>;
    if (op.flops === "body") continue;
    const flops = op.flops(
      node.inputs.map((t) => bindShape(t.shape, sizes)),
      node.outputs.map((t) => bindShape(t.shape, sizes)),
      node.attrs,
    );
    total += flops;
    byPath.set(node.path, (byPath.get(node.path) ?? 0) + flops);
  }
  return { total, byPath };
}

/** Ops whose result is there before a run. */
const GIVEN = new Set(["input", "constant", "weight"]);

/** Ops whose result shares its operand's memory. */
const VIEWS = new Set(["reshape", "detach"]);

/**
 * Bytes held by inputs and outputs, and the largest sum of intermediate values alive at once when nodes run in order
 * and a value is freed after its last reader: an estimate of what an engine with a perfect allocator would take.
 */
export function estimateMemory(
  graph: Graph,
  sizes: Record<string, number> = {},
): { persistent: number; peakIntermediate: number } {
  const nodes = neededNodes(graph);
  const bytes = (dtype: DType, shape: readonly (number | string)[]): number =>
    DTYPE_BYTES[dtype] * bindShape(shape, sizes).reduce((total, dim) => total * dim, 1);
  let persistent = 0;
  for (const tensor of [...graph.inputs.values(), ...graph.outputs.values()])
    persistent += bytes(tensor.dtype, tensor.shape);

  const owner = new Map<Node, Node>();
  const resolve = (node: Node): Node => owner.get(node) ?? node;
  const lastUse = new Map<Node, number>();
  for (const [order, node] of nodes.entries()) {
    const alias = node.body?.[0].node ?? (VIEWS.has(node.op.name) ? node.inputs[0].node : null);
    if (alias !== null) owner.set(node, resolve(alias));
    for (const input of node.inputs) lastUse.set(resolve(input.node), order);
    lastUse.set(resolve(node), Math.max(lastUse.get(resolve(node)) ?? order, order));
  }
  const freeAt = new Map<number, number>();
  const outputs = new Set([...graph.outputs.values()].map((t) => resolve(t.node)));
  let alive = 0;
  let peak = 0;
  for (const [order, node] of nodes.entries()) {
    if (!owner.has(node) && !GIVEN.has(node.op.name) && !outputs.has(node)) {
      const size = node.outputs.reduce((total, t) => total + bytes(t.dtype, t.shape), 0);
      alive += size;
      const end = lastUse.get(node) ?? order;
      freeAt.set(end, (freeAt.get(end) ?? 0) + size);
    }
    peak = Math.max(peak, alive);
    alive -= freeAt.get(order) ?? 0;
  }
  return { persistent, peakIntermediate: peak };
}
