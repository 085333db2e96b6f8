/**
 * What an op is: one object with its name, shape rule, ONNX lowering, gradient, FLOPs and sample inputs.
 * The type requires all of them and the tests loop over the registry, so a new op is tested by being written.
 */
import type { Emitter } from "./emitter.ts";
import type { Attribute } from "./proto.ts";
import type { Sample, SampleRule } from "./samples.ts";
import { sizeOf } from "./shape.ts";
import type { Graph, Node, Tensor, TensorSpec } from "./tensor.ts";

export { sizeOf } from "./shape.ts";

/** Emits ONNX nodes for inputs of these names; returns the names of the outputs. */
type Lower<A> = (ctx: Emitter, inputs: string[], attrs: A, node: Node) => string[];
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
  samples: readonly SampleRule[];
  /** By the name of an execution provider (a device of runtime's table): a form that this provider runs faster. */
  fused?: Readonly<Record<string, FusedForm<A>>>;
  /** For an op that makes a weight [out, in]: x · weightᵀ without making the weight first. */
  linear?: (x: Tensor, node: Node, attrs: A) => Tensor;
  /** For the same ops: the weight made of other inputs. */
  remake?: (inputs: readonly Tensor[], attrs: A) => Tensor;
  /**
   * "source": the value is there before a run. "view": the result is the memory of the first operand.
   * "partial": reads as much of its first operand as it writes. Left out: reads its operands and writes its result.
   */
  memory?: "view" | "source" | "partial";
}

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

export interface OpRule<A> extends CommonRule<A> {
  shape: (inputs: readonly Tensor[], attrs: A) => readonly TensorSpec[];
  /** Emits standard ONNX, which any runtime can load; what one runtime alone knows is a fused form. */
  lower: Lower<A>;
  grad: GradRule<A>;
  /** Floating-point operations for concrete shapes; a multiply-add counts 2 (as in 2MNK for a product). */
  flops: Flops<A>;
}

/** An op made of others: `body`, traced in a scope of the op's name, gives shapes, lowering and FLOPs. */
export interface CompositeRule<A> extends CommonRule<A> {
  body: (inputs: readonly Tensor[], attrs: A) => readonly Tensor[];
  /** Left out: the gradient of the body. */
  grad?: GradRule<A>;
}

/** The op of some node, whose attributes only its own rules can read. */
export type Op<A = never> = OpRule<A> | CompositeRule<A>;

/** Applies an op: the first of its outputs. */
export interface Apply<A> {
  (inputs: readonly Tensor[], attrs: A): Tensor;
  /** All outputs. An op without inputs needs the graph. */
  all(inputs: readonly Tensor[], attrs: A, graph?: Graph): readonly Tensor[];
  /** The attributes with which this op made the tensor; `undefined` where another op did. */
  attrs(tensor: Tensor): A | undefined;
}

/** An op as the tests see it. */
export interface RegisteredOp {
  name: string;
  samples: readonly Sample[];
  /** The execution providers that have a fused form of it. */
  providers: readonly string[];
}

const registry = new Map<string, RegisteredOp>();

/** Every op; the tests run over them. */
export function registeredOps(): RegisteredOp[] {
  return [...registry.values()];
}

function define<A>(op: Op<A>): Apply<A> {
  const { name, samples, fused = {} } = op;
  if (registry.has(name)) throw new Error(`op "${name}" is defined twice`);
  registry.set(name, { name, samples: samples.map(labelled), providers: Object.keys(fused) });
  const attrsOf = new WeakMap<Node, A>();
  const all = (inputs: readonly Tensor[], attrs: A, graph = inputs[0].graph): readonly Tensor[] => {
    const node = graph.addNode(op, inputs, attrs);
    attrsOf.set(node, attrs);
    return node.outputs;
  };
  return Object.assign((inputs: readonly Tensor[], attrs: A) => all(inputs, attrs)[0], {
    all,
    attrs: (tensor: Tensor) => attrsOf.get(tensor.node),
  });
}

export const defineOp = <A = null>(rule: OpRule<A>): Apply<A> => define(rule);
export const defineComposite = <A = null>(rule: CompositeRule<A>): Apply<A> => define(rule);

const labelled = (sample: SampleRule): Sample => ({
  label: sample.inputs.map(({ shape }) => `[${shape}]`).join(" "),
  ...sample,
});

/** The lowering rule of an op that is one node of ONNX with the same operands. */
export const onnx =
  <A>(opType: string, attributes?: (attrs: A) => Record<string, Attribute>): Lower<A> =>
  (ctx, inputs, attrs) => [ctx.emit(opType, inputs, attributes?.(attrs))];

/** One operation for each element of the first output, or `cost` of them. */
export const perElement =
  (cost = 1): Flops<unknown> =>
  (_inputs, [out]) =>
    cost * sizeOf(out);

/** One operation for each element of the first operand. */
export const perInput: Flops<unknown> = ([x]) => sizeOf(x);

export const free: Flops<unknown> = () => 0;

/** The shape rule of an op whose result is like its first operand. */
export const likeFirst = ([x]: readonly Tensor[]): TensorSpec[] => [{ dtype: x.dtype, shape: x.shape }];
