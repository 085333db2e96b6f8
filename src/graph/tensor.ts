/**
 * Symbolic values: a `Tensor` has a dtype and a shape but no data. Ops connect tensors into a `Graph`, which is
 * differentiated (grad.ts), printed (print.ts), counted (analyse.ts) and lowered to ONNX (lower.ts).
 */
import type { Emitter } from "./emitter.ts";
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

export type Gradients = readonly (Tensor | null)[];

/** Emits ONNX nodes for the inputs of these names; returns the names of the outputs. */
export type Lower = (ctx: Emitter, inputs: string[], node: Node) => string[];

/** A form of an op that one execution provider runs as a single kernel, or a few. */
export interface FusedForm {
  /** Why this node cannot take the form, in words, or `null` where it can. */
  reason: (node: Node) => string | null;
  lower: Lower;
  /** How many of the op's outputs the form gives (default: all); where a later one is used, it is not taken. */
  outputs?: number;
}

/** An op with its attributes, as one node applies it; `defineOp` in op.ts says what each part is. */
export interface Op {
  readonly name: string;
  /** Where the result's memory comes from: see `OpRule`. */
  readonly memory?: "view" | "source" | "partial";
  readonly lower: Lower | "body";
  readonly grad: ((node: Node, gradients: Gradients) => Gradients) | "body";
  readonly flops: ((inputs: number[][], outputs: number[][]) => number) | "body";
  /** By the name of the execution provider. */
  readonly fused: Readonly<Record<string, FusedForm>>;
  readonly linear?: (x: Tensor, node: Node) => Tensor;
  readonly remake?: (inputs: readonly Tensor[]) => Tensor;
}

/** One application of an op. `body` holds the outputs of a composite op as its parts make them. */
export interface Node {
  readonly graph: Graph;
  readonly id: number;
  readonly op: Op;
  readonly inputs: readonly Tensor[];
  /** For people: see `printGraph`. */
  readonly attrs: unknown;
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

  /** `shapes` gives the outputs' types; an error of it, or of an operand, names the line of the model. */
  addNode(
    { op, inputs, attrs, body }: Pick<Node, "op" | "inputs" | "attrs" | "body">,
    shapes: () => readonly TensorSpec[],
  ): Node {
    const path = this.currentPath();
    if (inputs.some((input) => input.graph !== this))
      throw new GraphError(`${op.name} at "${path}": an operand belongs to another graph`);
    let specs: readonly TensorSpec[];
    try {
      specs = shapes();
    } catch (error) {
      if (!(error instanceof GraphError)) throw error;
      throw new GraphError(`${path === "" ? "" : `${path}: `}${op.name}: ${error.message}`);
    }
    const outputs: Tensor[] = [];
    const node: Node = { graph: this, id: this.nodes.length, op, inputs, attrs, path, outputs, body };
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
