/**
 * Operators that route rows to experts. Pairs (row, choice) are sorted by expert, rows are gathered once, each expert
 * computes its own part, and the results are gathered back: a permutation's gradient is a gather as well, so nothing is
 * scattered and no dispatch matrix exists. How many rows an expert gets is known at run time only; see `partDim`.
 */
import { apply, applyAll, defineOp, free, size } from "../op.ts";
import { type Dim, GraphError, partDim, product, type Shape, type Tensor } from "../tensor.ts";
import { cast, mul } from "./elementwise.ts";
import { scatterLast } from "./lookup.ts";
import { reshape } from "./movement.ts";
import { sum } from "./reduce.ts";

const below = (limit: number) => (random: () => number) => Math.floor(random() * limit);

// ── the largest entries of a row ────────────────────────────────────────────────────────────────────────────────────

const topKOp = defineOp<number>({
  name: "topK",
  shape: ([x], k) => {
    const depth = x.shape[x.rank - 1];
    if (typeof depth !== "number" || k < 1 || k > depth)
      throw new GraphError(`the ${k} largest of a row of ${depth}`);
    const shape = [...x.shape.slice(0, -1), k];
    return [
      { dtype: x.dtype, shape },
      { dtype: "i64", shape },
    ];
  },
  lower: (ctx, node, k) =>
    ctx.emitAll("TopK", [ctx.value(node.inputs[0]), ctx.ints([k])], 2, { axis: -1, largest: 1, sorted: 1 }),
  // Each value goes back to where it was found.
  grad: (node, [g]) => [
    g && scatterLast(g, node.outputs[1], node.inputs[0].shape[node.inputs[0].rank - 1] as number),
  ],
  flops: (inputs) => size(inputs[0]),
  samples: [
    { label: "two of four", inputs: [{ shape: [3, 4] }], build: (x) => topK(x, 2).values },
    { label: "all", inputs: [{ shape: [2, 2, 3] }], build: (x) => topK(x, 3).values },
    { label: "where", inputs: [{ shape: [2, 5] }], build: (x) => topK(x, 2).indices, differentiable: [] },
  ],
});

/** The k largest entries of each row, largest first: values [..., k] and their indices [..., k] i64. */
export function topK(x: Tensor, k: number): { values: Tensor; indices: Tensor } {
  const [values, indices] = applyAll(topKOp, [x], k);
  return { values, indices };
}

// ── the order of pairs ──────────────────────────────────────────────────────────────────────────────────────────────

/** Where (row, choice) pairs go. Pair p is choice p mod k of row floor(p / k). */
export interface Routing {
  /** The pair at each sorted place, [rows · k] i64: by expert, then by pair. */
  order: Tensor;
  /** The sorted place of each pair, [rows · k] i64. */
  place: Tensor;
  /** Pairs of each expert, [experts] i64. */
  counts: Tensor;
  /** Choices a row. */
  k: number;
}

const routeOp = defineOp<number>({
  name: "route",
  shape: ([choices], experts) => {
    if (choices.dtype !== "i64" || choices.rank !== 2)
      throw new GraphError(`choices must be [rows, k] i64, not ${choices.dtype} [${choices.shape}]`);
    const pairs = product(choices.shape);
    return [[pairs], [pairs], [experts]].map((shape) => ({ dtype: "i64" as const, shape }));
  },
  lower: (ctx, node, experts) => {
    const one = ctx.constant("i64", [], [1]);
    const zero = ctx.constant("i64", [], [0]);
    const flat = ctx.emit("Reshape", [ctx.value(node.inputs[0]), ctx.ints([-1])]);
    const shape = ctx.emit("Shape", [flat]);
    const pairs = ctx.emit("Squeeze", [shape, ctx.ints([0])]);
    const index = ctx.emit("Range", [zero, pairs, one]);
    // Keys expert · pairs + pair are all different, so this sorts by expert and keeps pairs in order.
    const keys = ctx.emit("Add", [ctx.emit("Mul", [flat, pairs]), index]);
    const [, order] = ctx.emitAll("TopK", [keys, shape], 2, { axis: 0, largest: 0, sorted: 1 });
    const blank = ctx.emit("Expand", [zero, shape]);
    const place = ctx.emit("ScatterElements", [blank, order, index], { axis: -1, reduction: "add" });
    const none = ctx.constant("i64", [experts], new Array(experts).fill(0));
    const ones = ctx.emit("Expand", [one, shape]);
    const counts = ctx.emit("ScatterElements", [none, flat, ones], { axis: -1, reduction: "add" });
    return [order, place, counts];
  },
  grad: () => [null],
  flops: free,
  samples: (["order", "place", "counts"] as const).map((what) => ({
    label: what,
    inputs: [{ shape: [5, 2], dtype: "i32", values: below(4) }],
    build: (choices) => route(cast(choices, "i64"), 4)[what],
    differentiable: [],
  })),
});

