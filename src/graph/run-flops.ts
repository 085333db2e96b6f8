/** FLOPs of a graph's runs, from the sizes of what each run is fed. */
import { countFlops } from "./analyse.ts";
import type { Graph } from "./tensor.ts";

/** Inputs that tell a size, by its symbol: the input's name and the axis. */
function symbolsOf(graph: Graph): Map<string, { name: string; axis: number }> {
  const symbols = new Map<string, { name: string; axis: number }>();
  for (const [name, { shape }] of graph.inputs)
    shape.forEach((dim, axis) => {
      if (typeof dim === "string" && /^\w+$/.test(dim)) symbols.set(dim, { name, axis });
    });
  return symbols;
}

type Fed = Readonly<Record<string, { shape: readonly number[] }>>;

/** The sizes that a graph's symbols have in a run. */
export const sizesIn = (graph: Graph, feeds: Fed, symbols = symbolsOf(graph)): Record<string, number> =>
  Object.fromEntries(
    [...symbols].map(([symbol, { name, axis }]) => [symbol, feeds[name].shape[axis] as number]),
  );

export class RunFlops {
  private readonly graph: Graph;
  private readonly symbols: ReturnType<typeof symbolsOf>;
  private readonly known = new Map<string, number>();

  constructor(graph: Graph) {
    this.graph = graph;
    this.symbols = symbolsOf(graph);
  }

  of(feeds: Fed): number {
    const { completionTokens, ...sizes } = sizesIn(this.graph, feeds, this.symbols);
    if (completionTokens === undefined) return this.total(sizes);
    // Linear in the completions' tokens, of which every micro-batch has another number: two counts give the line.
    const none = this.total({ ...sizes, completionTokens: 0 });
    return none + completionTokens * (this.total({ ...sizes, completionTokens: 1 }) - none);
  }

  /** FLOPs of a run with the given sizes. */
  total(sizes: Record<string, number>): number {
    const key = JSON.stringify(sizes);
    const flops = this.known.get(key) ?? countFlops(this.graph, sizes).total;
    this.known.set(key, flops);
    return flops;
  }
}
