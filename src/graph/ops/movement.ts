/** Operators that move values without changing them. */
import type { Emitter } from "../emitter.ts";
import { defineOp, free, onnx } from "../op.ts";
import { operands } from "../samples.ts";
import {
  broadcastShapes,
  type Dim,
  GraphError,
  product,
  type Shape,
  sameShape,
  sumDims,
  type Tensor,
} from "../tensor.ts";
import { add } from "./elementwise.ts";

const replaced = (shape: Shape, axis: number, dim: Dim): Dim[] =>
  shape.map((old, i) => (i === axis ? dim : old));

const reshapeOp = defineOp<{ shape: Shape }>({
  name: "reshape",
  shape: ([x], { shape }) => {
    if (product(x.shape) !== product(shape))
      throw new GraphError(`[${x.shape}] does not have the size of [${shape}]`);
    return [{ dtype: x.dtype, shape }];
  },
  memory: "view",
  lower: (ctx, [x, sizes], { shape }, { inputs: [from, like] }) => {
    const spec = reshapeSpec(from.shape, shape);
    if (spec !== null)
      return [ctx.emit("Reshape", [x, ctx.ints(spec)], { allowzero: shape.includes(0) ? 1 : 0 })];
    if (like === undefined)
      throw new GraphError(
        `reshape [${from.shape}] to [${shape}] is ambiguous; give a tensor of the wanted shape`,
      );
    return [ctx.emit("Reshape", [x, sizesOf(ctx, shape, like, sizes)], { allowzero: 1 })];
  },
  grad: (g, { inputs: [x] }) => [reshape(g, x.shape, x)],
  flops: free,
  samples: [
    { inputs: operands([2, 3, 4]), build: (x) => reshape(x, [6, 4]) },
    { inputs: operands([2, 6]), build: (x) => reshape(x, [2, 2, 3]) },
    { inputs: operands([1, 1]), build: (x) => reshape(x, []) },
    { inputs: operands([0, 3]), build: (x) => reshape(x, [3, 0]) },
  ],
});

/** ONNX's constant for a reshape: numbers, 0 for "as in the input", one -1; `null` where that does not suffice. */
function reshapeSpec(from: Shape, to: Shape): number[] | null {
  const spec = to.map((dim, i) => (typeof dim === "number" ? dim : dim === from[i] ? 0 : -1));
  return spec.filter((dim) => dim === -1).length > 1 ? null : spec;
}

/** The ONNX name of `shape` as a value, whose symbols are sizes of `like`, lowered as `name`. */
function sizesOf(ctx: Emitter, shape: Shape, like: Tensor, name: string): string {
  if (sameShape(shape, like.shape)) return ctx.emit("Shape", [name]);
  const sizes = shape.map((dim) => {
    if (typeof dim === "number") return ctx.ints([dim]);
    const axis = like.shape.indexOf(dim);
    if (axis < 0) throw new GraphError(`no size of [${like.shape}] is "${dim}", for a reshape to [${shape}]`);
    return ctx.emit("Shape", [name], { start: axis, end: axis + 1 });
  });
  return ctx.emit("Concat", sizes, { axis: 0 });
}

/** The same values in another shape; `like` has its symbolic sizes, where they make the shape ambiguous. */
export function reshape(x: Tensor, shape: Shape, like?: Tensor): Tensor {
  if (sameShape(x.shape, shape)) return x;
  const needed = like !== undefined && reshapeSpec(x.shape, shape) === null;
  return reshapeOp(needed ? [x, like] : [x], { shape });
}

/** [...] -> [..., 1] */
export const column = (x: Tensor): Tensor => reshape(x, [...x.shape, 1]);

const transposeOp = defineOp<readonly number[]>({
  name: "transpose",
  shape: ([x], perm) => {
    if (perm.length !== x.rank || new Set(perm).size !== x.rank)
      throw new GraphError(`permutation [${perm}] of [${x.shape}]`);
    return [{ dtype: x.dtype, shape: perm.map((axis) => x.shape[axis]) }];
  },
  lower: onnx("Transpose", (perm) => ({ perm })),
  grad: (g, _node, perm) => {
    const inverse = perm.map((_, axis) => perm.indexOf(axis));
    return [transpose(g, inverse)];
  },
  flops: free,
  samples: [
    { inputs: operands([2, 3]), build: (x) => transpose(x, [1, 0]) },
    { inputs: operands([2, 3, 1, 4]), build: (x) => transpose(x, [2, 0, 3, 1]) },
  ],
});

/** Axis i of the result is axis `perm[i]` of x. */
export function transpose(x: Tensor, perm: readonly number[]): Tensor {
  return perm.every((axis, i) => axis === i) ? x : transposeOp([x], perm);
}

const expandOp = defineOp<Shape>({
  name: "expand",
  shape: ([x], shape) => {
    if (!sameShape(broadcastShapes(x.shape, shape), shape))
      throw new GraphError(`[${x.shape}] does not broadcast to [${shape}]`);
    return [{ dtype: x.dtype, shape }];
  },
  lower: (ctx, [x, like], shape) => {
    const fixed = shape.every((dim) => typeof dim === "number");
    return [ctx.emit("Expand", [x, fixed ? ctx.ints(shape) : ctx.emit("Shape", [like])])];
  },
  grad: (g) => [g],
  flops: free,
  samples: [
    { inputs: operands([3], [2, 3]), build: (x, like) => expandLike(x, like), differentiable: [0] },
    { inputs: operands([2, 1, 2], [2, 3, 2]), build: (x, like) => expandLike(x, like), differentiable: [0] },
  ],
});

