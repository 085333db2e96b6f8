/** Operators that move values without changing them. */
import type { Lowering } from "../lower.ts";
import { apply, applyAll, defineOp, free } from "../op.ts";
import {
  broadcastShapes,
  type Dim,
  GraphError,
  product,
  type Shape,
  sameShape,
  type Tensor,
} from "../tensor.ts";
import { add } from "./elementwise.ts";

interface ReshapeAttrs {
  shape: Shape;
  /** Whether the second operand gives sizes at run time (where symbols leave no other way). */
  like: boolean;
}

const reshapeOp = defineOp<ReshapeAttrs>({
  name: "reshape",
  shape: ([x], { shape }) => {
    if (product(x.shape) !== product(shape))
      throw new GraphError(`[${x.shape}] does not have the size of [${shape}]`);
    return [{ dtype: x.dtype, shape }];
  },
  lower: (ctx, node, { shape, like }) => {
    const [x] = node.inputs;
    const spec = reshapeSpec(x.shape, shape);
    if (spec !== null)
      return [ctx.emit("Reshape", [ctx.value(x), ctx.ints(spec)], { allowzero: shape.includes(0) ? 1 : 0 })];
    if (!like)
      throw new GraphError(
        `reshape [${x.shape}] to [${shape}] is ambiguous; give a tensor of the wanted shape`,
      );
    return [ctx.emit("Reshape", [ctx.value(x), sizesLike(ctx, shape, node.inputs[1])], { allowzero: 1 })];
  },
  grad: (node, [g], { like }) => {
    const [x] = node.inputs;
    return [g && reshape(g, x.shape, x), ...(like ? [null] : [])];
  },
  flops: free,
  samples: [
    { label: "merge", inputs: [{ shape: [2, 3, 4] }], build: (x) => reshape(x, [6, 4]) },
    { label: "split", inputs: [{ shape: [2, 6] }], build: (x) => reshape(x, [2, 2, 3]) },
    { label: "scalar", inputs: [{ shape: [1, 1] }], build: (x) => reshape(x, []) },
    { label: "empty", inputs: [{ shape: [0, 3] }], build: (x) => reshape(x, [3, 0]) },
  ],
});

/** ONNX's constant for a reshape: numbers, 0 for "as in the input", one -1; `null` where that does not suffice. */
function reshapeSpec(from: Shape, to: Shape): number[] | null {
  let unknown = false;
  const spec: number[] = [];
  for (const [i, dim] of to.entries()) {
    if (typeof dim === "number") spec.push(dim);
    else if (dim === from[i]) spec.push(0);
    else if (unknown) return null;
    else {
      unknown = true;
      spec.push(-1);
    }
  }
  return spec;
}

/** The ONNX name of `shape` as a value, its symbols taken from the sizes of `like`. */
function sizesLike(ctx: Lowering, shape: Shape, like: Tensor): string {
  const name = ctx.value(like);
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
  return apply(reshapeOp, needed ? [x, like] : [x], { shape, like: needed });
}

const transposeOp = defineOp<readonly number[]>({
  name: "transpose",
  shape: ([x], perm) => {
    if (perm.length !== x.rank || new Set(perm).size !== x.rank)
      throw new GraphError(`permutation [${perm}] of [${x.shape}]`);
    return [{ dtype: x.dtype, shape: perm.map((axis) => x.shape[axis]) }];
  },
  lower: (ctx, node, perm) => [ctx.emit("Transpose", [ctx.value(node.inputs[0])], { perm })],
  grad: (_node, [g], perm) => {
    const inverse = perm.map((_, axis) => perm.indexOf(axis));
    return [g && transpose(g, inverse)];
  },
  flops: free,
  samples: [
    { label: "matrix", inputs: [{ shape: [2, 3] }], build: (x) => transpose(x, [1, 0]) },
    { label: "heads", inputs: [{ shape: [2, 3, 1, 4] }], build: (x) => transpose(x, [2, 0, 3, 1]) },
  ],
});

