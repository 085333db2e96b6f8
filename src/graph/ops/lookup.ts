/** Operators that look things up: embeddings, one-hot vectors, entries along an axis. */
import { apply, defineOp, free, type Op, size } from "../op.ts";
import { type Dim, GraphError, product, type Shape, sameShape, type Tensor } from "../tensor.ts";
import { cast, mul } from "./elementwise.ts";
import { matmul } from "./matmul.ts";
import { reshape } from "./movement.ts";

const wholeNumber = (below: number) => (random: () => number) => Math.floor(random() * below);

const oneHotOp = defineOp<number>({
  name: "oneHot",
  shape: ([ids], depth) => {
    if (ids.dtype !== "i32") throw new GraphError(`ids must be i32, not ${ids.dtype}`);
    return [{ dtype: "f32", shape: [...ids.shape, depth] }];
  },
  lower: (ctx, node, depth) => [
    ctx.emit(
      "OneHot",
      [ctx.value(node.inputs[0]), ctx.constant("i32", [1], [depth]), ctx.constant("f32", [2], [0, 1])],
      { axis: -1 },
    ),
  ],
  grad: () => [null],
  flops: free,
  samples: [
    {
      label: "ids",
      inputs: [{ shape: [2, 3], dtype: "i32", values: wholeNumber(4) }, { shape: [2, 3, 4] }],
      build: (ids, x) => mul(oneHot(ids, 4), x),
      differentiable: [1],
    },
  ],
});

/** 1 at each id, 0 elsewhere: [...] i32 -> [..., depth]. */
export function oneHot(ids: Tensor, depth: number): Tensor {
  return apply(oneHotOp, [ids], depth);
}

/** Up to this many rows a table's gradient is a product with one-hot rows; beyond, rows are added in place. */
const ONE_HOT_ROWS = 1024;

const scatterRowsOp = defineOp<number>({
  name: "scatterRows",
  shape: ([, rows], count) => [{ dtype: rows.dtype, shape: [count, rows.shape[1]] }],
  lower: (ctx, node, count) => {
    const [ids, rows] = node.inputs;
    const zeros = ctx.emit("Expand", [ctx.float(0), ctx.ints([count, rows.shape[1] as number])]);
    const indices = ctx.emit("Unsqueeze", [ctx.emit("Cast", [ctx.value(ids)], { to: 7 }), ctx.ints([1])]);
    return [ctx.emit("ScatterND", [zeros, indices, ctx.value(rows)], { reduction: "add" })];
  },
  grad: (node, [g]) => [null, g && gather(g, node.inputs[0])],
  flops: (inputs) => size(inputs[1]),
  samples: [
    {
      label: "repeated ids",
      inputs: [{ shape: [5], dtype: "i32", values: wholeNumber(3) }, { shape: [5, 2] }],
      build: (ids, rows) => scatterRows(ids, rows, 3),
      differentiable: [1],
    },
  ],
});

/** Adds row i of `rows` [n, width] to row ids[i] of a zero table [count, width]. */
export function scatterRows(ids: Tensor, rows: Tensor, count: number): Tensor {
  return apply(scatterRowsOp, [ids, rows], count);
}

const gatherOp = defineOp<null>({
  name: "gather",
  shape: ([table, ids]) => {
    if (ids.dtype !== "i32" && ids.dtype !== "i64")
      throw new GraphError(`ids must be i32 or i64, not ${ids.dtype}`);
    return [{ dtype: table.dtype, shape: [...ids.shape, ...table.shape.slice(1)] }];
  },
  lower: (ctx, node) => [
    ctx.emit(
      "Gather",
      node.inputs.map((t) => ctx.value(t)),
      { axis: 0 },
    ),
  ],
  grad: (node, [g]) => {
    if (g === null) return [null, null];
    const [table, ids] = node.inputs;
    const count = table.shape[0];
    if (typeof count !== "number")
      throw new GraphError(`a table with a gradient needs a fixed number of rows, not ${count}`);
    const flatIds = reshape(ids, [product(ids.shape)]);
    const width: Dim = product(table.shape.slice(1));
    const rows = reshape(g, [product(ids.shape), width]);
    const flat =
      count <= ONE_HOT_ROWS
        ? matmul(oneHot(flatIds, count), rows, { transA: true })
        : scatterRows(flatIds, rows, count);
    return [reshape(flat, table.shape), null];
  },
  flops: free,
  samples: [
    {
      label: "embedding",
      inputs: [{ shape: [5, 3] }, { shape: [2, 4], dtype: "i32", values: wholeNumber(5) }],
      build: (table, ids) => gather(table, ids),
      differentiable: [0],
    },
    {
      label: "one id",
      inputs: [{ shape: [2, 3] }, { shape: [1], dtype: "i32", values: wholeNumber(2) }],
      build: (table, ids) => gather(table, ids),
      differentiable: [0],
    },
    {
      label: "a large table",
      inputs: [{ shape: [1100, 2] }, { shape: [3], dtype: "i32", values: wholeNumber(1100) }],
      build: (table, ids) => gather(table, ids),
      differentiable: [0],
    },
  ],
});

