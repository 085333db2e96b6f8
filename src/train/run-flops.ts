/** FLOPs of a graph's runs, from the sizes of what each run is fed. */
import { countFlops } from "../graph/analyse.ts";
import type { Graph } from "../graph/tensor.ts";
import type { Value } from "../runtime/session.ts";

export class RunFlops {
  private readonly graph: Graph;
  /** Inputs that tell a size: the symbol, the input's name and the axis. */
  private readonly symbols = new Map<string, { name: string; axis: number }>();
  private readonly known = new Map<string, number>();

  constructor(graph: Graph) {
    this.graph = graph;
    for (const [name, { shape }] of graph.inputs)
      shape.forEach((dim, axis) => {
        if (typeof dim === "string" && /^\w+$/.test(dim)) this.symbols.set(dim, { name, axis });
      });
  }

  of(feeds: Record<string, Value>): number {
    const { chosen, ...sizes } = Object.fromEntries(
      [...this.symbols].map(([symbol, { name, axis }]) => [symbol, feeds[name].shape[axis] as number]),
    );
    if (chosen === undefined) return this.count(sizes);
    // Linear in the completions' tokens, of which every micro-batch has another number: two counts give the line.
    const none = this.count({ ...sizes, chosen: 0 });
    return none + chosen * (this.count({ ...sizes, chosen: 1 }) - none);
  }

  private count(sizes: Record<string, number>): number {
    const key = JSON.stringify(sizes);
    const flops = this.known.get(key) ?? countFlops(this.graph, sizes).total;
    this.known.set(key, flops);
    return flops;
  }
}
