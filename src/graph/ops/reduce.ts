/** Operators that run along axes: sums, extremes, softmax and its relatives. */
import { type Apply, defineOp, likeFirst, onnx, perElement, perInput } from "../op.ts";
import { operands } from "../samples.ts";
import { type Dim, GraphError, type OpRule, product, type Shape, type Tensor } from "../tensor.ts";
import { cast, div, equal, exp, mul, sub } from "./elementwise.ts";
import { expandLike, reshape } from "./movement.ts";

interface Axes {
  axes: readonly number[];
  keepDims: boolean;
}

function normalise(rank: number, axes: readonly number[]): number[] {
  const positive = axes.map((axis) => (axis < 0 ? axis + rank : axis));
  positive.forEach((axis, i) => {
    if (axis < 0 || axis >= rank) throw new GraphError(`axis ${axes[i]} of a tensor with ${rank} axes`);
  });
  return positive.sort((a, b) => a - b);
}

const reducedShape = (shape: Shape, { axes, keepDims }: Axes): Dim[] =>
  shape.flatMap((dim, i) => (!axes.includes(i) ? [dim] : keepDims ? [1] : []));

type Reduce = (x: Tensor, axes?: readonly number[], keepDims?: boolean) => Tensor;

/** `empty`: whether nothing may be reduced, whose sum is 0, but whose mean is not a number. */
function reduction(
  name: string,
  { onnxName, empty = false, grad }: { onnxName: string; empty?: boolean; grad: OpRule<Axes>["grad"] },
): Reduce {
  const cases: [number[], number[], boolean][] = [
    [[2, 3, 4], [1], false],
    [[2, 3], [0, 1], true],
    [[2, 3], [-1], true],
    [[1, 1], [0], false],
  ];
  if (empty) cases.push([[3, 0], [1], false]);
  const op = defineOp<Axes>({
    name,
    shape: ([x], attrs) => [{ dtype: x.dtype, shape: reducedShape(x.shape, attrs) }],
    lower: (ctx, [x], { axes, keepDims }) => [
      ctx.emit(onnxName, [x, ctx.ints(axes)], { keepdims: keepDims ? 1 : 0 }),
    ],
    grad,
    flops: perInput,
    samples: cases.map(([shape, axes, keepDims]) => ({
      label: `[${shape}] over ${axes}`,
      inputs: operands(shape),
      build: (x) => reduce(x, axes, keepDims),
    })),
  });
  const reduce: Reduce = (x, axes = x.shape.map((_, i) => i), keepDims = false) =>
    axes.length === 0 ? x : op([x], { axes: normalise(x.rank, axes), keepDims });
  return reduce;
}

/** Puts a 1 back where an axis was reduced away. */
function keepAxes(g: Tensor, shape: Shape, axes: readonly number[]): Tensor {
  return g.rank === shape.length ? g : reshape(g, reducedShape(shape, { axes, keepDims: true }));
}

/** The sum over `axes` (default: all). */
export const sum = reduction("sum", {
  ...{ onnxName: "ReduceSum", empty: true },
  grad: (g, { inputs: [x] }, { axes }) => [expandLike(keepAxes(g, x.shape, axes), x)],
});

/** The mean over `axes` (default: all). */
export const mean = reduction("mean", {
  onnxName: "ReduceMean",
  grad: (g, { inputs: [x] }, { axes }) => {
    const count = product(axes.map((axis) => x.shape[axis]));
    if (typeof count !== "number")
      throw new GraphError(`the gradient of a mean over [${x.shape}] needs fixed sizes; use sum`);
    return [expandLike(mul(keepAxes(g, x.shape, axes), 1 / count), x)];
  },
});

/** The largest element along `axes` (default: all). Equal largest elements share the gradient evenly, as in JAX. */
export const max = reduction("max", {
  onnxName: "ReduceMax",
  grad: (g, { inputs: [x], outputs: [out] }, { axes }) => {
    const largest = cast(equal(x, keepAxes(out, x.shape, axes)), "f32");
    return [mul(largest, div(keepAxes(g, x.shape, axes), sum(largest, axes, true)))];
  },
});

/** What the samples of ops along the last axis are run on. */
const ROWS = [
  [2, 3],
  [1, 4, 5],
  [3, 1],
];

function alongLastAxis(name: string, onnxName: string, grad: OpRule<null>["grad"]): (x: Tensor) => Tensor {
  const op: Apply<null> = defineOp<null>({
    name,
    shape: likeFirst,
    lower: onnx(onnxName, () => ({ axis: -1 })),
    grad,
    flops: perElement(5),
    samples: ROWS.map((shape) => ({ inputs: operands(shape), build: (x) => op([x], null) })),
  });
  return (x) => op([x], null);
}

/** p = exp(x) / sum exp(x) along the last axis: dx = p (g - sum(g p)). */
export const softmax = alongLastAxis("softmax", "Softmax", (g, { outputs: [p] }) => [
  mul(p, sub(g, sum(mul(g, p), [-1], true))),
]);

/** log p = x - log sum exp(x) along the last axis: dx = g - p sum(g). */
export const logSoftmax = alongLastAxis("logSoftmax", "LogSoftmax", (g, { outputs: [out] }) => [
  sub(g, mul(exp(out), sum(g, [-1], true))),
]);

const argmaxOp = defineOp({
  name: "argmax",
  shape: ([x]) => [{ dtype: "i64", shape: x.shape.slice(0, -1) }],
  lower: onnx("ArgMax", () => ({ axis: -1, keepdims: 0 })),
  grad: null,
  flops: perInput,
  samples: ROWS.map((shape) => ({ inputs: operands(shape), build: (x) => argmax(x), differentiable: [] })),
});

/** Index of the largest element along the last axis, i64; the first of equal ones. */
export function argmax(x: Tensor): Tensor {
  return argmaxOp([x], null);
}
