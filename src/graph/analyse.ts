/** What a graph costs without running it: FLOPs by line of the model, memory that its values need, and time. */
import { kernels } from "./lower.ts";
import { bindShape, DTYPE_BYTES, type Graph, type Node, sizeOf, type Tensor } from "./tensor.ts";

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

/** Floating-point operations of one run, in total, by path and by the op's name; `sizes` gives the symbols their values. */
export function countFlops(
  graph: Graph,
  sizes: Record<string, number> = {},
): { total: number; byPath: Map<string, number>; byOp: Map<string, number> } {
  const [byPath, byOp] = [new Map<string, number>(), new Map<string, number>()];
  let total = 0;
  for (const node of neededNodes(graph)) {
    const flops = flopsOf(node, sizes);
    if (flops === null) continue;
    total += flops;
    byPath.set(node.path, (byPath.get(node.path) ?? 0) + flops);
    byOp.set(node.op.name, (byOp.get(node.op.name) ?? 0) + flops);
  }
  return { total, byPath, byOp };
}

/** `null`: those of the node's body. */
function flopsOf({ op, attrs, inputs, outputs }: Node, sizes: Record<string, number>): number | null {
  const shapes = (tensors: readonly Tensor[]) => tensors.map(({ shape }) => bindShape(shape, sizes));
  return "flops" in op ? op.flops(shapes(inputs), shapes(outputs), attrs) : null;
}

const bytesOf = ({ dtype, shape }: Tensor, sizes: Record<string, number>): number =>
  DTYPE_BYTES[dtype] * sizeOf(bindShape(shape, sizes));

/**
 * Bytes held by inputs and outputs, and the largest sum of intermediate values alive at once when nodes run in order
 * and a value is freed after its last reader: an estimate of what an engine with a perfect allocator would take.
 */
export function estimateMemory(
  graph: Graph,
  sizes: Record<string, number> = {},
): { persistent: number; peakIntermediate: number } {
  const nodes = neededNodes(graph);
  const bytes = (tensor: Tensor): number => bytesOf(tensor, sizes);
  let persistent = 0;
  for (const tensor of [...graph.inputs.values(), ...graph.outputs.values()]) persistent += bytes(tensor);

  const owner = new Map<Node, Node>();
  const resolve = (node: Node): Node => owner.get(node) ?? node;
  const lastUse = new Map<Node, number>();
  for (const [order, node] of nodes.entries()) {
    const alias = node.body?.[0].node ?? (node.op.memory === "view" ? node.inputs[0].node : null);
    if (alias !== null) owner.set(node, resolve(alias));
    for (const input of node.inputs) lastUse.set(resolve(input.node), order);
    lastUse.set(resolve(node), Math.max(lastUse.get(resolve(node)) ?? order, order));
  }
  const freeAt = new Map<number, number>();
  const outputs = new Set([...graph.outputs.values()].map((t) => resolve(t.node)));
  let alive = 0;
  let peak = 0;
  for (const [order, node] of nodes.entries()) {
    if (!owner.has(node) && node.op.memory !== "source" && !outputs.has(node)) {
      const size = node.outputs.reduce((total, t) => total + bytes(t), 0);
      alive += size;
      const end = lastUse.get(node) ?? order;
      freeAt.set(end, (freeAt.get(end) ?? 0) + size);
    }
    peak = Math.max(peak, alive);
    alive -= freeAt.get(order) ?? 0;
  }
  return { persistent, peakIntermediate: peak };
}

/** What a machine does in a second, as `measureSpeeds` finds it. */
export interface Speeds {
  /** Products of matrices, in FLOP/s. */
  flops: number;
  /** Elementwise passes, in bytes read and written. */
  bytes: number;
  /** Nodes that compute next to nothing, and values that are fed or fetched. */
  nodes: number;
}

/**
 * Seconds that one run should take: each kernel takes the longer of its arithmetic and its memory traffic (the roofline,
 * Williams et al. 2009), and a fixed time. A fused kernel is taken to be bound by memory.
 */
export function estimateSeconds(
  graph: Graph,
  speeds: Speeds,
  sizes: Record<string, number> = {},
  provider = "cpu",
): number {
  let seconds = (graph.inputs.size + graph.outputs.size) / speeds.nodes;
  for (const node of kernels(graph, provider)) {
    const { inputs, outputs } = node;
    const { memory } = node.op;
    if (memory === "source" || memory === "view") continue;
    const flops = flopsOf(node, sizes) ?? 0;
    const read = memory === "partial" ? [...inputs.slice(1), ...outputs] : new Set(inputs);
    const bytes = [...read, ...outputs].reduce((total, tensor) => total + bytesOf(tensor, sizes), 0);
    seconds += Math.max(flops / speeds.flops, bytes / speeds.bytes) + 1 / speeds.nodes;
  }
  return seconds;
}
