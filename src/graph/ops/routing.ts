/**
 * Operators that route rows to experts. Pairs (row, choice) are sorted by expert, rows are gathered once, each expert
 * computes its own part, and a row's results are gathered back and added up. `dispatch` and `combine` are each the
 * other's gradient, so nothing is scattered and no dispatch matrix exists. How many rows an expert gets is known only
 * when the graph runs; see `partDim`.
 */
import { defineOp, free, perInput } from "../op.ts";
import { integers, listed, operands } from "../samples.ts";
import { type Dim, GraphError, partDim, product, sizeOf, type Tensor } from "../tensor.ts";
import { cast, mul } from "./elementwise.ts";
import { scatter } from "./lookup.ts";
import { reshape } from "./movement.ts";

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
  lower: (ctx, [x], k) => ctx.emitAll("TopK", [x, ctx.ints([k])], 2, { axis: -1, largest: 1, sorted: 1 }),
  // The gradient of each value goes back to where the value was found.
  grad: (g, { inputs: [x], outputs: [, indices] }) => [scatter(g, indices, x.shape[x.rank - 1] as number)],
  flops: perInput,
  samples: [
    { inputs: operands([3, 4]), build: (x) => topK(x, 2).values },
    { inputs: operands([2, 2, 3]), build: (x) => topK(x, 3).values },
    { inputs: operands([2, 5]), build: (x) => topK(x, 2).indices, differentiable: [] },
  ],
});

/** The k largest entries of each row, largest first: values [..., k] and their indices [..., k] i64. */
export function topK(x: Tensor, k: number): { values: Tensor; indices: Tensor } {
  const [values, indices] = topKOp.all([x], k);
  return { values, indices };
}

// ── the order of pairs ──────────────────────────────────────────────────────────────────────────────────────────────

/** The order of (row, choice) pairs by expert. Pair p is choice p mod k of row floor(p / k). */
export interface Routing {
  /** The pairs in order [rows · k] i64: by expert, then by number. */
  order: Tensor;
  /** The place of each pair in that order, [rows · k] i64. */
  place: Tensor;
  /** How many pairs each expert has, [experts] i64. */
  counts: Tensor;
  /** How many rows, and choices of each. */
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
  lower: (ctx, [choices], experts) => {
    const one = ctx.constant("i64", [], [1]);
    const zero = ctx.constant("i64", [], [0]);
    const flat = ctx.emit("Reshape", [choices, ctx.ints([-1])]);
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
  grad: null,
  flops: free,
  samples: (["order", "place", "counts"] as const).map((what) => ({
    label: what,
    inputs: operands(integers([5, 2], 4)),
    build: (choices) => route(cast(choices, "i64"), 4)[what],
  })),
});

/** Sorts the pairs of `choices` [rows, k] i64, the experts chosen by each row, by expert. */
export function route(choices: Tensor, experts: number): Routing {
  const [order, place, counts] = routeOp.all([choices], experts);
  return { order, place, counts, rows: choices.shape[0], k: choices.shape[1] as number };
}

// ── rows to experts and back ────────────────────────────────────────────────────────────────────────────────────────

type Pairing = Pick<Routing, "rows" | "k">;

/** Five rows that choose two experts each of four, the third of which gets none. */
const chosen = listed([5, 2], [0, 3, 1]);

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
  lower: (ctx, [x, order, , counts], { k }, node) => {
    // ONNX's quotient of integers is an integer; the cast makes it one for an interpreter that knows floats only.
    const quotient = () => ctx.emit("Div", [order, ctx.constant("i64", [], [k])]);
    const rows = k === 1 ? order : ctx.emit("Cast", [quotient()], { to: 7 });
    const parts = node.outputs.length;
    const gather = (indices: string) => ctx.emit("Gather", [x, indices], { axis: 0 });
    // The indices are split, not the rows, which are copied once.
    const pieces = parts === 1 ? [rows] : ctx.emitAll("Split", [rows, counts], parts, { axis: 0 });
    return pieces.map(gather);
  },
  grad: {
    all: (gradients, { inputs: [, order, place, counts] }, pairing) => {
      const known = gradients.filter((g) => g !== null);
      if (known.length < gradients.length)
        throw new GraphError(`nothing depends on part ${gradients.indexOf(null)} of the rows`);
      return [combine(known, { order, place, counts, ...pairing })];
    },
  },
  flops: free,
  samples: [
    {
      label: "each row goes to two of four",
      inputs: operands([5, 3], chosen),
      build: (x, choices) => {
        const routing = route(cast(choices, "i64"), 4);
        return combine(
          dispatch(x, routing).map((part, i) => mul(part, i + 1)),
          routing,
        );
      },
    },
  ],
});

/** Each expert's rows of `x` [rows, width], once for each pair of a row and that expert: [`partDim`, width] each. */
export function dispatch(x: Tensor, { order, place, counts, rows, k }: Routing): readonly Tensor[] {
  return dispatchOp.all([x, order, place, counts], { rows, k });
}

const combineOp = defineOp<Pairing>({
  name: "combine",
  shape: ([, , , part], { rows }) => [{ dtype: part.dtype, shape: [rows, ...part.shape.slice(1)] }],
  lower: (ctx, [, place, , ...parts], { k }) => {
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
  grad: (g, { inputs: [order, place, counts] }, pairing) => [
    ...[null, null, null],
    ...dispatchOp.all([g, order, place, counts], pairing),
  ],
  flops: (_inputs, [out], { k }) => (k - 1) * sizeOf(out),
  samples: [
    {
      label: "two results a row",
      inputs: operands([10, 3], chosen),
      build: (y, choices) => {
        // Pairs as rows that choose one expert each give the parts.
        const pairs = route(cast(reshape(choices, [10, 1]), "i64"), 4);
        return combine(dispatch(y, pairs), { ...pairs, rows: 5, k: 2 });
      },
    },
  ],
});

/** The sum of each row's results [rows, width], of which `parts` has those of each expert, as `dispatch` orders them. */
export function combine(parts: readonly Tensor[], { order, place, counts, rows, k }: Routing): Tensor {
  return combineOp([order, place, counts, ...parts], { rows, k });
}
