/** Operators that work element by element, with NumPy broadcasting. */
import { apply, defineOp, type Flops, perElement, type Sample } from "../op.ts";
import { onnxType } from "../proto.ts";
import { broadcastShapes, type DType, GraphError, type Tensor } from "../tensor.ts";
import { lift } from "./source.ts";

type Operand = Tensor | number;

function sameDtype(inputs: readonly Tensor[]): DType {
  for (const input of inputs)
    if (input.dtype !== inputs[0].dtype)
      throw new GraphError(`operands are ${inputs[0].dtype} and ${input.dtype}`);
  return inputs[0].dtype;
}

const broadcastPairs: [number[], number[]][] = [
  [
    [2, 3],
    [2, 3],
  ],
  [
    [4, 1, 3],
    [2, 1],
  ],
  [[3], []],
  [
    [2, 0],
    [1, 1],
  ],
  [
    [1, 1],
    [3, 2],
  ],
];

type Range = (random: () => number) => number;
const apart: Range = (random) => (random() < 0.5 ? -1 : 1) * (0.5 + random());
const positive: Range = (random) => 0.5 + random();

interface Binary {
  onnx: string;
  /** Operations an element; 1 where not said. */
  cost?: number;
  grad: (g: Tensor, x: Tensor, y: Tensor, out: Tensor) => [Tensor | null, Tensor | null];
  right?: Range;
}

function binary(name: string, rule: Binary): (x: Operand, y: Operand) => Tensor {
  const op = defineOp<null>({
    name,
    shape: ([x, y]) => [{ dtype: sameDtype([x, y]), shape: broadcastShapes(x.shape, y.shape) }],
    lower: (ctx, node) => [
      ctx.emit(
        rule.onnx,
        node.inputs.map((t) => ctx.value(t)),
      ),
    ],
    grad: (node, [g]) =>
      g === null ? [null, null] : rule.grad(g, node.inputs[0], node.inputs[1], node.outputs[0]),
    flops: perElement(rule.cost),
    samples: broadcastPairs.map(
      ([left, right]): Sample => ({
        label: `[${left}] with [${right}]`,
        inputs: [{ shape: left }, { shape: right, values: rule.right }],
        build: (x, y) => build(x, y),
      }),
    ),
  });
  const build = (x: Operand, y: Operand): Tensor => {
    const like = typeof x === "number" ? (y as Tensor) : x;
    if (typeof like === "number") throw new GraphError(`${name} of two numbers needs no graph`);
    return apply(op, [lift(x, like), lift(y, like)], null);
  };
  return build;
}

// d(x + y) = dx + dy
export const add = binary("add", { onnx: "Add", grad: (g) => [g, g] });
// d(x - y) = dx - dy
export const sub = binary("sub", { onnx: "Sub", grad: (g) => [g, neg(g)] });
// d(x y) = y dx + x dy
export const mul = binary("mul", { onnx: "Mul", grad: (g, x, y) => [mul(g, y), mul(g, x)] });
// d(x / y) = dx / y - (x / y) dy / y
export const div = binary("div", {
  onnx: "Div",
  right: apart,
  grad: (g, _x, y, out) => {
    const scaled = div(g, y);
    return [scaled, neg(mul(scaled, out))];
  },
});
// The larger operand takes the gradient; the left one where they are equal.
export const maximum = binary("maximum", {
  onnx: "Max",
  grad: (g, x, y) => [where(greaterEqual(x, y), g, 0), where(greaterEqual(x, y), 0, g)],
});
export const minimum = binary("minimum", {
  onnx: "Min",
  grad: (g, x, y) => [where(lessEqual(x, y), g, 0), where(lessEqual(x, y), 0, g)],
});

interface Unary {
  onnx: string;
  domain?: string;
  attributes?: Record<string, number | { float: number }>;
  cost?: number;
  grad: (g: Tensor, x: Tensor, out: Tensor) => Tensor;
  range?: Range;
}