/** Sorts the pairs of `choices` [rows, k] i64, the experts chosen by each row, by expert. */
export function route(choices: Tensor, experts: number): Routing {
  const [order, place, counts] = applyAll(routeOp, [choices], experts);
  return { order, place, counts, k: choices.shape[1] as number };
}

// ── rows to pairs and back ──────────────────────────────────────────────────────────────────────────────────────────

const chosen = { shape: [4, 2], dtype: "i32" as const, values: below(3) };

const dispatchOp = defineOp<number>({
  name: "dispatch",
  shape: ([x, order]) => [{ dtype: x.dtype, shape: [order.shape[0], x.shape[1]] }],
  lower: (ctx, node, k) => {
    const [x, order] = node.inputs.map((t) => ctx.value(t));
    // A quotient of whole numbers is whole; the cast says so to readers that know one kind of number.
    const quotient = () => ctx.emit("Div", [order, ctx.constant("i64", [], [k])]);
    const rows = k === 1 ? order : ctx.emit("Cast", [quotient()], { to: 7 });
    return [ctx.emit("Gather", [x, rows], { axis: 0 })];
  },
  // A row's gradient is the sum over its pairs.
  grad: (node, [g], k) => {
    const [, order, place] = node.inputs;
    return [g && sum(collectPairs(g, order, place, k), [1]), null, null];
  },
  flops: free,
  samples: [
    {
      label: "rows in the order of experts",
      inputs: [{ shape: [4, 3] }, chosen],
      build: (x, choices) => dispatch(x, route(cast(choices, "i64"), 3)),
      differentiable: [0],
    },
  ],
});

/** Row floor(order / k) of `x` [rows, width] at each sorted place: [rows · k, width]. */
export function dispatch(x: Tensor, { order, place, k }: Routing): Tensor {
  return apply(dispatchOp, [x, order, place], k);
}

const collectOp = defineOp<number>({
  name: "collect",
  shape: ([y, , place], k) => [{ dtype: y.dtype, shape: [rowsOf(place.shape, k), k, ...y.shape.slice(1)] }],
  lower: (ctx, node, k) => {
    const [y, , place] = node.inputs.map((t) => ctx.value(t));
    const places = ctx.emit("Reshape", [place, ctx.ints([-1, k])]);
    return [ctx.emit("Gather", [y, places], { axis: 0 })];
  },
  grad: (node, [g]) => {
    const [y, order, place] = node.inputs;
    return [g && apply(dispatchOp, [reshape(g, y.shape), order, place], 1), null, null];
  },
  flops: free,
  samples: [
    {
      label: "results in the order of pairs",
      inputs: [{ shape: [8, 3] }, chosen],
      build: (y, choices) => collect(y, route(cast(choices, "i64"), 3)),
      differentiable: [0],
    },
  ],
});

/** pairs / k, as a size. */
function rowsOf(pairs: Shape, k: number): Dim {
  const [count] = pairs;
  if (typeof count === "number") return count / k;
  const [factor, ...symbols] = count.split("*");
  return /^\d+$/.test(factor) ? product([Number(factor) / k, ...symbols]) : count;
}

function collectPairs(y: Tensor, order: Tensor, place: Tensor, k: number): Tensor {
  return apply(collectOp, [y, order, place], k);
}

/** The inverse of the sorting: `y` [rows · k, width] -> [rows, k, width], row i holding the results of its choices. */
export function collect(y: Tensor, { order, place, k }: Routing): Tensor {
  return collectPairs(y, order, place, k);
}

