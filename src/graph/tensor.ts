/**
 * Symbolic values: a `Tensor` has a dtype and a shape but no data. Ops connect tensors into a `Graph`, which is
 * differentiated (grad.ts), printed (print.ts), counted (analyse.ts) and lowered to ONNX (lower.ts).
 */
import type { Op } from "./op.ts";
import { type DType, GraphError, type Shape } from "./shape.ts";

export * from "./shape.ts";

export interface TensorSpec {
  dtype: DType;
  shape: Shape;
}

export class Tensor {
  readonly node: Node;
  /** Which of the node's outputs this is. */
  readonly index: number;
  readonly dtype: DType;
  readonly shape: Shape;

  constructor(node: Node, index: number, { dtype, shape }: TensorSpec) {
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

/** One application of an op. `body` holds the outputs of a composite op as its parts make them. */
export interface Node {
  readonly graph: Graph;
  readonly id: number;
  readonly op: Op;
  readonly inputs: readonly Tensor[];
  /** Of the type that the op's rules take, which alone can read them. */
  readonly attrs: never;
  /** The line of the model that made it, such as `layers.3.attn.qNope`; in the backward pass it ends with `.grad`. */
  readonly path: string;
  readonly outputs: readonly Tensor[];
  readonly body: readonly Tensor[] | null;
}

/** Nodes in the order in which they were made, which is a topological order. */
export class Graph {
  readonly nodes: Node[] = [];
  readonly inputs = new Map<string, Tensor>();
  readonly outputs = new Map<string, Tensor>();
  private path: string[] = [];

  /** All nodes made inside `make` carry `name` in their path. */
  scope<T>(name: string, make: () => T): T {
    this.path.push(name);
    try {
      return make();
    } finally {
      this.path.pop();
    }
  }

  /** Like `scope`, but replaces the path: a node of the backward pass names the forward line that it differentiates. */
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

  /** Applies an op. An error of its shape rule, or of an operand, names the line of the model. */
  addNode<A>(op: Op<A>, inputs: readonly Tensor[], attrs: A): Node {
    const path = this.currentPath();
    if (inputs.some((input) => input.graph !== this))
      throw new GraphError(`${op.name} at "${path}": an operand belongs to another graph`);
    const body = "body" in op ? this.scope(op.name, () => op.body(inputs, attrs)) : null;
    let specs: readonly TensorSpec[];
    try {
      specs = "shape" in op ? op.shape(inputs, attrs) : (body ?? []);
    } catch (error) {
      if (!(error instanceof GraphError)) throw error;
      throw new GraphError(`${path === "" ? "" : `${path}: `}${op.name}: ${error.message}`);
    }
    const outputs: Tensor[] = [];
    const made = { graph: this, id: this.nodes.length, path, inputs, outputs, body };
    const node: Node = { ...made, op, attrs: attrs as never };
    specs.forEach((spec, i) => {
      outputs.push(new Tensor(node, i, spec));
    });
    this.nodes.push(node);
    return node;
  }

  output(name: string, tensor: Tensor): void {
    if (this.outputs.has(name)) throw new GraphError(`output "${name}" is defined twice`);
    this.outputs.set(name, tensor);
  }
}
