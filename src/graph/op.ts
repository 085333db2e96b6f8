/**
 * What an op is: one object with its name, shape rule, ONNX lowering, gradient, FLOPs and sample inputs.
 * The type requires all of them and the tests loop over the registry, so a new op is tested by being written.
 */
import type { Emitter } from "./emitter.ts";
import type { Attribute } from "./proto.ts";
import type { DType, Gradients, Graph, Node, Op, Tensor, TensorSpec } from "./tensor.ts";

export { sizeOf } from "./shape.ts";

/** A case on which the op is checked: shapes of its inputs, and how to call it. */
export interface Sample {
  label: string;
  /** f32 unless `dtype` says otherwise; `values` draws each element (default: uniform in [-1, 1)). */
  inputs: { shape: number[]; dtype?: DType; values?: (random: () => number, index: number) => number }[];
  build: (...inputs: Tensor[]) => Tensor;
  /** Which inputs have a gradient to check; default: every f32 input. */
  differentiable?: number[];
}

type LowerRule<A> = (ctx: Emitter, inputs: string[], attrs: A, node: Node) => string[];
export type Flops<A> = (inputs: number[][], outputs: number[][], attrs: A) => number;

interface FormRule<A> {
  /** Why this node cannot take the form, in words, or `null` where it can; a rule that is left out always can. */
  reason?: (node: Node, attrs: A) => string | null;
  lower: LowerRule<A>;
  /** How many of the op's outputs the form gives (default: all); where a later one is used, it is not taken. */
  outputs?: number;
}

interface CommonRule<A> {
  name: string;
  samples: Sample[];
  /** By the name of an execution provider (a device of runtime's table): a form that this provider runs faster. */
  fused?: Readonly<Record<string, FormRule<A>>>;
  /** For an op that makes a weight [out, in]: x · weightᵀ without making the weight first. */
  linear?: (x: Tensor, node: Node, attrs: A) => Tensor;
  /** For the same ops: the weight made of other inputs. */
  remake?: (inputs: readonly Tensor[], attrs: A) => Tensor;
}

/**
 * Gradients with respect to each input (`null`: none; those at the end may be left out), given that of the first output.
 * A gradient may be larger than its input where the op broadcast: `grad` sums it. `null`: nothing flows through the op.
 */
type GradRule<A> = ((g: Tensor, node: Node, attrs: A) => Gradients) | null;
/** The same for an op with several outputs, whose gradients are `null` where no one uses the output. */
type AllGradsRule<A> = { all: (gradients: Gradients, node: Node, attrs: A) => Gradients };

export interface OpRule<A> extends CommonRule<A> {
  shape: (inputs: readonly Tensor[], attrs: A) => readonly TensorSpec[];
  /** Emits standard ONNX, which any runtime can load; what one runtime alone knows is a fused form. */
  lower: LowerRule<A>;
  grad: GradRule<A> | AllGradsRule<A>;
  /** Floating-point operations for concrete shapes; a multiply-add counts 2 (as in 2MNK for a product). */
  flops: Flops<A>;
  /**
   * "source": the value is there before a run. "view": the result is the memory of the first operand.
   * "partial": reads as much of its first operand as it writes. Left out: reads its operands and writes its result.
   */
  memory?: Op["memory"];
}

/** An op made of others: `body`, traced in a scope of the op's name, gives shapes, lowering and FLOPs. */
export interface CompositeRule<A> extends CommonRule<A> {
  body: (inputs: readonly Tensor[], attrs: A) => readonly Tensor[];
  /** Left out: the gradient of the body. */
  grad?: GradRule<A> | AllGradsRule<A>;
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

export function defineOp<A = null>(rule: OpRule<A>): Apply<A> {
  const { shape, lower, flops, memory } = rule;
  return define(rule, (inputs, attrs, graph) =>
    graph.addNode(
      {
        ...{ inputs, attrs, body: null },
        op: {
          ...common(rule, attrs),
          memory,
          lower: (ctx, names, node) => lower(ctx, names, attrs, node),
          grad: bindGrad(rule.grad, attrs),
          flops: (sizes, results) => flops(sizes, results, attrs),
        },
      },
      () => shape(inputs, attrs),
    ),
  );
}

export function defineComposite<A = null>(rule: CompositeRule<A>): Apply<A> {
  const grad = rule.grad;
  return define(rule, (inputs, attrs, graph) => {
    const body = graph.scope(rule.name, () => rule.body(inputs, attrs));
    const op: Op = {
      ...common(rule, attrs),
      lower: "body",
      grad: grad === undefined ? "body" : bindGrad(grad, attrs),
      flops: "body",
    };
    return graph.addNode({ op, inputs, attrs, body }, () => body);
  });
}

function define<A>(
  { name, samples, fused = {} }: CommonRule<A>,
  add: (inputs: readonly Tensor[], attrs: A, graph: Graph) => Node,
): Apply<A> {
  if (registry.has(name)) throw new Error(`op "${name}" is defined twice`);
  registry.set(name, { name, samples, providers: Object.keys(fused) });
  const attrsOf = new WeakMap<Node, A>();
  const all = (inputs: readonly Tensor[], attrs: A, graph = inputs[0].graph): readonly Tensor[] => {
    const node = add(inputs, attrs, graph);
    attrsOf.set(node, attrs);
    return node.outputs;
  };
  return Object.assign((inputs: readonly Tensor[], attrs: A) => all(inputs, attrs)[0], {
    all,
    attrs: (tensor: Tensor) => attrsOf.get(tensor.node),
  });
}

function common<A>({ name, fused = {}, linear, remake }: CommonRule<A>, attrs: A) {
  const forms = Object.entries(fused).map(([provider, { reason, lower, outputs }]) => [
    provider,
    {
      reason: (node: Node) => reason?.(node, attrs) ?? null,
      lower: (ctx: Emitter, names: string[], node: Node) => lower(ctx, names, attrs, node),
      outputs,
    },
  ]);
  return {
    name,
    fused: Object.fromEntries(forms),
    linear: linear && ((x: Tensor, node: Node) => linear(x, node, attrs)),
    remake: remake && ((inputs: readonly Tensor[]) => remake(inputs, attrs)),
  };
}

function bindGrad<A>(rule: GradRule<A> | AllGradsRule<A>, attrs: A): Exclude<Op["grad"], "body"> {
  if (rule === null) return () => [];
  if (typeof rule !== "function") return (node, gradients) => rule.all(gradients, node, attrs);
  return (node, [g]) => (g === null ? [] : rule(g, node, attrs));
}

/** The lowering rule of an op that is one node of ONNX with the same operands. */
export const onnx =
  <A>(opType: string, attributes?: (attrs: A) => Record<string, Attribute>): LowerRule<A> =>
  (ctx, inputs, attrs) => [ctx.emit(opType, inputs, attributes?.(attrs))];

/** One operation for each element of the first output. */
export const perElement =
  (cost = 1): Flops<unknown> =>
  (_inputs, [out]) =>
    cost * out.reduce((total, dim) => total * dim, 1);

export const free: Flops<unknown> = () => 0;

/** The shape rule of an op whose result is like its first operand. */
export const likeFirst = ([x]: readonly Tensor[]): TensorSpec[] => [{ dtype: x.dtype, shape: x.shape }];
