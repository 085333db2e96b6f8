/** Operators that look things up: rows of tables, one-hot vectors, entries along the last axis. */
import { defineOp, free, onnx, perInput } from "../op.ts";
import { integers, listed, operands } from "../samples.ts";
import { type Dim, GraphError, product, type Shape, sameShape, sizeOf, type Tensor } from "../tensor.ts";
import { cast, mul } from "./elementwise.ts";
import { matmul } from "./matmul.ts";
import { reshape } from "./movement.ts";

const oneHotOp = defineOp<number>({
  name: "oneHot",
  shape: ([ids], depth) => {
    if (ids.dtype !== "i32") throw new GraphError(`ids must be i32, not ${ids.dtype}`);
    return [{ dtype: "f32", shape: [...ids.shape, depth] }];
  },
  lower: (ctx, [ids], depth) => {
    const operands = [ids, ctx.constant("i32", [1], [depth]), ctx.constant("f32", [2], [0, 1])];
    return [ctx.emit("OneHot", operands, { axis: -1 })];
  },
  grad: null,
  flops: free,
  samples: [
    { inputs: operands(integers([2, 3], 4)), build: (ids) => oneHot(ids, 4) },
    { inputs: operands(integers([2, 3], 4), [2, 3, 4]), build: (ids, x) => mul(oneHot(ids, 4), x) },
  ],
});

/** 1 at each id, 0 elsewhere: [...] i32 -> [..., depth]. */
export function oneHot(ids: Tensor, depth: number): Tensor {
  return oneHotOp([ids], depth);
}

// ── rows of a table ─────────────────────────────────────────────────────────────────────────────────────────────────

/** Up to this many rows a table's gradient is a product with one-hot rows; beyond, rows are added in place. */
const ONE_HOT_ROWS = 1024;

const segmentSumOp = defineOp<number>({
  name: "segmentSum",
  shape: ([rows], count) => [{ dtype: rows.dtype, shape: [count, rows.shape[1]] }],
  lower: (ctx, [rows, ids], count, { inputs: [table] }) => {
    const zeros = ctx.emit("Expand", [ctx.float(0), ctx.ints([count, table.shape[1] as number])]);
    const indices = ctx.emit("Unsqueeze", [ctx.emit("Cast", [ids], { to: 7 }), ctx.ints([1])]);
    return [ctx.emit("ScatterND", [zeros, indices, rows], { reduction: "add" })];
  },
  grad: (g, { inputs: [, ids] }) => [gather(g, ids)],
  flops: perInput,
  samples: [{ inputs: operands([5, 2], integers([5], 3)), build: (rows, ids) => segmentSum(rows, ids, 3) }],
});

/** Adds row i of `rows` [n, width] to row ids[i] of a zero table [count, width]. */
export function segmentSum(rows: Tensor, ids: Tensor, count: number): Tensor {
  return segmentSumOp([rows, ids], count);
}

const gatherOp = defineOp({
  name: "gather",
  shape: ([table, ids]) => {
    if (ids.dtype !== "i32" && ids.dtype !== "i64")
      throw new GraphError(`ids must be i32 or i64, not ${ids.dtype}`);
    return [{ dtype: table.dtype, shape: [...ids.shape, ...table.shape.slice(1)] }];
  },
  memory: "partial",
  lower: onnx("Gather", () => ({ axis: 0 })),
  grad: (g, { inputs: [table, ids] }) => {
    const count = table.shape[0];
    if (typeof count !== "number")
      throw new GraphError(`a table with a gradient needs a fixed number of rows, not ${count}`);
    const flatIds = reshape(ids, [product(ids.shape)]);
    const width: Dim = product(table.shape.slice(1));
    const rows = reshape(g, [product(ids.shape), width]);
    const flat =
      count <= ONE_HOT_ROWS
        ? matmul(oneHot(flatIds, count), rows, { transA: true })
        : segmentSum(rows, flatIds, count);
    return [reshape(flat, table.shape)];
  },
  flops: free,
  samples: [
    { label: "embedding", inputs: operands([5, 3], integers([2, 4], 5)), build: gather },
    { label: "one id", inputs: operands([2, 3], integers([1], 2)), build: gather },
    { label: "a large table", inputs: operands([1100, 2], integers([3], 1100)), build: gather },
  ],
});

/** Rows of `table` [rows, ...] at `ids` [...] -> [...ids, ...]. */
export function gather(table: Tensor, ids: Tensor): Tensor {
  return gatherOp([table, ids], null);
}