/** Rows of `table` [rows, ...] at `ids` [...] -> [...ids, ...]. */
export function gather(table: Tensor, ids: Tensor): Tensor {
  return apply(gatherOp, [table, ids], null);
}

const rowsAtOp: Op<null> = defineOp<null>({
  name: "rowsAt",
  shape: ([x, at, back]) => {
    if (x.rank !== 2 || at.rank !== 1 || back.rank !== 1)
      throw new GraphError(`rows of [${x.shape}] at [${at.shape}], back at [${back.shape}]`);
    return [{ dtype: x.dtype, shape: [at.shape[0], x.shape[1]] }];
  },
  lower: (ctx, node) => {
    const [x, at] = node.inputs.map((t) => ctx.value(t));
    const blank = ctx.emit("Expand", [ctx.float(0), ctx.ints([1, node.inputs[0].shape[1] as number])]);
    return [ctx.emit("Gather", [ctx.emit("Concat", [x, blank], { axis: 0 }), at], { axis: 0 })];
  },
  // No row is read twice, so the way back is a lookup as well.
  grad: (node, [g]) => [g && rowsAt(g, node.inputs[2], node.inputs[1]), null, null],
  flops: free,
  samples: [
    {
      label: "two of three rows",
      inputs: [
        { shape: [3, 2] },
        { shape: [2], dtype: "i32", values: (_, i) => [2, 0][i] },
        { shape: [3], dtype: "i32", values: (_, i) => [1, 2, 0][i] },
      ],
      build: rowsAt,
      differentiable: [0],
    },
    {
      label: "and back",
      inputs: [
        { shape: [2, 1] },
        { shape: [3], dtype: "i32", values: (_, i) => [1, 2, 0][i] },
        { shape: [2], dtype: "i32", values: (_, i) => [2, 0][i] },
      ],
      build: rowsAt,
      differentiable: [0],
    },
  ],
});

/**
 * Some rows of `x` [rows, width], each at most once: row i is x[at[i]], and 0 where at[i] is `rows`; `at` [n] i32.
 * `back` [rows] is the same map the other way round: `rowsAt(rowsAt(x, at, back), back, at)` is x with the others as 0.
 */
export function rowsAt(x: Tensor, at: Tensor, back: Tensor): Tensor {
  return apply(rowsAtOp, [x, at, back], null);
}

// ── entries of the last axis ────────────────────────────────────────────────────────────────────────────────────────

/** Some entries for each row of `x` [..., depth]: the shape of `indices` [..., k]. */
function entryShape(x: Tensor, indices: Tensor): Shape {
  const whole = indices.dtype === "i32" || indices.dtype === "i64";
  if (whole && sameShape(indices.shape.slice(0, -1), x.shape.slice(0, -1))) return indices.shape;
  throw new GraphError(`${indices.dtype} [${indices.shape}] are no places in the rows of [${x.shape}]`);
}

function fixedDepth(x: Tensor): number {
  const depth = x.shape[x.rank - 1];
  if (typeof depth !== "number") throw new GraphError(`the last axis of [${x.shape}] must be fixed`);
  return depth;
}