/** Axis i of the result is axis `perm[i]` of x. */
export function transpose(x: Tensor, perm: readonly number[]): Tensor {
  return perm.every((axis, i) => axis === i) ? x : apply(transposeOp, [x], perm);
}

const expandOp = defineOp<Shape>({
  name: "expand",
  shape: ([x], shape) => {
    if (!sameShape(broadcastShapes(x.shape, shape), shape))
      throw new GraphError(`[${x.shape}] does not broadcast to [${shape}]`);
    return [{ dtype: x.dtype, shape }];
  },
  lower: (ctx, node, shape) => {
    const fixed = shape.every((dim) => typeof dim === "number");
    const target = fixed ? ctx.ints(shape as number[]) : ctx.emit("Shape", [ctx.value(node.inputs[1])]);
    return [ctx.emit("Expand", [ctx.value(node.inputs[0]), target])];
  },
  grad: (node, [g]) => [g, ...node.inputs.slice(1).map(() => null)],
  flops: free,
  samples: [
    {
      label: "row",
      inputs: [{ shape: [3] }, { shape: [2, 3] }],
      build: (x, like) => expandLike(x, like),
      differentiable: [0],
    },
    {
      label: "inner",
      inputs: [{ shape: [2, 1, 2] }, { shape: [2, 3, 2] }],
      build: (x, like) => expandLike(x, like),
      differentiable: [0],
    },
  ],
});

/** x repeated to the shape of `like`. */
export function expandLike(x: Tensor, like: Tensor): Tensor {
  return sameShape(x.shape, like.shape) ? x : apply(expandOp, [x, like], like.shape);
}

interface SliceAttrs {
  axis: number;
  start: number;
  end: number;
}

const sliceOp = defineOp<SliceAttrs>({
  name: "slice",
  shape: ([x], { axis, start, end }) => {
    const dim = x.shape[axis];
    if (typeof dim !== "number") throw new GraphError(`axis ${axis} of [${x.shape}] has no fixed size`);
    if (start < 0 || end > dim || start > end)
      throw new GraphError(`slice ${start}..${end} of axis ${axis} of [${x.shape}]`);
    return [{ dtype: x.dtype, shape: x.shape.map((d, i) => (i === axis ? end - start : d)) }];
  },
  lower: (ctx, node, { axis, start, end }) => [
    ctx.emit("Slice", [ctx.value(node.inputs[0]), ctx.ints([start]), ctx.ints([end]), ctx.ints([axis])]),
  ],
  grad: (node, [g], { axis, start, end }) => [
    g && pad(g, axis, start, (node.inputs[0].shape[axis] as number) - end),
  ],
  flops: free,
  samples: [
    { label: "middle", inputs: [{ shape: [2, 5] }], build: (x) => slice(x, 1, 1, 4) },
    { label: "nothing", inputs: [{ shape: [2, 3] }], build: (x) => slice(x, 0, 1, 1) },
  ],
});

/** Elements `start` to `end` (exclusive) along `axis`. */
export function slice(x: Tensor, axis: number, start: number, end: number): Tensor {
  return apply(sliceOp, [x], { axis: axis < 0 ? axis + x.rank : axis, start, end });
}

interface PadAttrs {
  axis: number;
  before: number;
  after: number;
}

const padOp = defineOp<PadAttrs>({
  name: "pad",
  shape: ([x], { axis, before, after }) => [
    { dtype: x.dtype, shape: x.shape.map((d, i) => (i === axis ? (d as number) + before + after : d)) },
  ],
  lower: (ctx, node, { axis, before, after }) => [
    ctx.emit("Pad", [ctx.value(node.inputs[0]), ctx.ints([before, after]), ctx.float(0), ctx.ints([axis])]),
  ],
  grad: (node, [g], { axis, before }) => {
    const length = node.inputs[0].shape[axis] as number;
    return [g && slice(g, axis, before, before + length)];
  },
  flops: free,
  samples: [{ label: "both sides", inputs: [{ shape: [2, 3] }], build: (x) => pad(x, 1, 2, 1) }],
});