const gatherRowsOp = defineOp({
  name: "gatherRows",
  shape: ([x, rows, inverse]) => {
    if (x.rank !== 2 || rows.rank !== 1 || inverse.rank !== 1)
      throw new GraphError(`rows [${rows.shape}] of [${x.shape}], with the inverse [${inverse.shape}]`);
    return [{ dtype: x.dtype, shape: [rows.shape[0], x.shape[1]] }];
  },
  memory: "partial",
  lower: (ctx, [x, rows], _attrs, { inputs: [table] }) => {
    const blank = ctx.emit("Expand", [ctx.float(0), ctx.ints([1, table.shape[1] as number])]);
    return [ctx.emit("Gather", [ctx.emit("Concat", [x, blank], { axis: 0 }), rows], { axis: 0 })];
  },
  // No row is read twice, so the gradient is a gather as well.
  grad: (g, { inputs: [, rows, inverse] }) => [gatherRows(g, inverse, rows)],
  flops: free,
  samples: [
    { inputs: operands([3, 2], listed([2], [2, 0]), listed([3], [1, 2, 0])), build: gatherRows },
    { inputs: operands([2, 1], listed([3], [1, 2, 0]), listed([2], [2, 0])), build: gatherRows },
  ],
});

/**
 * A gather of some rows of `x` [count, width], each at most once, whose inverse is known: row i of the result is
 * x[rows[i]], or 0 where rows[i] is `count`; `rows` [n] i32. `inverse` [count] maps a row of x to its place in the
 * result, or to n: `gatherRows(gatherRows(x, rows, inverse), inverse, rows)` is x with 0 in the other rows.
 */
export function gatherRows(x: Tensor, rows: Tensor, inverse: Tensor): Tensor {
  return gatherRowsOp([x, rows, inverse], null);
}

// ── entries of the last axis ────────────────────────────────────────────────────────────────────────────────────────

/** The shape of `indices` [..., k], some entries for each row of `x` [..., depth]. */
function entryShape(x: Tensor, indices: Tensor): Shape {
  const integers = indices.dtype === "i32" || indices.dtype === "i64";
  if (integers && sameShape(indices.shape.slice(0, -1), x.shape.slice(0, -1))) return indices.shape;
  throw new GraphError(`${indices.dtype} [${indices.shape}] cannot index the rows of [${x.shape}]`);
}

const takeAlongAxisOp = defineOp({
  name: "takeAlongAxis",
  shape: ([x, indices]) => [{ dtype: x.dtype, shape: entryShape(x, indices) }],
  memory: "partial",
  lower: onnx("GatherElements", () => ({ axis: -1 })),
  grad: (g, { inputs: [x, indices] }) => {
    const depth = x.shape[x.rank - 1];
    if (typeof depth !== "number") throw new GraphError(`the last axis of [${x.shape}] must be fixed`);
    return [scatter(g, indices, depth)];
  },
  flops: free,
  samples: [
    { inputs: operands([3, 5], integers([3, 2], 5)), build: (x, ids) => takeAlongAxis(x, cast(ids, "i64")) },
  ],
});

/** Entries of each row of `x` [..., depth] at `indices` [..., k], i32 or i64 -> [..., k]. */
export function takeAlongAxis(x: Tensor, indices: Tensor): Tensor {
  return takeAlongAxisOp([x, indices], null);
}

const scatterOp = defineOp<number>({
  name: "scatter",
  shape: ([values, indices], depth) => {
    if (values.rank !== indices.rank) throw new GraphError(`[${values.shape}] at [${indices.shape}]`);
    return [{ dtype: values.dtype, shape: [...values.shape.slice(0, -1), depth] }];
  },
  lower: (ctx, [values, indices], depth) => {
    const rows = ctx.emit("Shape", [values], { start: 0, end: -1 });
    const shape = ctx.emit("Concat", [rows, ctx.ints([depth])], { axis: 0 });
    const zeros = ctx.emit("Expand", [ctx.float(0), shape]);
    return [ctx.emit("ScatterElements", [zeros, indices, values], { axis: -1, reduction: "add" })];
  },
  grad: (g, { inputs: [, indices] }) => [takeAlongAxis(g, indices)],
  flops: perInput,
  samples: [
    { inputs: operands([2, 4], integers([2, 4], 3)), build: (x, ids) => scatter(x, cast(ids, "i64"), 3) },
    { inputs: operands([4], integers([4], 6)), build: (x, ids) => scatter(x, cast(ids, "i64"), 6) },
  ],
});

/** Adds `values` [..., k] f32 into rows of zeros [..., depth] at `indices` [..., k], i32 or i64. */
export function scatter(values: Tensor, indices: Tensor, depth: number): Tensor {
  return scatterOp([values, indices], depth);
}

const scatterAddOp = defineOp({
  name: "scatterAdd",
  shape: ([x, indices, values]) => {
    if (!sameShape(entryShape(x, indices), values.shape))
      throw new GraphError(`[${values.shape}] values for indices [${indices.shape}]`);
    return [{ dtype: x.dtype, shape: x.shape }];
  },
  lower: onnx("ScatterElements", () => ({ axis: -1, reduction: "add" })),
  grad: (g, { inputs: [, indices] }) => [g, null, takeAlongAxis(g, indices)],
  flops: ([, indices]) => sizeOf(indices),
  samples: [{ inputs: operands([2, 5], integers([2, 3], 5), [2, 3]), build: scatterAdd }],
});

/** `x` [..., depth] with `values` [..., k] added to its entries at `indices` [..., k], i32 or i64. */
export function scatterAdd(x: Tensor, indices: Tensor, values: Tensor): Tensor {
  return scatterAddOp([x, indices, values], null);
}
