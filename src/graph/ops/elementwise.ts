/** Operators that work element by element, with NumPy broadcasting. */
import { type Apply, defineOp, likeFirst, onnx, perElement } from "../op.ts";
import { onnxType } from "../proto.ts";
import { operands, type SampleInput } from "../samples.ts";
import { broadcastShapes, type DType, GraphError, type Tensor } from "../tensor.ts";
import { asTensor } from "./source.ts";

type Operand = Tensor | number;

function sameDtype([x, y]: readonly Tensor[]): DType {
  if (x.dtype !== y.dtype) throw new GraphError(`operands are ${x.dtype} and ${y.dtype}`);
  return x.dtype;
}

// biome-ignore format: one case a line
const BROADCAST: [number[], number[]][] = [
  [[2, 3], [2, 3]],
  [[4, 1, 3], [2, 1]],
  [[3], []],
  [[2, 0], [1, 1]],
  [[1, 1], [3, 2]],
];

type Range = SampleInput["values"];
const apart: Range = (random) => (random() < 0.5 ? -1 : 1) * (0.5 + random());
const positive: Range = (random) => 0.5 + random();

type BinaryOp = (x: Operand, y: Operand) => Tensor;

interface Binary {
  onnx: string;
  grad: ((g: Tensor, x: Tensor, y: Tensor, out: Tensor) => [Tensor, Tensor]) | null;
  /** The dtype that operands must have, and that of the result; left out: any, and that of the operands. */
  operands?: "bool";
  result?: "bool";
  /** How the samples call the op, and their values of y. */
  sample?: (op: BinaryOp, x: Tensor, y: Tensor) => Tensor;
  right?: Range;
}

/** Two operands, of which one may be a number. */
function binary(name: string, { grad, sample, ...rule }: Binary): BinaryOp {
  const op = defineOp({
    name,
    shape: ([x, y]) => {
      const dtype = sameDtype([x, y]);
      if (rule.operands === "bool" && dtype !== "bool")
        throw new GraphError(`operands must be bool, not ${dtype}`);
      return [{ dtype: rule.result ?? dtype, shape: broadcastShapes(x.shape, y.shape) }];
    },
    lower: onnx(rule.onnx),
    grad: grad && ((g, { inputs: [x, y], outputs: [out] }) => grad(g, x, y, out)),
    flops: perElement(),
    samples: BROADCAST.map(([left, right]) => ({
      inputs: operands(left, { shape: right, values: rule.right }),
      build: (x, y) => sample?.(build, x, y) ?? build(x, y),
    })),
  });
  const build: BinaryOp = (x, y) => {
    const like = typeof x === "number" ? y : x;
    if (typeof like === "number") throw new GraphError(`${name} of two numbers needs no graph`);
    return op([asTensor(x, like), asTensor(y, like)], null);
  };
  return build;
}

/**
 * x + y, element by element with NumPy's broadcasting: d(x + y) = dx + dy. @throws GraphError for two dtypes
 */
export const add = binary("add", { onnx: "Add", grad: (g) => [g, g] });
/** x - y, element by element with NumPy's broadcasting: d(x - y) = dx - dy. */
export const sub = binary("sub", { onnx: "Sub", grad: (g) => [g, neg(g)] });
/** x y, element by element with NumPy's broadcasting: d(x y) = y dx + x dy. */
export const mul = binary("mul", { onnx: "Mul", grad: (g, x, y) => [mul(g, y), mul(g, x)] });
/** x / y, element by element with NumPy's broadcasting: d(x / y) = dx / y - (x / y) dy / y. */
export const div = binary("div", {
  onnx: "Div",
  right: apart,
  grad: (g, _x, y, out) => {
    const scaled = div(g, y);
    return [scaled, neg(mul(scaled, out))];
  },
});
/** The larger of x and y, which takes the gradient: the left one where they are equal. */
export const maximum = binary("maximum", {
  onnx: "Max",
  grad: (g, x, y) => [where(greaterEqual(x, y), g, 0), where(greaterEqual(x, y), 0, g)],
});
/** The smaller of x and y, which takes the gradient: the left one where they are equal. */
export const minimum = binary("minimum", {
  onnx: "Min",
  grad: (g, x, y) => [where(lessEqual(x, y), g, 0), where(lessEqual(x, y), 0, g)],
});

interface Unary {
  onnx: string;
  /** Operations an element; 1 unless given. */
  cost?: number;
  grad: ((g: Tensor, x: Tensor, out: Tensor) => Tensor) | null;
  /** How the samples call the op, and their values of x. */
  sample?: (x: Tensor) => Tensor;
  range?: Range;
}

function unary(name: string, { grad, sample, ...rule }: Unary): (x: Tensor) => Tensor {
  const op: Apply<null> = defineOp<null>({
    name,
    shape: likeFirst,
    lower: onnx(rule.onnx),
    grad: grad && ((g, { inputs: [x], outputs: [out] }) => [grad(g, x, out)]),
    flops: perElement(rule.cost),
    samples: [[2, 3], [], [1], [0, 4]].map((shape) => ({
      inputs: operands({ shape, values: rule.range }),
      build: sample ?? ((x) => op([x], null)),
    })),
  });
  return (x) => op([x], null);
}

