/**
 * Operators that route rows to experts. Pairs (row, choice) are sorted by expert, rows are gathered once, each expert
 * computes its own part, and a row's results are gathered back and added up. `dispatch` and `mix` are each the other's
 * gradient, so nothing is scattered and no dispatch matrix exists. How many rows an expert gets is known at run time
 * only; see `partDim`.
 */
import { apply, applyAll, defineOp, free, size } from "../op.ts";
import { type Dim, GraphError, partDim, product, type Tensor } from "../tensor.ts";
import { cast, mul } from "./elementwise.ts";
import { scatterLast } from "./lookup.ts";
import { reshape } from "./movement.ts";

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
  /** Rows, and choices a row. */
  rows: Dim;
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
  return { order, place, counts, rows: choices.shape[0], k: choices.shape[1] as number };
}

// ── rows to experts and back ────────────────────────────────────────────────────────────────────────────────────────

type Pairing = Pick<Routing, "rows" | "k">;

/** Five rows that choose two experts each of four, the third of which gets none. */
const chosen = {
  shape: [5, 2],
  dtype: "i32" as const,
  values: (_random: unknown, i: number) => [0, 3, 1][i % 3],
};

const dispatchOp = defineOp<Pairing>({
  name: "dispatch",
  shape: ([x, order, , counts]) => {
    const parts = counts.shape[0];
    if (typeof parts !== "number") throw new GraphError(`[${counts.shape}] parts`);
    return Array.from({ length: parts }, (_, part) => ({
      dtype: x.dtype,
      shape: [partDim(part, parts, order.shape[0]), ...x.shape.slice(1)],
    }));
  },
  lower: (ctx, node, { k }) => {
    const [x, order, , counts] = node.inputs.map((t) => ctx.value(t));
    // A quotient of whole numbers is whole; the cast says so to readers that know one kind of number.
    const quotient = () => ctx.emit("Div", [order, ctx.constant("i64", [], [k])]);
    const rows = k === 1 ? order : ctx.emit("Cast", [quotient()], { to: 7 });
    const parts = node.outputs.length;
    const gather = (indices: string) => ctx.emit("Gather", [x, indices], { axis: 0 });
    // The indices are cut, not the rows: those are copied once.
    const pieces = parts === 1 ? [rows] : ctx.emitAll("Split", [rows, counts], parts, { axis: 0 });
    return pieces.map(gather);
  },
  grad: (node, gradients, pairing) => {
    const missing = gradients.indexOf(null);
    if (missing >= 0) throw new GraphError(`nothing depends on part ${missing} of the rows`);
    const [, order, place, counts] = node.inputs;
    return [mix(gradients as Tensor[], { order, place, counts, ...pairing }), null, null, null];
  },
  flops: free,
  samples: [
    {
      label: "each row goes to two of four",
      inputs: [{ shape: [5, 3] }, chosen],
      build: (x, choices) => {
        const routing = route(cast(choices, "i64"), 4);
        return mix(
          dispatch(x, routing).map((part, i) => mul(part, i + 1)),
          routing,
        );
      },
      differentiable: [0],
    },
  ],
});

/** Each expert's rows of `x` [rows, width], once for each pair of a row and that expert: [`partDim`, width] each. */
export function dispatch(x: Tensor, { order, place, counts, rows, k }: Routing): readonly Tensor[] {
  return applyAll(dispatchOp, [x, order, place, counts], { rows, k });
}

const mixOp = defineOp<Pairing>({
  name: "mix",
  shape: ([, , , part], { rows }) => [{ dtype: part.dtype, shape: [rows, ...part.shape.slice(1)] }],
  lower: (ctx, node, { k }) => {
    const [, place, , ...parts] = node.inputs.map((t) => ctx.value(t));
    const sorted = parts.length === 1 ? parts[0] : ctx.emit("Concat", parts, { axis: 0 });
    const gather = (places: string) => ctx.emit("Gather", [sorted, places], { axis: 0 });
    if (k === 1) return [gather(place)];
    const byRow = ctx.emit("Reshape", [place, ctx.ints([-1, k])]);
    const byChoice = ctx.emit("Transpose", [byRow], { perm: [1, 0] });
    const results = Array.from({ length: k }, (_, choice) =>
      gather(ctx.emit("Gather", [byChoice, ctx.constant("i64", [], [choice])], { axis: 0 })),
    );
    return [results.reduce((total, one) => ctx.emit("Add", [total, one]))];
  },
  grad: (node, [g], pairing) => {
    const [order, place, counts] = node.inputs;
    if (g === null) return node.inputs.map(() => null);
    return [null, null, null, ...applyAll(dispatchOp, [g, order, place, counts], pairing)];
  },
  flops: (_inputs, [out], { k }) => (k - 1) * size(out),
  samples: [
    {
      label: "two results a row",
      inputs: [{ shape: [10, 3] }, chosen],
      build: (y, choices) => {
        // Pairs as rows that choose one expert each give the parts.
        const pairs = route(cast(reshape(choices, [10, 1]), "i64"), 4);
        return mix(dispatch(y, pairs), { ...pairs, rows: 5, k: 2 });
      },
      differentiable: [0],
    },
  ],
});

/** The sum of each row's results, [rows, width]; `parts` holds them by expert, in the order of `dispatch`. */
export function mix(parts: readonly Tensor[], { order, place, counts, rows, k }: Routing): Tensor {
  return apply(mixOp, [order, place, counts, ...parts], { rows, k });
}
