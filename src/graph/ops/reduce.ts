/** Operators that run along axes: sums, extremes, softmax and its relatives. */
import { apply, defineOp, type Flops, type Sample, size } from "../op.ts";
import { type Dim, GraphError, product, type Shape, type Tensor } from "../tensor.ts";
import { exp, mul, sub } from "./elementwise.ts";
import { expandLike, reshape } from "./movement.ts";

interface Axes {
  axes: readonly number[];
  keepDims: boolean;
}

function normalise(rank: number, axes: readonly number[]): number[] {
  return axes
    .map((axis) => {
      const positive = axis < 0 ? axis + rank : axis;
      if (positive < 0 || positive >= rank)
        throw new GraphError(`axis ${axis} of a tensor with ${rank} axes`);
      return positive;
    })
    .sort((a, b) => a - b);
}

function reducedShape(shape: Shape, { axes, keepDims }: Axes): Dim[] {
  const result: Dim[] = [];
  shape.forEach((dim, i) => {
    if (!axes.includes(i)) result.push(dim);
    else if (keepDims) result.push(1);
  });
  return result;
}

const perInput: Flops<unknown> = (inputs) => size(inputs[0]);

const axisCases = (
  build: (x: Tensor, axes: readonly number[], keepDims: boolean) => Tensor,
  empty = true,
): Sample[] =>
  (
    [
      [[2, 3, 4], [1], false],
      [[2, 3], [0, 1], true],
      [[2, 3], [-1], true],
      [[1, 1], [0], false],
      ...(empty ? [[[3, 0], [1], false] as const] : []),
    ] as [number[], number[], boolean][]
  ).map(([shape, axes, keepDims]) => ({
    label: `[${shape}] over ${axes}`,
    inputs: [{ shape }],
    build: (x) => build(x, axes, keepDims),
  }));

const sumOp = defineOp<Axes>({
  name: "sum",
  shape: ([x], attrs) => [{ dtype: x.dtype, shape: reducedShape(x.shape, attrs) }],
  lower: (ctx, node, { axes, keepDims }) => [
    ctx.emit("ReduceSum", [ctx.value(node.inputs[0]), ctx.ints(axes)], { keepdims: keepDims ? 1 : 0 }),
  ],
  grad: (node, [g], { axes }) => {
    const [x] = node.inputs;
    return [g && expandLike(keepAxes(g, x.shape, axes), x)];
  },
  flops: perInput,
  samples: axisCases((x, axes, keepDims) => sum(x, axes, keepDims)),
});

/** Puts a 1 back where an axis was reduced away. */
function keepAxes(g: Tensor, shape: Shape, axes: readonly number[]): Tensor {
  return g.rank === shape.length ? g : reshape(g, reducedShape(shape, { axes, keepDims: true }));
}

/** The sum over `axes` (default: all). */
export function sum(x: Tensor, axes: readonly number[] = x.shape.map((_, i) => i), keepDims = false): Tensor {
  return axes.length === 0 ? x : apply(sumOp, [x], { axes: normalise(x.rank, axes), keepDims });
}

const meanOp = defineOp<Axes>({
  name: "mean",
  shape: ([x], attrs) => [{ dtype: x.dtype, shape: reducedShape(x.shape, attrs) }],
  lower: (ctx, node, { axes, keepDims }) => [
    ctx.emit("ReduceMean", [ctx.value(node.inputs[0]), ctx.ints(axes)], { keepdims: keepDims ? 1 : 0 }),
  ],
  grad: (node, [g], { axes }) => {
    const [x] = node.inputs;
    const count = product(axes.map((axis) => x.shape[axis]));
    if (typeof count !== "number")
      throw new GraphError(`the gradient of a mean over [${x.shape}] needs fixed sizes; use sum`);
    return [g && expandLike(mul(keepAxes(g, x.shape, axes), 1 / count), x)];
  },
  flops: perInput,
  samples: axisCases((x, axes, keepDims) => mean(x, axes, keepDims), false),
});

/** The mean over `axes` (default: all). */
export function mean(
  x: Tensor,
  axes: readonly number[] = x.shape.map((_, i) => i),
  keepDims = false,
): Tensor {
  return apply(meanOp, [x], { axes: normalise(x.rank, axes), keepDims });
}

const maxOp = defineOp<Axes>({
  name: "max",
  shape: ([x], attrs) => [{ dtype: x.dtype, shape: reducedShape(x.shape, attrs) }],
  lower: (ctx, node, { axes, keepDims }) => [
    ctx.emit("ReduceMax", [ctx.value(node.inputs[0]), ctx.ints(axes)], { keepdims: keepDims ? 1 : 0 }),
  ],
  grad: () => [null],
  flops: perInput,
  samples: axisCases((x, axes, keepDims) => max(x, axes, keepDims), false).map((s) => ({
    ...s,
    differentiable: [],
  })),
});

/** The largest element along `axes` (default: all). A measurement: no gradient flows through it. */
export function max(x: Tensor, axes: readonly number[] = x.shape.map((_, i) => i), keepDims = false): Tensor {
  return apply(maxOp, [x], { axes: normalise(x.rank, axes), keepDims });
}

const lastAxis: Sample[] = [
  [2, 3],
  [1, 4, 5],
  [3, 1],
].map((shape) => ({
  label: `[${shape}]`,
  inputs: [{ shape }],
  build: (x) => x,
}));

const softmaxOp = defineOp<null>({
  name: "softmax",
  shape: ([x]) => [{ dtype: x.dtype, shape: x.shape }],
  lower: (ctx, node) => [ctx.emit("Softmax", [ctx.value(node.inputs[0])], { axis: -1 })],
  // dx = p (g - sum(g p))
  grad: (node, [g]) => {
    const p = node.outputs[0];
    return [g && mul(p, sub(g, sum(mul(g, p), [-1], true)))];
  },
  flops: (inputs) => 5 * size(inputs[0]),
  samples: lastAxis.map((s) => ({ ...s, build: (x) => softmax(x) })),
});

/** exp(x) / sum exp(x) along the last axis. */
export function softmax(x: Tensor): Tensor {
  return apply(softmaxOp, [x], null);
}

const logSoftmaxOp = defineOp<null>({
  name: "logSoftmax",
  shape: ([x]) => [{ dtype: x.dtype, shape: x.shape }],
  lower: (ctx, node) => [ctx.emit("LogSoftmax", [ctx.value(node.inputs[0])], { axis: -1 })],
  // dx = g - p sum(g)
  grad: (node, [g]) => [g && sub(g, mul(exp(node.outputs[0]), sum(g, [-1], true)))],
  flops: (inputs) => 5 * size(inputs[0]),
  samples: lastAxis.map((s) => ({ ...s, build: (x) => logSoftmax(x) })),
});

/** x - log sum exp(x) along the last axis. */
export function logSoftmax(x: Tensor): Tensor {
  return apply(logSoftmaxOp, [x], null);
}

const argmaxOp = defineOp<null>({
  name: "argmax",
  shape: ([x]) => [{ dtype: "i64", shape: x.shape.slice(0, -1) }],
  lower: (ctx, node) => [ctx.emit("ArgMax", [ctx.value(node.inputs[0])], { axis: -1, keepdims: 0 })],
  grad: () => [null],
  flops: perInput,
  samples: [],
});

/** Index of the largest element along the last axis, i64. */
export function argmax(x: Tensor): Tensor {
  return apply(argmaxOp, [x], null);
}
