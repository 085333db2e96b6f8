/** Operators that look things up: embeddings, one-hot vectors, entries along an axis. */
import { apply, defineOp, free, size } from "../op.ts";
import { type Dim, type DType, GraphError, product, sameShape, type Tensor } from "../tensor.ts";
import { mul } from "./elementwise.ts";
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

const lastAxisSample = [
  { shape: [2, 3, 5] },
  { shape: [2, 3], dtype: "i32" as const, values: wholeNumber(5) },
  { shape: [2, 3] },
];

const pickOp = defineOp<null>({
  name: "pick",
  shape: ([x, ids]) => {
    checkEntries(x, ids);
    return [{ dtype: x.dtype, shape: ids.shape }];
  },
  lower: (ctx, node) => {
    const [x, ids] = node.inputs;
    const last = ctx.ints([-1]);
    const column = ctx.emit("Unsqueeze", [ctx.value(ids), last]);
    return [ctx.emit("Squeeze", [ctx.emit("GatherElements", [ctx.value(x), column], { axis: -1 }), last])];
  },
  grad: (node, [g]) => {
    if (g === null) return [null, null];
    const [x, ids] = node.inputs;
    return [mul(oneHot(ids, fixedDepth(x)), reshape(g, [...g.shape, 1])), null];
  },
  flops: free,
  samples: [
    {
      label: "entries",
      inputs: lastAxisSample.slice(0, 2),
      build: (x, ids) => pick(x, ids),
      differentiable: [0],
    },
  ],
});

/** One entry for each row of `x` [..., depth]. */
function checkEntries(x: Tensor, entries: Tensor, dtype: DType = "i32"): void {
  if (entries.dtype === dtype && sameShape(entries.shape, x.shape.slice(0, -1))) return;
  throw new GraphError(
    `expected ${dtype} [${x.shape.slice(0, -1)}] beside [${x.shape}], not ${entries.dtype} [${entries.shape}]`,
  );
}

function fixedDepth(x: Tensor): number {
  const depth = x.shape[x.rank - 1];
  if (typeof depth !== "number") throw new GraphError(`the last axis of [${x.shape}] must be fixed`);
  return depth;
}

/** The entry of `x` [..., depth] at each id of `ids` [...] -> [...]. */
export function pick(x: Tensor, ids: Tensor): Tensor {
  return apply(pickOp, [x, ids], null);
}

const addAtOp = defineOp<null>({
  name: "addAt",
  shape: ([x, ids, values]) => {
    checkEntries(x, ids);
    checkEntries(x, values, x.dtype);
    return [{ dtype: x.dtype, shape: x.shape }];
  },
  lower: (ctx, node) => {
    const [x, ids, values] = node.inputs;
    const last = ctx.ints([-1]);
    const column = (tensor: Tensor) => ctx.emit("Unsqueeze", [ctx.value(tensor), last]);
    return [
      ctx.emit("ScatterElements", [ctx.value(x), column(ids), column(values)], {
        axis: -1,
        reduction: "add",
      }),
    ];
  },
  grad: (node, [g]) => (g === null ? [null, null, null] : [g, null, pick(g, node.inputs[1])]),
  flops: (inputs) => size(inputs[1]),
  samples: [
    {
      label: "entries",
      inputs: lastAxisSample,
      build: (x, ids, values) => addAt(x, ids, values),
      differentiable: [0, 2],
    },
  ],
});

/** `x` [..., depth] with `values` [...] added to its entries at `ids` [...] i32. */
export function addAt(x: Tensor, ids: Tensor, values: Tensor): Tensor {
  return apply(addAtOp, [x, ids, values], null);
}