/** x repeated to the shape of `like`. */
export function expandLike(x: Tensor, like: Tensor): Tensor {
  return sameShape(x.shape, like.shape) ? x : expandOp([x, like], like.shape);
}

const sliceOp = defineOp<{ axis: number; start: number; end: number }>({
  name: "slice",
  shape: ([x], { axis, start, end }) => {
    const dim = x.shape[axis];
    if (typeof dim !== "number") throw new GraphError(`axis ${axis} of [${x.shape}] has no fixed size`);
    if (start < 0 || end > dim || start > end)
      throw new GraphError(`slice ${start}..${end} of axis ${axis} of [${x.shape}]`);
    return [{ dtype: x.dtype, shape: replaced(x.shape, axis, end - start) }];
  },
  memory: "partial",
  lower: (ctx, [x], { axis, start, end }) => [
    ctx.emit("Slice", [x, ctx.ints([start]), ctx.ints([end]), ctx.ints([axis])]),
  ],
  grad: (g, { inputs: [x] }, { axis, start, end }) => [pad(g, axis, start, (x.shape[axis] as number) - end)],
  flops: free,
  samples: [
    { inputs: operands([2, 5]), build: (x) => slice(x, 1, 1, 4) },
    { inputs: operands([2, 3]), build: (x) => slice(x, 0, 1, 1) },
  ],
});

/** Elements `start` to `end` (exclusive) along `axis`. */
export function slice(x: Tensor, axis: number, start: number, end: number): Tensor {
  return sliceOp([x], { axis: axis < 0 ? axis + x.rank : axis, start, end });
}

const padOp = defineOp<{ axis: number; before: number; after: number }>({
  name: "pad",
  shape: ([x], { axis, before, after }) => [
    { dtype: x.dtype, shape: replaced(x.shape, axis, (x.shape[axis] as number) + before + after) },
  ],
  lower: (ctx, [x], { axis, before, after }) => [
    ctx.emit("Pad", [x, ctx.ints([before, after]), ctx.float(0), ctx.ints([axis])]),
  ],
  grad: (g, { inputs: [x] }, { axis, before }) => [
    slice(g, axis, before, before + (x.shape[axis] as number)),
  ],
  flops: free,
  samples: [{ inputs: operands([2, 3]), build: (x) => pad(x, 1, 2, 1) }],
});

/** Zeros before and after along `axis`. */
export function pad(x: Tensor, axis: number, before: number, after: number): Tensor {
  return before === 0 && after === 0 ? x : padOp([x], { axis, before, after });
}

const concatOp = defineOp<number>({
  name: "concat",
  shape: (inputs, axis) => {
    const [first] = inputs;
    for (const x of inputs)
      if (x.rank !== first.rank || x.shape.some((d, i) => i !== axis && d !== first.shape[i]))
        throw new GraphError(`[${x.shape}] does not line up with [${first.shape}] along axis ${axis}`);
    const total = sumDims(inputs.map((x) => x.shape[axis]));
    return [{ dtype: first.dtype, shape: replaced(first.shape, axis, total) }];
  },
  lower: onnx("Concat", (axis) => ({ axis })),
  grad: (g, { inputs }, axis) =>
    splitOp.all([g], { axis, sizes: inputs.map((x) => x.shape[axis] as number) }),
  flops: free,
  samples: [
    { inputs: operands([2, 3], [2, 1]), build: (x, y) => concat([x, y], 1) },
    { inputs: operands([2, 3], [0, 3]), build: (x, y) => concat([x, y], 0) },
  ],
});

/** The tensors one after another along `axis`. */
export function concat(tensors: readonly Tensor[], axis: number): Tensor {
  const positive = axis < 0 ? axis + tensors[0].rank : axis;
  return tensors.length === 1 ? tensors[0] : concatOp(tensors, positive);
}

const splitOp = defineOp<{ axis: number; sizes: readonly number[] }>({
  name: "split",
  shape: ([x], { axis, sizes }) => {
    if (x.shape[axis] !== sumDims(sizes))
      throw new GraphError(`sizes ${sizes} do not add up to axis ${axis} of [${x.shape}]`);
    return sizes.map((size) => ({ dtype: x.dtype, shape: replaced(x.shape, axis, size) }));
  },
  lower: (ctx, [x], { axis, sizes }) => ctx.emitAll("Split", [x, ctx.ints(sizes)], sizes.length, { axis }),
  grad: {
    all: (gradients, _node, { axis, sizes }) => {
      const known = gradients.filter((g) => g !== null);
      if (known.length === gradients.length) return [concat(known, axis)];
      // An unused part has gradient zero: pad the others into place.
      const count = (parts: readonly number[]) => parts.reduce((a, b) => a + b, 0);
      const placed = gradients.flatMap((g, i) =>
        g === null ? [] : [pad(g, axis, count(sizes.slice(0, i)), count(sizes.slice(i + 1)))],
      );
      return [placed.reduce((sum, one) => add(sum, one))];
    },
  },
  flops: free,
  samples: [
    { inputs: operands([2, 5]), build: (x) => split(x, 1, [2, 3])[0] },
    { inputs: operands([4, 2]), build: (x) => concat([...split(x, 0, [1, 3])].reverse(), 0) },
  ],
});

/** Parts of the given sizes along `axis`. */
export function split(x: Tensor, axis: number, sizes: readonly number[]): readonly Tensor[] {
  return splitOp.all([x], { axis: axis < 0 ? axis + x.rank : axis, sizes });
}