const gatherLastOp = defineOp<null>({
  name: "gatherLast",
  shape: ([x, indices]) => [{ dtype: x.dtype, shape: entryShape(x, indices) }],
  lower: (ctx, node) => [
    ctx.emit(
      "GatherElements",
      node.inputs.map((t) => ctx.value(t)),
      { axis: -1 },
    ),
  ],
  grad: (node, [g]) => {
    const [x, indices] = node.inputs;
    return [g && scatterLast(g, indices, fixedDepth(x)), null];
  },
  flops: free,
  samples: [
    {
      label: "entries of rows",
      inputs: [{ shape: [3, 5] }, { shape: [3, 2], dtype: "i32", values: wholeNumber(5) }],
      build: (x, ids) => gatherLast(x, cast(ids, "i64")),
      differentiable: [0],
    },
  ],
});

/** Entries of each row of `x` [..., depth] at `indices` [..., k], i32 or i64 -> [..., k]. */
export function gatherLast(x: Tensor, indices: Tensor): Tensor {
  return apply(gatherLastOp, [x, indices], null);
}

const scatterLastOp = defineOp<number>({
  name: "scatterLast",
  shape: ([values, indices], depth) => {
    if (values.rank !== indices.rank) throw new GraphError(`[${values.shape}] at [${indices.shape}]`);
    return [{ dtype: values.dtype, shape: [...values.shape.slice(0, -1), depth] }];
  },
  lower: (ctx, node, depth) => {
    const [values, indices] = node.inputs.map((t) => ctx.value(t));
    const rows = ctx.emit("Shape", [values], { start: 0, end: -1 });
    const shape = ctx.emit("Concat", [rows, ctx.ints([depth])], { axis: 0 });
    const zeros = ctx.emit("Expand", [ctx.float(0), shape]);
    return [ctx.emit("ScatterElements", [zeros, indices, values], { axis: -1, reduction: "add" })];
  },
  grad: (node, [g]) => [g && gatherLast(g, node.inputs[1]), null],
  flops: (inputs) => size(inputs[0]),
  samples: [
    {
      label: "repeated places",
      inputs: [{ shape: [2, 4] }, { shape: [2, 4], dtype: "i32", values: wholeNumber(3) }],
      build: (x, ids) => scatterLast(x, cast(ids, "i64"), 3),
      differentiable: [0],
    },
    {
      label: "one row",
      inputs: [{ shape: [4] }, { shape: [4], dtype: "i32", values: wholeNumber(6) }],
      build: (x, ids) => scatterLast(x, cast(ids, "i64"), 6),
      differentiable: [0],
    },
  ],
});

/** Adds `values` [..., k] f32 into rows of zeros [..., depth] at `indices` [..., k], i32 or i64. */
export function scatterLast(values: Tensor, indices: Tensor, depth: number): Tensor {
  return apply(scatterLastOp, [values, indices], depth);
}

const addLastOp = defineOp<null>({
  name: "addLast",
  shape: ([x, indices, values]) => {
    if (!sameShape(entryShape(x, indices), values.shape))
      throw new GraphError(`[${values.shape}] values for places [${indices.shape}]`);
    return [{ dtype: x.dtype, shape: x.shape }];
  },
  lower: (ctx, node) => [
    ctx.emit(
      "ScatterElements",
      node.inputs.map((t) => ctx.value(t)),
      { axis: -1, reduction: "add" },
    ),
  ],
  grad: (node, [g]) => [g, null, g && gatherLast(g, node.inputs[1])],
  flops: (inputs) => size(inputs[1]),
  samples: [
    {
      label: "entries",
      inputs: [{ shape: [2, 5] }, { shape: [2, 3], dtype: "i32", values: wholeNumber(5) }, { shape: [2, 3] }],
      build: (x, indices, values) => addLast(x, indices, values),
      differentiable: [0, 2],
    },
  ],
});

/** `x` [..., depth] with `values` [..., k] added to its entries at `indices` [..., k], i32 or i64. */
export function addLast(x: Tensor, indices: Tensor, values: Tensor): Tensor {
  return apply(addLastOp, [x, indices, values], null);
}

/** [...] -> [..., 1]: one place, or one value, for each row. */
const column = (x: Tensor): Tensor => reshape(x, [...x.shape, 1]);

/** The entry of `x` [..., depth] at each id of `ids` [...] -> [...]. */
export function pick(x: Tensor, ids: Tensor): Tensor {
  return reshape(gatherLast(x, column(ids)), ids.shape);
}

/** `x` [..., depth] with `values` [...] added to its entries at `ids` [...]. */
export function addAt(x: Tensor, ids: Tensor, values: Tensor): Tensor {
  return addLast(x, column(ids), column(values));
}
