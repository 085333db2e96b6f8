/**
 * Symbolic values: a `Tensor` has a dtype and a shape but no data. Ops connect tensors into a `Graph`,
 * which is differentiated (grad.ts), printed (print.ts) and lowered to ONNX (lower.ts).
 */
import type { Op, TensorSpec } from "./op.ts";

export type DType = "f32" | "f16" | "bf16" | "i32" | "i64" | "u8" | "bool";

/** A size: a number, or a product of symbols and sums such as "batch", "batch*seq", "4*batch" or "(past+1)"; see `partDim`. */
export type Dim = number | string;
export type Shape = readonly Dim[];

/** Bytes of one element. */
export const DTYPE_BYTES: Record<DType, number> = { f32: 4, f16: 2, bf16: 2, i32: 4, i64: 8, u8: 1, bool: 1 };

export class GraphError extends Error {
  override name = "GraphError";
}

/** The canonical product of sizes: numbers multiply, symbols are sorted, so equal sizes are equal values. */
export function product(dims: Shape): Dim {
  let factor = 1;
  const symbols: string[] = [];
  for (const dim of dims) {
    if (typeof dim === "number") factor *= dim;
    else
      for (const part of splitOutside(dim, "*")) {
        if (/^\d+$/.test(part)) factor *= Number(part);
        else symbols.push(part);
      }
  }
  if (symbols.length === 0 || factor === 0) return factor;
  symbols.sort();
  return factor === 1 ? symbols.join("*") : `${factor}*${symbols.join("*")}`;
}

/**
 * The size of one of `parts` parts of `total` rows that only a run decides. Where a number is needed (FLOPs, memory) it
 * is the expected one, total / parts; what is linear in the rows adds up exactly over the parts.
 */
export function partDim(part: number, parts: number, total: Dim): Dim {
  return parts === 1 ? total : `part(${part},${parts},${total})`;
}

/** The parts of a size between separators that stand in no parentheses. */
function splitOutside(dim: string, separator: "*" | "+"): string[] {
  const parts = [""];
  let depth = 0;
  for (const character of dim) {
    if (character === "(") depth++;
    if (character === ")") depth--;
    if (character === separator && depth === 0) parts.push("");
    else parts[parts.length - 1] += character;
  }
  return parts;
}

/** The number behind a size, once its symbols have values. Throws `GraphError` naming a symbol without one. */
export function bindDim(dim: Dim, sizes: Record<string, number>): number {
  if (typeof dim === "number") return dim;
  let value = 1;
  for (const part of splitOutside(dim, "*")) {
    const share = /^part\(\d+,(\d+),(.*)\)$/.exec(part);
    if (share !== null) {
      value *= bindDim(share[2], sizes) / Number(share[1]);
      continue;
    }
    const bound = /^\d+$/.test(part)
      ? Number(part)
      : part.startsWith("(")
        ? splitOutside(part.slice(1, -1), "+").reduce((sum, term) => sum + bindDim(term, sizes), 0)
        : sizes[part];
    if (bound === undefined)
      throw new GraphError(`size "${part}" has no value; give it one, e.g. { ${part}: 8 }`);
    value *= bound;
  }
  return value;
}

export function bindShape(shape: Shape, sizes: Record<string, number>): number[] {
  return shape.map((dim) => bindDim(dim, sizes));
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, i) => dim === b[i]);
}

/** NumPy's broadcasting of two shapes; throws `GraphError` where two sizes differ and neither is 1. */
export function broadcastShapes(a: Shape, b: Shape): Dim[] {
  const rank = Math.max(a.length, b.length);
  const result: Dim[] = [];
  for (let i = 0; i < rank; i++) {
    const left = a[a.length - rank + i] ?? 1;
    const right = b[b.length - rank + i] ?? 1;
    if (left === right || right === 1) result.push(left);
    else if (left === 1) result.push(right);
    else
      throw new GraphError(`shapes [${a}] and [${b}] do not broadcast: axis ${i} has ${left} and ${right}`);
  }
  return result;
}

export class Tensor {
  readonly node: Node;
  /** Which of the node's outputs this is. */
  readonly index: number;
  readonly dtype: DType;
  readonly shape: Shape;

  constructor(node: Node, index: number, dtype: DType, shape: Shape) {
    this.node = node;
    this.index = index;
    this.dtype = dtype;
    this.shape = shape;
  }

  get graph(): Graph {
    return this.node.graph;
  }

  get rank(): number {
    return this.shape.length;
  }
}

/** One application of an op. `body` holds the composed form of a composite op's outputs. */
export interface Node {
  readonly graph: Graph;
  readonly id: number;
  readonly op: Op;
  readonly inputs: readonly Tensor[];
  readonly attrs: unknown;
  /** The line of the model that made it, e.g. `layers.3.attn.qNope`, and `.grad` behind it in the backward pass. */
  readonly path: string;
  outputs: readonly Tensor[];
  body: readonly Tensor[] | null;
}

/** Nodes in the order they were made, which is a topological order. */
export class Graph {
  readonly nodes: Node[] = [];
  readonly inputs = new Map<string, Tensor>();
  readonly outputs = new Map<string, Tensor>();
  private path: string[] = [];

  /** Everything made inside `make` carries `name` in its path. */
  scope<T>(name: string, make: () => T): T {
    this.path.push(name);
    try {
      return make();
    } finally {
      this.path.pop();
    }
  }

  /** Like `scope`, but replaces the whole path: the backward pass speaks of the forward line it inverts. */
  scopeAt<T>(path: string, make: () => T): T {
    const saved = this.path;
    this.path = path === "" ? [] : [path];
    try {
      return make();
    } finally {
      this.path = saved;
    }
  }

  currentPath(): string {
    return this.path.join(".");
  }

  addNode(op: Op, inputs: readonly Tensor[], attrs: unknown, body: readonly Tensor[] | null = null): Node {
    const here = this.currentPath();
    for (const input of inputs)
      if (input.graph !== this)
        throw new GraphError(`${op.name} at "${here}": an operand belongs to another graph`);
    let specs: TensorSpec[];
    try {
      specs = op.shape(inputs, attrs as never);
    } catch (error) {
      if (!(error instanceof GraphError)) throw error;
      throw new GraphError(`${here === "" ? "" : `${here}: `}${op.name}: ${error.message}`);
    }
    const node: Node = {
      graph: this,
      id: this.nodes.length,
      op,
      inputs,
      attrs,
      path: here,
      outputs: [],
      body,
    };
    node.outputs = specs.map((spec, i) => new Tensor(node, i, spec.dtype, spec.shape));
    this.nodes.push(node);
    return node;
  }

  output(name: string, tensor: Tensor): void {
    if (this.outputs.has(name)) throw new GraphError(`output "${name}" is defined twice`);
    this.outputs.set(name, tensor);
  }
}
