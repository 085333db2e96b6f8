/**
 * What an op is: one object with its name, shape rule, ONNX lowering, gradient, FLOPs and sample inputs.
 * The type requires all of them and the tests loop over the registry, so a new op is tested by being written.
 */
import type { Attribute } from "./proto.ts";
import type { Sample, SampleRule } from "./samples.ts";
import { sizeOf } from "./shape.ts";
import type { CompositeRule, Flops, Graph, Lower, Op, OpRule, Tensor, TensorSpec } from "./tensor.ts";

interface Sampled {
  samples: readonly SampleRule[];
}

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

function define<A>(op: Op<A> & Sampled): Apply<A> {
  const { name, samples, fused = {} } = op;
  if (registry.has(name)) throw new Error(`op "${name}" is defined twice`);
  registry.set(name, { name, samples: samples.map(labelled), providers: Object.keys(fused) });
  const all = (inputs: readonly Tensor[], attrs: A, graph = inputs[0].graph): readonly Tensor[] =>
    graph.addNode(op, inputs, attrs).outputs;
  return Object.assign((inputs: readonly Tensor[], attrs: A) => all(inputs, attrs)[0], {
    all,
    attrs: ({ node }: Tensor) => (node.op === op ? node.attrs : undefined),
  });
}

/**
 * Makes an op of its rule: shapes, lowering to standard ONNX, gradient and FLOPs. @throws Error for a name that is
 * taken
 */
export const defineOp = <A = null>(rule: OpRule<A> & Sampled): Apply<A> => define(rule);
/**
 * Makes an op of other ops, whose gradient and lowering follow from its body. @throws Error for a name that is taken
 */
export const defineComposite = <A = null>(rule: CompositeRule<A> & Sampled): Apply<A> => define(rule);

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

/** The FLOPs of an op that computes nothing, such as a change of shape. */
export const free: Flops<unknown> = () => 0;

/** The shape rule of an op whose result is like its first operand. */
export const likeFirst = ([x]: readonly Tensor[]): TensorSpec[] => [{ dtype: x.dtype, shape: x.shape }];