function unary(name: string, rule: Unary): (x: Tensor) => Tensor {
  const op = defineOp<null>({
    name,
    shape: ([x]) => [{ dtype: x.dtype, shape: x.shape }],
    lower: (ctx, node) => [
      ctx.emit(rule.onnx, [ctx.value(node.inputs[0])], rule.attributes ?? {}, rule.domain),
    ],
    grad: (node, [g]) => [g && rule.grad(g, node.inputs[0], node.outputs[0])],
    flops: perElement(rule.cost),
    samples: [[2, 3], [], [1], [0, 4]].map(
      (shape): Sample => ({
        label: `[${shape}]`,
        inputs: [{ shape, values: rule.range }],
        build: (x) => build(x),
      }),
    ),
  });
  const build = (x: Tensor): Tensor => apply(op, [x], null);
  return build;
}

// d(-x) = -dx
export const neg = unary("neg", { onnx: "Neg", grad: (g) => neg(g) });
// d(e^x) = e^x dx
export const exp = unary("exp", { onnx: "Exp", grad: (g, _x, out) => mul(g, out) });
// d(ln x) = dx / x
export const log = unary("log", { onnx: "Log", range: positive, grad: (g, x) => div(g, x) });
// d(sqrt x) = dx / (2 sqrt x)
export const sqrt = unary("sqrt", {
  onnx: "Sqrt",
  range: positive,
  grad: (g, _x, out) => div(mul(g, 0.5), out),
});
// d(1 / x) = -dx / x^2
export const reciprocal = unary("reciprocal", {
  onnx: "Reciprocal",
  range: apart,
  grad: (g, _x, out) => neg(mul(g, mul(out, out))),
});
// s' = s (1 - s)
export const sigmoid = unary("sigmoid", {
  onnx: "Sigmoid",
  cost: 4,
  grad: (g, _x, out) => mul(g, mul(out, sub(1, out))),
});
// tanh' = 1 - tanh^2
export const tanh = unary("tanh", {
  onnx: "Tanh",
  cost: 6,
  grad: (g, _x, out) => mul(g, sub(1, mul(out, out))),
});
// relu' = [x > 0]
export const relu = unary("relu", { onnx: "Relu", range: apart, grad: (g, x) => where(greater(x, 0), g, 0) });
// |x|' = sign x
export const abs = unary("abs", {
  onnx: "Abs",
  range: apart,
  grad: (g, x) => where(greater(x, 0), g, neg(g)),
});

function comparison(name: string, onnx: string): (x: Operand, y: Operand) => Tensor {
  const op = defineOp<null>({
    name,
    shape: ([x, y]) => {
      sameDtype([x, y]);
      return [{ dtype: "bool", shape: broadcastShapes(x.shape, y.shape) }];
    },
    lower: (ctx, node) => [
      ctx.emit(
        onnx,
        node.inputs.map((t) => ctx.value(t)),
      ),
    ],
    grad: () => [null, null],
    flops: perElement(),
    samples: broadcastPairs.map(([left, right]) => ({
      label: `[${left}] with [${right}]`,
      inputs: [{ shape: left }, { shape: right }],
      build: (x, y) => where(build(x, y), x, y),
    })),
  });
  const build = (x: Operand, y: Operand): Tensor => {
    const like = typeof x === "number" ? (y as Tensor) : x;
    return apply(op, [lift(x, like), lift(y, like)], null);
  };
  return build;
}

export const equal = comparison("equal", "Equal");
export const less = comparison("less", "Less");
export const lessEqual = comparison("lessEqual", "LessOrEqual");
export const greater = comparison("greater", "Greater");
export const greaterEqual = comparison("greaterEqual", "GreaterOrEqual");

function logical(name: string, onnx: string): (x: Tensor, y: Tensor) => Tensor {
  const op = defineOp<null>({
    name,
    shape: ([x, y]) => {
      if (sameDtype([x, y]) !== "bool") throw new GraphError(`operands must be bool, not ${x.dtype}`);
      return [{ dtype: "bool", shape: broadcastShapes(x.shape, y.shape) }];
    },
    lower: (ctx, node) => [
      ctx.emit(
        onnx,
        node.inputs.map((t) => ctx.value(t)),
      ),
    ],
    grad: () => [null, null],
    flops: perElement(),
    samples: [
      {
        label: "two masks",
        inputs: [{ shape: [3, 4] }, { shape: [4] }],
        build: (x, y) => where(build(greater(x, 0), greater(y, 0)), x, y),
      },
    ],
  });
  const build = (x: Tensor, y: Tensor): Tensor => apply(op, [x, y], null);
  return build;
}

