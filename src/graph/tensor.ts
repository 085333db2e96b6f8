/**
 * Symbolic values: a `Tensor` has a dtype and a shape but no data. Ops, of which each is a set of rules, connect tensors
 * into a `Graph`, which is differentiated (grad.ts), printed (print.ts), counted (analyse.ts) and lowered to ONNX (lower.ts).
 */
import type { Emitter } from "./emitter.ts";
import { type DType, GraphError, type Shape } from "./shape.ts";

export * from "./shape.ts";

/** What a shape rule says of an output. */
export interface TensorSpec {
  dtype: DType;
  shape: Shape;
}

/** A symbolic value: an output of a node, with a dtype and a shape but no data. Ops make it. */
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

/** Emits ONNX nodes for inputs of these names; returns the names of the outputs. */
export type Lower<A> = (ctx: Emitter, inputs: string[], attrs: A, node: Node) => string[];
/** Floating-point operations of one application, from the concrete shapes of its inputs and outputs. */
export type Flops<A> = (inputs: number[][], outputs: number[][], attrs: A) => number;

/** A form of an op that one execution provider runs as a single kernel, or a few. */
export interface FusedForm<A = never> {
  /** Why this node cannot take the form, in words, or `null` where it can; a rule that is left out always can. */
  reason?: (node: Node, attrs: A) => string | null;
  lower: Lower<A>;
  /** How many of the op's outputs the form gives (default: all); where a later one is used, it is not taken. */
  outputs?: number;
}

interface CommonRule<A> {
  name: string;
  /** By the name of an execution provider (a device of runtime's table): a form that this provider runs faster. */
  fused?: Readonly<Record<string, FusedForm<A>>>;
  /** For an op that makes a weight [out, in]: x · weightᵀ without making the weight first. */
  linear?: (x: Tensor, node: Node, attrs: A) => Tensor;
  /** For the same ops: makes the weight from other inputs. */
  remake?: (inputs: readonly Tensor[], attrs: A) => Tensor;
  /**
   * "source": the value is there before a run. "view": the result is the memory of the first operand.
   * "partial": reads as much of its first operand as it writes. Left out: reads its operands and writes its result.
   */
  memory?: "view" | "source" | "partial";
}

/** One for each tensor, of its shape; `null` where no gradient reaches it. */
export type Gradients = readonly (Tensor | null)[];

/**
 * Gradients with respect to each input (`null`: none; those at the end may be left out), given that of the first output,
 * or those of `all` outputs, which are `null` where no one uses the output. A gradient may be larger than its input where
 * the op broadcast: `grad` sums it. `null`: nothing flows through the op.
 */
type GradRule<A> =
  | ((g: Tensor, node: Node, attrs: A) => Gradients)
  | { all: (gradients: Gradients, node: Node, attrs: A) => Gradients }
  | null;

/** The rules of an op; `defineOp` takes them. `A` is the type of its attributes. */
export interface OpRule<A> extends CommonRule<A> {
  /** Dtypes and shapes of the outputs. @throws GraphError for operands that the op cannot take */
  shape: (inputs: readonly Tensor[], attrs: A) => readonly TensorSpec[];
  /** Emits standard ONNX, which any runtime can load; what one runtime alone knows is a fused form. */
  lower: Lower<A>;
  grad: GradRule<A>;
  /** Floating-point operations for concrete shapes; a multiply-add counts 2 (as in 2MNK for a product). */
  flops: Flops<A>;
}

/** An op made of others: `body`, traced in a scope of the op's name, gives shapes, lowering and FLOPs. */
export interface CompositeRule<A> extends CommonRule<A> {
  /** Applies the parts; returns the outputs. */
  body: (inputs: readonly Tensor[], attrs: A) => readonly Tensor[];
  /** Left out: the gradient of the body. */
  grad?: GradRule<A>;
}

/** The op of some node, whose attributes only its own rules can read. */
export type Op<A = never> = OpRule<A> | CompositeRule<A>;

/** One application of an op. `body` holds the outputs of a composite op as its parts make them. */
export interface Node {
  readonly graph: Graph;
  readonly id: number;
  readonly op: Op;
  readonly inputs: readonly Tensor[];
  /** Attributes, whose type only the rules of the op know. */
  readonly attrs: never;
  /** The line of the model that made it, such as `layers.3.attn.q`; in the backward pass it ends with `.grad`. */
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

  /** Where a node would be made now, such as `layers.3.attn`; "" outside of any scope. */
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

  /** Names a result of the graph. @throws GraphError for a name that is taken */
  output(name: string, tensor: Tensor): void {
    if (this.outputs.has(name)) throw new GraphError(`output "${name}" is defined twice`);
    this.outputs.set(name, tensor);
  }
}
