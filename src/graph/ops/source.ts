/** Where values come from: graph inputs, constants, and the two operators that shape gradients. */
import { apply, defineOp, free } from "../op.ts";
import type { WeightBytes } from "../proto.ts";
import { DTYPE_BYTES, type DType, type Graph, GraphError, type Shape, Tensor } from "../tensor.ts";

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
  bytes: WeightBytes;
  /** The first of them that is its own. */
  start: number;
}

const weightOp = defineOp<WeightAttrs>({
  name: "weight",
  shape: (_inputs, { dtype, shape }) => [{ dtype, shape }],
  lower: (ctx, _node, { dtype, shape, bytes, start }) => [ctx.weight(dtype, shape, { whole: bytes, start })],
  grad: () => [],
  flops: free,
  samples: [],
});

/** A weight that is part of the model, read each time the model is encoded or saved. */
export function weight(
  graph: Graph,
  name: string,
  dtype: DType,
  shape: readonly number[],
  bytes: WeightBytes,
  start = 0,
): Tensor {
  const attrs: WeightAttrs = { dtype, shape, bytes, start };
  return graph.scopeAt(name, () => graph.addNode(weightOp as never, [], attrs)).outputs[0];
}

export const isWeight = ({ node }: Tensor): boolean => node.op === (weightOp as never);

/**
 * Rows `from` to `to` of a weight as a weight of its own over the same bytes, which a saved model holds once. The engine
 * may then drop either as soon as its readers have packed it.
 */
export function weightRows(x: Tensor, from = 0, to = x.shape[0] as number): Tensor {
  const { dtype, shape, bytes, start } = x.node.attrs as WeightAttrs;
  const rowBytes = shape.slice(1).reduce((total, dim) => total * dim, DTYPE_BYTES[dtype]);
  return weight(x.graph, x.node.path, dtype, [to - from, ...shape.slice(1)], bytes, start + from * rowBytes);
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