/** -x: d(-x) = -dx. */
export const neg = unary("neg", { onnx: "Neg", grad: (g) => neg(g) });
/** e^x: d(e^x) = e^x dx. It overflows above 88.7 in f32. */
export const exp = unary("exp", { onnx: "Exp", grad: (g, _x, out) => mul(g, out) });
/** The natural logarithm: d(ln x) = dx / x. */
export const log = unary("log", { onnx: "Log", range: positive, grad: (g, x) => div(g, x) });
/** The square root: d(sqrt x) = dx / (2 sqrt x). */
export const sqrt = unary("sqrt", {
  onnx: "Sqrt",
  range: positive,
  grad: (g, _x, out) => div(mul(g, 0.5), out),
});
/** 1 / x: d(1 / x) = -dx / x^2. */
export const reciprocal = unary("reciprocal", {
  onnx: "Reciprocal",
  range: apart,
  grad: (g, _x, out) => neg(mul(g, mul(out, out))),
});
/** 1 / (1 + e^-x): s' = s (1 - s). */
export const sigmoid = unary("sigmoid", {
  onnx: "Sigmoid",
  cost: 4,
  grad: (g, _x, out) => mul(g, mul(out, sub(1, out))),
});
/** The hyperbolic tangent: tanh' = 1 - tanh^2. */
export const tanh = unary("tanh", {
  onnx: "Tanh",
  cost: 6,
  grad: (g, _x, out) => mul(g, sub(1, mul(out, out))),
});
/** max(x, 0): relu' = [x > 0]. */
export const relu = unary("relu", { onnx: "Relu", range: apart, grad: (g, x) => where(greater(x, 0), g, 0) });
/** The absolute value: |x|' = sign x. */
export const abs = unary("abs", {
  onnx: "Abs",
  range: apart,
  grad: (g, x) => where(greater(x, 0), g, neg(g)),
});

const comparison = (name: string, onnx: string): BinaryOp =>
  binary(name, { onnx, result: "bool", grad: null, sample: (op, x, y) => where(op(x, y), x, y) });

/** x = y as bool, with broadcasting; no gradient. */
export const equal = comparison("equal", "Equal");
/** x < y as bool, with broadcasting; no gradient. */
export const less = comparison("less", "Less");
/** x ≤ y as bool, with broadcasting; no gradient. */
export const lessEqual = comparison("lessEqual", "LessOrEqual");
/** x > y as bool, with broadcasting; no gradient. */
export const greater = comparison("greater", "Greater");
/** x ≥ y as bool, with broadcasting; no gradient. */
export const greaterEqual = comparison("greaterEqual", "GreaterOrEqual");

const logical = (name: string, onnx: string): BinaryOp =>
  binary(name, {
    ...{ onnx, operands: "bool", grad: null },
    sample: (op, x, y) => where(op(greater(x, 0), greater(y, 0)), x, y),
  });

/** Whether both hold, of bool operands with broadcasting. @throws GraphError for another dtype */
export const and = logical("and", "And");
/** Whether one holds, of bool operands with broadcasting. @throws GraphError for another dtype */
export const or = logical("or", "Or");
/** Whether it does not hold, of a bool operand. */
export const not = unary("not", {
  ...{ onnx: "Not", grad: null },
  sample: (x) => where(not(greater(x, 0)), x, mul(x, 2)),
});

const whereOp = defineOp({
  name: "where",
  shape: ([condition, x, y]) => {
    if (condition.dtype !== "bool")
      throw new GraphError(`the condition must be bool, not ${condition.dtype}`);
    const shape = broadcastShapes(condition.shape, broadcastShapes(x.shape, y.shape));
    return [{ dtype: sameDtype([x, y]), shape }];
  },
  lower: onnx("Where"),
  // The branch that was not taken gets exactly 0, even where the other side is infinite.
  grad: (g, { inputs: [condition] }) => [null, where(condition, g, 0), where(condition, 0, g)],
  flops: perElement(),
  samples: [
    {
      inputs: operands([2, 3], [3], [2, 1]),
      build: (c, x, y) => where(greater(c, 0), x, y),
      differentiable: [1, 2],
    },
  ],
});

/** `condition ? x : y` element by element; masks go through here and never through a product (0 · inf is NaN). */
export function where(condition: Tensor, x: Operand, y: Operand): Tensor {
  const like = typeof x === "number" ? y : x;
  if (typeof like === "number")
    throw new GraphError("where needs a tensor among its branches, to know the dtype");
  return whereOp([condition, asTensor(x, like), asTensor(y, like)], null);
}

const floating = (dtype: DType): boolean => dtype === "f32" || dtype === "f16" || dtype === "bf16";

const castOp = defineOp<DType>({
  name: "cast",
  shape: ([x], dtype) => [{ dtype, shape: x.shape }],
  lower: onnx("Cast", (dtype) => ({ to: onnxType(dtype) })),
  grad: (g, { inputs: [x] }, dtype) => [floating(x.dtype) && floating(dtype) ? cast(g, x.dtype) : null],
  flops: perElement(0),
  samples: [{ inputs: operands([2, 3]), build: (x) => cast(greater(x, 0), "f32"), differentiable: [] }],
});

/**
 * The elements in another dtype, as ONNX's Cast converts them; gradients flow between floating-point dtypes only.
 */
export function cast(x: Tensor, dtype: DType): Tensor {
  return x.dtype === dtype ? x : castOp([x], dtype);
}

const clipOp = defineOp<{ low: number; high: number }>({
  name: "clip",
  shape: likeFirst,
  lower: (ctx, [x], { low, high }) => [ctx.emit("Clip", [x, ctx.float(low), ctx.float(high)])],
  grad: (g, { inputs: [x] }, { low, high }) => [where(and(greaterEqual(x, low), lessEqual(x, high)), g, 0)],
  flops: perElement(2),
  samples: [{ inputs: operands([4, 5]), build: (x) => clip(x, -0.4, 0.3) }],
});

/** Bounded to [low, high]; no gradient outside. */
export function clip(x: Tensor, low: number, high: number): Tensor {
  return clipOp([x], { low, high });
}
