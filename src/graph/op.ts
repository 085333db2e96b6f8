/**
 * What an op is: one object with its name, shape rule, ONNX lowering, gradient, FLOPs and sample inputs.
 * The type requires all of them and the tests loop over the registry, so a new op is tested by being written.
 */
import type { Lowering } from "./lower.ts";
import type { DType, Graph, Node, Shape, Tensor } from "./tensor.ts";

export interface TensorSpec {
  dtype: DType;
  shape: Shape;
}

/** A case on which the op is checked: shapes of its inputs, and how to call it. */
export interface Sample {
  label: string;
  /** f32 unless `dtype` says otherwise; `values` draws each element (default: uniform in [-1, 1)). */
  inputs: { shape: number[]; dtype?: DType; values?: (random: () => number, index: number) => number }[];
  build: (...inputs: Tensor[]) => Tensor;
  /** Which inputs have a gradient to check; default: every f32 input. */
  differentiable?: number[];
}

export type Flops<A> = (inputs: number[][], outputs: number[][], attrs: A) => number;

/** A form of the op that one execution provider runs as a single kernel. */
export interface FusedForm<A> {
  /** Why this node can't take the form, in words, or `null` where it can. */
  reason: (node: Node, attrs: A) => string | null;
  lower: (ctx: Lowering, node: Node, attrs: A) => string[];
  /** How many of the op's outputs the kernel gives (default: all); where a later one is used, the body is lowered. */
  outputs?: number;
}

export interface Op<A = never> {
  name: string;
  shape: (inputs: readonly Tensor[], attrs: A) => TensorSpec[];
  /** Emits ONNX nodes and returns the names of the outputs. A composite op is lowered through its body instead. */
  lower: ((ctx: Lowering, node: Node, attrs: A) => string[]) | "body";
  /**
   * Gradients with respect to each input (`null`: none), given those of the outputs (`null`: not used).
   * A gradient may be larger than its input where the op broadcast: `grad` sums it. "body": differentiate the body.
   */
  grad: ((node: Node, gradients: (Tensor | null)[], attrs: A) => (Tensor | null)[]) | "body";
  /** Floating-point operations for concrete shapes; a multiply-add counts 2 (as in 2MNK for a product). */
  flops: Flops<A> | "body";
  samples: Sample[];
  /** For an op that makes a weight [out, in]: x · weightᵀ by a cheaper way than making it first, and the weight of others. */
  applied?: (x: Tensor, node: Node, attrs: A) => Tensor;
  again?: (inputs: readonly Tensor[], attrs: A) => Tensor;
  /** Per execution provider: the fused form of a composite op. */
  fused?: Readonly<Record<string, FusedForm<A>>>;
}

const registry = new Map<string, Op>();

/** Every op, by name; the tests run over it. */
export function registeredOps(): Op[] {
  return [...registry.values()];
}

export function defineOp<A>(op: Op<A>): Op<A> {
  if (registry.has(op.name)) throw new Error(`op "${op.name}" is defined twice`);
  registry.set(op.name, op as unknown as Op);
  return op;
}

/** Applies an op; the first of its outputs. */
export function apply<A>(op: Op<A>, inputs: readonly Tensor[], attrs: A): Tensor {
  return applyAll(op, inputs, attrs)[0];
}

/** Applies an op; all its outputs. */
export function applyAll<A>(op: Op<A>, inputs: readonly Tensor[], attrs: A): readonly Tensor[] {
  return inputs[0].graph.addNode(op as unknown as Op, inputs, attrs).outputs;
}

/** Applies a composite op: its body is traced first, inside a scope of the op's name. */
export function applyComposite<A>(
  op: Op<A>,
  inputs: readonly Tensor[],
  attrs: A,
  body: () => readonly Tensor[],
): readonly Tensor[] {
  const graph: Graph = inputs[0].graph;
  const traced = graph.scope(op.name, body);
  return graph.addNode(op as unknown as Op, inputs, attrs, traced).outputs;
}

export const size = (shape: number[]): number => shape.reduce((total, dim) => total * dim, 1);

/** One operation for each element of the first output. */
export const perElement =
  (cost = 1): Flops<unknown> =>
  (_inputs, outputs) =>
    cost * size(outputs[0]);

export const free: Flops<unknown> = () => 0;
