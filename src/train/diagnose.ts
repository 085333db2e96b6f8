/** Finds where a NaN or an infinity was born: the step runs again with every value kept. */
import { neededNodes } from "../graph/analyse.ts";
import { Graph, type Tensor } from "../graph/tensor.ts";
import { Session, type Value } from "../runtime/session.ts";

export class NonFiniteError extends Error {
  override name = "NonFiniteError";
  readonly step: number;
  readonly node: string | null;
  constructor(step: number, node: string | null, what: string) {
    super(
      `step ${step}: the ${what} is not a finite number${node === null ? "" : `; the first node that made one is ${node}`}. ` +
        "The parameters are still those of the step before.",
    );
    this.step = step;
    this.node = node;
  }
}

/**
 * The path and op of the first node, in order, whose result is not finite though its operands are; `null` where all
 * values are finite. `feeds` are those of the step that failed.
 */
export async function locateNonFinite(graph: Graph, feeds: Record<string, Value>): Promise<string | null> {
  for (const [name, value] of Object.entries(feeds))
    if (value.data instanceof Float32Array && !value.data.every(Number.isFinite))
      return `the input "${name}"`;
  const probe = Object.assign(Object.create(Graph.prototype), graph, {
    outputs: new Map<string, Tensor>(),
  }) as Graph;
  const watched: { name: string; tensor: Tensor }[] = [];
  for (const node of neededNodes(graph))
    for (const [i, tensor] of node.outputs.entries())
      if (
        tensor.dtype === "f32" &&
        node.op.name !== "input" &&
        node.op.name !== "constant" &&
        node.body === null
      )
        watched.push({ name: `probe:${node.id}:${i}`, tensor });
  for (const { name, tensor } of watched) probe.outputs.set(name, tensor);
  const session = await Session.create(probe, { composed: true });
  try {
    const results = await session.run(feeds);
    for (const { name, tensor } of watched)
      if (!(results[name].data as Float32Array).every(Number.isFinite))
        return `"${tensor.node.path}" (${tensor.node.op.name}, [${tensor.shape}])`;
    return null;
  } finally {
    await session.release();
  }
}
