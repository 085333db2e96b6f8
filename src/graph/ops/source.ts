/** Where values come from: graph inputs, constants and weights. */
import { type Apply, defineOp, free, likeFirst } from "../op.ts";
import type { WeightBytes } from "../proto.ts";
import { operands } from "../samples.ts";
import {
  DTYPE_BYTES,
  type DType,
  type Graph,
  GraphError,
  type OpRule,
  type Shape,
  sizeOf,
  Tensor,
  type TensorSpec,
} from "../tensor.ts";

/** An op without operands, whose attributes say what it gives. */
function source<A extends TensorSpec>(name: string, lower: OpRule<A>["lower"]): Apply<A> {
  return defineOp<A>({
    ...{ name, lower, memory: "source", grad: null, flops: free, samples: [] },
    shape: (_inputs, { dtype, shape }) => [{ dtype, shape }],
  });
}

// `lower` of lower.ts has named the inputs before.
const inputOp = source<TensorSpec & { name: string }>("input", () => []);

/** A value that is fed at each run. Sizes may be symbols: `input(graph, "ids", "i32", ["batch", "seq"])`. */
export function input(graph: Graph, name: string, dtype: DType, shape: Shape): Tensor {
  if (graph.inputs.has(name)) throw new GraphError(`input "${name}" is defined twice`);
  for (const dim of shape)
    if (typeof dim === "string" && !/^\w+$/.test(dim))
      throw new GraphError(`"${dim}" of input "${name}" is no symbol; product and sumDims compute sizes`);
  const [tensor] = graph.scopeAt(name, () => inputOp.all([], { name, dtype, shape }, graph));
  graph.inputs.set(name, tensor);
  return tensor;
}

interface ConstantAttrs {
  dtype: "f32" | "i32" | "i64" | "bool";
  shape: readonly number[];
  values: ArrayLike<number>;
}

const constantOp = source<ConstantAttrs>("constant", (ctx, _inputs, { dtype, shape, values }) => [
  ctx.constant(dtype, shape, values),
]);

/** A constant that is part of the model; `shape` defaults to a scalar. */
export function constant(
  graph: Graph,
  values: number | ArrayLike<number>,
  shape: readonly number[] = [],
  dtype: ConstantAttrs["dtype"] = "f32",
): Tensor {
  const list = typeof values === "number" ? [values] : values;
  const expected = sizeOf(shape);
  if (list.length !== expected)
    throw new GraphError(`a constant of shape [${shape}] needs ${expected} values, got ${list.length}`);
  return constantOp.all([], { dtype, shape, values: list }, graph)[0];
}

/** The elements of a constant; `undefined` for any other tensor. */
export const constantValues = (tensor: Tensor): ArrayLike<number> | undefined =>
  constantOp.attrs(tensor)?.values;

/** A number becomes a scalar constant of the other operand's dtype. */
export function asTensor(value: Tensor | number, like: Tensor): Tensor {
  if (value instanceof Tensor) return value;
  if (like.dtype === "f16" || like.dtype === "bf16" || like.dtype === "u8")
    throw new GraphError(`a literal next to ${like.dtype} needs a cast`);
  return constant(like.graph, value, [], like.dtype);
}

interface WeightAttrs {
  dtype: DType;
  shape: readonly number[];
  bytes: WeightBytes;
  /** The offset of this weight in `bytes`. */
  start: number;
}

const weightOp = source<WeightAttrs>("weight", (ctx, _inputs, { dtype, shape, bytes, start }) => [
  ctx.weight(dtype, shape, { whole: bytes, start }),
]);

/** A weight that is part of the model, read each time the model is encoded or saved. */
export function weight(
  graph: Graph,
  name: string,
  dtype: DType,
  shape: readonly number[],
  bytes: WeightBytes,
  start = 0,
): Tensor {
  return graph.scopeAt(name, () => weightOp.all([], { dtype, shape, bytes, start }, graph))[0];
}

/**
 * Rows `from` to `to` of a weight as another weight over the same bytes, which a saved model holds once; `undefined` for
 * any other tensor. ONNX Runtime frees either weight once all nodes that read it have packed it.
 */
export function weightRows(x: Tensor, from = 0, to?: number): Tensor | undefined {
  const attrs = weightOp.attrs(x);
  if (attrs === undefined) return undefined;
  const { dtype, shape, bytes, start } = attrs;
  const [rows, ...width] = shape;
  const offset = start + from * DTYPE_BYTES[dtype] * sizeOf(width);
  return weight(x.graph, x.node.path, dtype, [(to ?? rows) - from, ...width], bytes, offset);
}

const detachOp = defineOp({
  name: "detach",
  shape: likeFirst,
  memory: "view",
  lower: (_ctx, [x]) => [x],
  grad: null,
  flops: free,
  samples: [{ inputs: operands([2, 3]), build: (x) => detach(x), differentiable: [] }],
});

/** The same value, through which no gradient flows: sg[x]. */
export function detach(x: Tensor): Tensor {
  return detachOp([x], null);
}
