/** Where values come from: graph inputs, constants, and the two operators that shape gradients. */
import { apply, defineOp, free } from "../op.ts";
import { type DType, type Graph, GraphError, type Shape, Tensor } from "../tensor.ts";

interface InputAttrs {
  name: string;
  dtype: DType;
  shape: Shape;
}

const inputOp = defineOp<InputAttrs>({
  name: "input",
  shape: (_inputs, { dtype, shape }) => [{ dtype, shape }],
  lower: (ctx, node) => [ctx.value(node.outputs[0])],
  grad: () => [],
  flops: free,
  samples: [],
});

/** A value that is fed at each run. Sizes may be symbols: `input(graph, "ids", "i32", ["batch", "seq"])`. */
export function input(graph: Graph, name: string, dtype: DType, shape: Shape): Tensor {
  if (graph.inputs.has(name)) throw new GraphError(`input "${name}" is defined twice`);
  const tensor = graph.scopeAt(name, () => graph.addNode(inputOp as never, [], { name, dtype, shape }))
    .outputs[0];
  graph.inputs.set(name, tensor);
  return tensor;
}

interface ConstantAttrs {
  dtype: "f32" | "i32" | "i64" | "bool";
  shape: readonly number[];
  values: ArrayLike<number>;
}

const constantOp = defineOp<ConstantAttrs>({
  name: "constant",
  shape: (_inputs, { dtype, shape }) => [{ dtype, shape }],
  lower: (ctx, _node, { dtype, shape, values }) => [ctx.constant(dtype, shape, values)],
  grad: () => [],
  flops: free,
  samples: [],
});

/** A constant that is part of the model; `shape` defaults to a scalar. */
export function constant(
  graph: Graph,
  values: number | ArrayLike<number>,
  shape: readonly number[] = [],
  dtype: ConstantAttrs["dtype"] = "f32",
): Tensor {
  const list = typeof values === "number" ? [values] : values;
  const expected = shape.reduce((total, dim) => total * dim, 1);
  if (list.length !== expected)
    throw new GraphError(`a constant of shape [${shape}] needs ${expected} values, got ${list.length}`);
  return graph.addNode(constantOp as never, [], { dtype, shape, values: list }).outputs[0];
}

interface WeightAttrs {
  dtype: DType;
  shape: readonly number[];
  read: () => Uint8Array;
}

const weightOp = defineOp<WeightAttrs>({
  name: "weight",
  shape: (_inputs, { dtype, shape }) => [{ dtype, shape }],
  lower: (ctx, _node, { dtype, shape, read }) => [ctx.weight(dtype, shape, read)],
  grad: () => [],
  flops: free,
  samples: [],
});

/** A weight that is part of the model, read (little-endian bytes) each time the model is encoded or saved. */
export function weight(
  graph: Graph,
  name: string,
  dtype: DType,
  shape: readonly number[],
  read: () => Uint8Array,
): Tensor {
  return graph.scopeAt(name, () => graph.addNode(weightOp as never, [], { dtype, shape, read })).outputs[0];
}

/** A second copy of a weight for a reader of a few rows, so that the engine may drop the first one once it is packed. */
export function again(x: Tensor): Tensor {
  if (x.node.op !== (weightOp as never)) return x;
  const { dtype, shape, read } = x.node.attrs as WeightAttrs;
  return weight(x.graph, x.node.path, dtype, shape, read);
}

/** A number becomes a scalar constant of the other operand's dtype. */
export function lift(value: Tensor | number, like: Tensor): Tensor {
  if (value instanceof Tensor) return value;
  if (like.dtype === "f16" || like.dtype === "bf16" || like.dtype === "u8")
    throw new GraphError(`a literal next to ${like.dtype} needs a cast`);
  return constant(like.graph, value, [], like.dtype);
}

const detachOp = defineOp<null>({
  name: "detach",
  shape: ([x]) => [x],
  lower: (ctx, node) => [ctx.value(node.inputs[0])],
  grad: () => [null],
  flops: free,
  samples: [{ label: "matrix", inputs: [{ shape: [2, 3] }], build: (x) => detach(x), differentiable: [] }],
});

/** The same value, through which no gradient flows: sg[x]. */
export function detach(x: Tensor): Tensor {
  return apply(detachOp, [x], null);
}