/** Zeros before and after along `axis`. */
export function pad(x: Tensor, axis: number, before: number, after: number): Tensor {
  return before === 0 && after === 0 ? x : apply(padOp, [x], { axis, before, after });
}

const concatOp = defineOp<number>({
  name: "concat",
  shape: (inputs, axis) => {
    const total = inputs.reduce<Dim>((sum, x) => {
      const dim = x.shape[axis];
      if (sum === 0) return dim;
      if (typeof sum === "number" && typeof dim === "number") return sum + dim;
      return `(${sum}+${dim})`;
    }, 0);
    const [first] = inputs;
    for (const x of inputs)
      if (x.rank !== first.rank || x.shape.some((d, i) => i !== axis && d !== first.shape[i]))
        throw new GraphError(`[${x.shape}] does not line up with [${first.shape}] along axis ${axis}`);
    return [{ dtype: first.dtype, shape: first.shape.map((d, i) => (i === axis ? total : d)) }];
  },
  lower: (ctx, node, axis) => [
    ctx.emit(
      "Concat",
      node.inputs.map((t) => ctx.value(t)),
      { axis },
    ),
  ],
  grad: (node, [g], axis) => {
    if (g === null) return node.inputs.map(() => null);
    return [
      ...split(
        g,
        axis,
        node.inputs.map((x) => x.shape[axis] as number),
      ),
    ];
  },
  flops: free,
  samples: [
    { label: "columns", inputs: [{ shape: [2, 3] }, { shape: [2, 1] }], build: (x, y) => concat([x, y], 1) },
    {
      label: "with an empty one",
      inputs: [{ shape: [2, 3] }, { shape: [0, 3] }],
      build: (x, y) => concat([x, y], 0),
    },
  ],
});

export function concat(tensors: readonly Tensor[], axis: number): Tensor {
  const positive = axis < 0 ? axis + tensors[0].rank : axis;
  return tensors.length === 1 ? tensors[0] : apply(concatOp, tensors, positive);
}

interface SplitAttrs {
  axis: number;
  sizes: readonly number[];
}

const splitOp = defineOp<SplitAttrs>({
  name: "split",
  shape: ([x], { axis, sizes }) => {
    const total = sizes.reduce((a, b) => a + b, 0);
    if (x.shape[axis] !== total)
      throw new GraphError(`sizes ${sizes} do not add up to axis ${axis} of [${x.shape}]`);
    return sizes.map((part) => ({ dtype: x.dtype, shape: x.shape.map((d, i) => (i === axis ? part : d)) }));
  },
  lower: (ctx, node, { axis, sizes }) =>
    ctx.emitAll("Split", [ctx.value(node.inputs[0]), ctx.ints(sizes)], sizes.length, { axis }),
  grad: (_node, gradients, { axis, sizes }) => {
    if (gradients.every((g) => g === null)) return [null];
    if (gradients.every((g) => g !== null)) return [concat(gradients as Tensor[], axis)];
    // An unused part has gradient zero: pad the others into place.
    const total = sizes.reduce((a, b) => a + b, 0);
    let offset = 0;
    let result: Tensor | null = null;
    for (const [i, g] of gradients.entries()) {
      if (g !== null) {
        const placed = pad(g, axis, offset, total - offset - sizes[i]);
        result = result === null ? placed : add(result, placed);
      }
      offset += sizes[i];
    }
    return [result];
  },
  flops: free,
  samples: [
    { label: "first part used", inputs: [{ shape: [2, 5] }], build: (x) => split(x, 1, [2, 3])[0] },
    {
      label: "both used",
      inputs: [{ shape: [4, 2] }],
      build: (x) => concat([...split(x, 0, [1, 3])].reverse(), 0),
    },
  ],
});

/** Parts of the given sizes along `axis`. */
export function split(x: Tensor, axis: number, sizes: readonly number[]): readonly Tensor[] {
  return applyAll(splitOp, [x], { axis: axis < 0 ? axis + x.rank : axis, sizes });
}