const combineOp = defineOp<null>({
  name: "combine",
  shape: ([y]) => [{ dtype: y.dtype, shape: [y.shape[0], y.shape[2]] }],
  lower: (ctx, node) => {
    const [y, weights] = node.inputs.map((t) => ctx.value(t));
    const row = ctx.emit("Unsqueeze", [weights, ctx.ints([1])]);
    return [ctx.emit("Squeeze", [ctx.emit("MatMul", [row, y]), ctx.ints([1])])];
  },
  // out = sum w y: dy = w g, dw = <g, y>
  grad: (node, [g]) => {
    if (g === null) return [null, null];
    const [y, weights] = node.inputs;
    const row = reshape(g, [y.shape[0], 1, y.shape[2]]);
    return [mul(reshape(weights, [...weights.shape, 1]), row), sum(mul(y, row), [-1])];
  },
  flops: (inputs) => 2 * size(inputs[0]),
  samples: [
    {
      label: "two choices",
      inputs: [{ shape: [3, 2, 4] }, { shape: [3, 2] }],
      build: (y, weights) => combine(y, weights),
    },
  ],
});

/** sum over k of weights [rows, k] · y [rows, k, width] -> [rows, width]. */
export function combine(y: Tensor, weights: Tensor): Tensor {
  return apply(combineOp, [y, weights], null);
}

// ── a part for each expert ──────────────────────────────────────────────────────────────────────────────────────────

const partitionOp = defineOp<null>({
  name: "partition",
  shape: ([x, counts]) => {
    const parts = counts.shape[0];
    if (typeof parts !== "number") throw new GraphError(`[${counts.shape}] parts`);
    return Array.from({ length: parts }, (_, part) => ({
      dtype: x.dtype,
      shape: [partDim(part, parts, x.shape[0]), ...x.shape.slice(1)],
    }));
  },
  lower: (ctx, node) => {
    const [x, counts] = node.inputs.map((t) => ctx.value(t));
    return node.outputs.length === 1
      ? [x]
      : ctx.emitAll("Split", [x, counts], node.outputs.length, { axis: 0 });
  },
  grad: (node, gradients) => {
    const missing = gradients.indexOf(null);
    if (missing >= 0) throw new GraphError(`part ${missing} of a partition is not used`);
    return [join(gradients as Tensor[], node.inputs[1], node.inputs[0].shape[0]), null];
  },
  flops: free,
  samples: [
    {
      label: "uneven parts, one of them empty",
      inputs: [{ shape: [5, 2] }, { shape: [3], dtype: "i32", values: (_random, i) => [3, 0, 2][i] }],
      build: (x, counts) => {
        const wide = cast(counts, "i64");
        return join(
          partition(x, wide).map((part, i) => mul(part, i + 1)),
          wide,
          5,
        );
      },
      differentiable: [0],
    },
  ],
});

/** The rows of `x`, cut into consecutive parts of `counts` [parts] i64 rows: [`partDim`, width] each. */
export function partition(x: Tensor, counts: Tensor): readonly Tensor[] {
  return applyAll(partitionOp, [x, counts], null);
}

const joinOp = defineOp<Dim>({
  name: "join",
  shape: ([first], rows) => [{ dtype: first.dtype, shape: [rows, ...first.shape.slice(1)] }],
  lower: (ctx, node) => {
    const parts = node.inputs.slice(0, -1).map((t) => ctx.value(t));
    return [parts.length === 1 ? parts[0] : ctx.emit("Concat", parts, { axis: 0 })];
  },
  grad: (node, [g]) => {
    const counts = node.inputs[node.inputs.length - 1];
    return g === null ? node.inputs.map(() => null) : [...partition(g, counts), null];
  },
  flops: free,
  samples: [
    {
      label: "parts of one row",
      inputs: [{ shape: [1, 2] }, { shape: [1, 2] }, { shape: [2], dtype: "i32", values: () => 1 }],
      build: (x, y, counts) => join([x, y], cast(counts, "i64"), 2),
      differentiable: [0, 1],
    },
  ],
});

/** The inverse of `partition`: parts of `counts` rows, one below the other, `rows` in all. */
export function join(parts: readonly Tensor[], counts: Tensor, rows: Dim): Tensor {
  return apply(joinOp, [...parts, counts], rows);
}