export const and = logical("and", "And");
export const or = logical("or", "Or");

const notOp = defineOp<null>({
  name: "not",
  shape: ([x]) => [{ dtype: "bool", shape: x.shape }],
  lower: (ctx, node) => [ctx.emit("Not", [ctx.value(node.inputs[0])])],
  grad: () => [null],
  flops: perElement(),
  samples: [
    { label: "mask", inputs: [{ shape: [2, 3] }], build: (x) => where(not(greater(x, 0)), x, mul(x, 2)) },
  ],
});

export function not(x: Tensor): Tensor {
  return apply(notOp, [x], null);
}

const whereOp = defineOp<null>({
  name: "where",
  shape: ([condition, x, y]) => {
    if (condition.dtype !== "bool")
      throw new GraphError(`the condition must be bool, not ${condition.dtype}`);
    return [
      {
        dtype: sameDtype([x, y]),
        shape: broadcastShapes(condition.shape, broadcastShapes(x.shape, y.shape)),
      },
    ];
  },
  lower: (ctx, node) => [
    ctx.emit(
      "Where",
      node.inputs.map((t) => ctx.value(t)),
    ),
  ],
  // The branch that was not taken gets exactly 0, even where the other side is infinite.
  grad: (node, [g]) =>
    g === null ? [null, null, null] : [null, where(node.inputs[0], g, 0), where(node.inputs[0], 0, g)],
  flops: perElement(),
  samples: [
    {
      label: "broadcast branches",
      inputs: [{ shape: [2, 3] }, { shape: [3] }, { shape: [2, 1] }],
      build: (c, x, y) => where(greater(c, 0), x, y),
      differentiable: [1, 2],
    },
  ],
});

/** `condition ? x : y` element by element; masks go through here and never through a product (0 · inf is NaN). */
export function where(condition: Tensor, x: Operand, y: Operand): Tensor {
  const like = typeof x === "number" ? (y as Tensor) : x;
  return apply(whereOp, [condition, lift(x, like), lift(y, like)], null);
}

const castOp = defineOp<DType>({
  name: "cast",
  shape: ([x], dtype) => [{ dtype, shape: x.shape }],
  lower: (ctx, node, dtype) => [ctx.emit("Cast", [ctx.value(node.inputs[0])], { to: onnxType(dtype) })],
  grad: (node, [g], dtype) => {
    const floating = (d: DType) => d === "f32" || d === "f16" || d === "bf16";
    return [
      g !== null && floating(node.inputs[0].dtype) && floating(dtype) ? cast(g, node.inputs[0].dtype) : null,
    ];
  },
  flops: perElement(0),
  samples: [
    {
      label: "to bool and back",
      inputs: [{ shape: [2, 3] }],
      build: (x) => cast(greater(x, 0), "f32"),
      differentiable: [],
    },
  ],
});

export function cast(x: Tensor, dtype: DType): Tensor {
  return x.dtype === dtype ? x : apply(castOp, [x], dtype);
}

interface Bounds {
  low: number;
  high: number;
}

const clipFlops: Flops<unknown> = perElement(2);

const clipOp = defineOp<Bounds>({
  name: "clip",
  shape: ([x]) => [{ dtype: x.dtype, shape: x.shape }],
  lower: (ctx, node, { low, high }) => [
    ctx.emit("Clip", [ctx.value(node.inputs[0]), ctx.float(low), ctx.float(high)]),
  ],
  grad: (node, [g], { low, high }) => {
    const [x] = node.inputs;
    return [g && where(and(greaterEqual(x, low), lessEqual(x, high)), g, 0)];
  },
  flops: clipFlops,
  samples: [{ label: "both sides", inputs: [{ shape: [4, 5] }], build: (x) => clip(x, -0.4, 0.3) }],
});

/** Bounded to [low, high]; no gradient outside. */
export function clip(x: Tensor, low: number, high: number): Tensor {
  return apply(clipOp, [x], { low, high });
}
