/** Finds the node that made the first NaN or infinity: the step runs again, and keeps a part of its values at a time. */
import { neededNodes } from "../graph/analyse.ts";
import { sizesIn } from "../graph/run-flops.ts";
import { bindShape, Graph, type Tensor } from "../graph/tensor.ts";
import { UserError } from "../lib/errors.ts";
import type { Engine } from "../runtime/engine.ts";
import { read, type Value } from "../runtime/value.ts";

/**
 * The error of an update whose loss or gradient norm is not finite. Its data: the step, the node (`null` where none was
 * found), and `what` is not finite.
 */
export const nonFinite = (step: number, node: string | null, what: string): UserError =>
  new UserError({
    kind: "non-finite",
    what:
      `step ${step}: the ${what} is not a finite number${node === null ? "" : `; the first node that made one is ${node}`}. ` +
      "The parameters are still those of the step before.",
    data: { step, node, what },
  });

/** The same error with the number of a stage's step, which may make several updates, or none. */
export function atStep({ data }: UserError, step: number): UserError {
  return nonFinite(step, data.node as string | null, data.what as string);
}

/** Bytes that one run keeps, unless a single value is larger: a step's values together may be many times the memory. */
const KEPT_BYTES = 2 ** 30;

/**
 * The path and op of the first node, in order, whose result is not finite though its operands are; `null` where all
 * values are finite. `feeds` are those of the step that failed; a run keeps `most` bytes.
 */
export async function locateNonFinite(
  engine: Engine,
  graph: Graph,
  feeds: Record<string, Value>,
  most = KEPT_BYTES,
): Promise<string | null> {
  for (const [name, value] of Object.entries(feeds))
    if (value.dtype === "f32" && !(await allFinite(value))) return `the input "${name}"`;
  const sizes = sizesIn(graph, feeds);
  const parts: { name: string; tensor: Tensor }[][] = [];
  let left = 0;
  for (const node of neededNodes(graph))
    for (const [i, tensor] of node.outputs.entries())
      if (
        tensor.dtype === "f32" &&
        node.op.name !== "input" &&
        node.op.name !== "constant" &&
        node.body === null
      ) {
        const bytes = bindShape(tensor.shape, sizes).reduce((total, dim) => total * dim, 4);
        if (parts.length === 0 || bytes > left) {
          parts.push([]);
          left = most;
        }
        left -= bytes;
        parts[parts.length - 1].push({ name: `probe:${node.id}:${i}`, tensor });
      }
  for (const part of parts) {
    const probe = Object.assign(Object.create(Graph.prototype), graph, {
      outputs: new Map(part.map(({ name, tensor }) => [name, tensor])),
    }) as Graph;
    const session = await engine.session(probe, "probe", { composed: true });
    try {
      const results = await session.run(feeds);
      for (const { name, tensor } of part)
        if (!(await allFinite(results[name])))
          return `"${tensor.node.path}" (${tensor.node.op.name}, [${tensor.shape}])`;
    } finally {
      await session.release();
    }
  }
  return null;
}

const allFinite = async (value: Value): Promise<boolean> => (await read(value, "f32")).every(Number.isFinite);
