/**
 * An independent interpreter of lowered models in float64: the plainest reading of the ONNX specification, one line or
 * two an operator. It knows the operators of composed lowerings only, so a fused kernel is never its own witness.
 */
import type { LoweredGraph } from "../../src/graph/lower.ts";
import type { OnnxConstant, OnnxNode } from "../../src/graph/proto.ts";
import type { HostValue } from "../../src/runtime/session.ts";

/** Any tensor: numbers in row-major order; booleans are 0 and 1. */
export interface Array64 {
  shape: number[];
  data: number[];
}

const sizeOf = (shape: readonly number[]): number => shape.reduce((total, dim) => total * dim, 1);
const ints = (x: Array64): number[] => x.data;

/** The multi-index of each element in turn, in row-major order. */
function indices(shape: readonly number[]): number[][] {
  let result: number[][] = [[]];
  for (const dim of shape)
    result = result.flatMap((index) => Array.from({ length: dim }, (_, i) => [...index, i]));
  return result;
}

/** The element at `index`, counted from the right; an axis of size 1 is repeated (broadcasting). */
function at(x: Array64, index: readonly number[]): number {
  let offset = 0;
  const extra = index.length - x.shape.length;
  x.shape.forEach((dim, axis) => {
    offset = offset * dim + (dim === 1 ? 0 : index[axis + extra]);
  });
  return x.data[offset];
}

const fill = (shape: number[], value: (index: number[]) => number): Array64 => ({
  shape,
  data: indices(shape).map(value),
});

function broadcast(...shapes: readonly number[][]): number[] {
  const rank = Math.max(...shapes.map((s) => s.length));
  return Array.from({ length: rank }, (_, axis) => {
    const dims = shapes.map((s) => s[axis - rank + s.length] ?? 1);
    return dims.find((dim) => dim !== 1) ?? 1;
  });
}

const map = (x: Array64, f: (value: number) => number): Array64 => ({ shape: x.shape, data: x.data.map(f) });

function zip(operands: Array64[], f: (...values: number[]) => number): Array64 {
  return fill(broadcast(...operands.map((x) => x.shape)), (index) => f(...operands.map((x) => at(x, index))));
}

/** Rows along the last axis, each replaced by `f(row)`. */
function alongLast(x: Array64, f: (row: number[]) => number[]): Array64 {
  const width = x.shape[x.shape.length - 1];
  const rows = width === 0 ? 0 : x.data.length / width;
  return {
    shape: x.shape,
    data: Array.from({ length: rows }, (_, row) => f(x.data.slice(row * width, (row + 1) * width))).flat(),
  };
}

function reduce(
  x: Array64,
  axes: readonly number[],
  keepDims: boolean,
  f: (values: number[]) => number,
): Array64 {
  const reduced = axes.map((axis) => (axis < 0 ? axis + x.shape.length : axis));
  const kept = x.shape.map((dim, axis) => (reduced.includes(axis) ? 1 : dim));
  const inner = x.shape.map((dim, axis) => (reduced.includes(axis) ? dim : 1));
  const data = indices(kept).map((outer) =>
    f(
      indices(inner).map((step) =>
        at(
          x,
          outer.map((i, axis) => i + step[axis]),
        ),
      ),
    ),
  );
  return { shape: keepDims ? kept : x.shape.filter((_, axis) => !reduced.includes(axis)), data };
}

function matmul(a: Array64, b: Array64): Array64 {
  const [m, inner] = a.shape.slice(-2);
  const n = b.shape[b.shape.length - 1];
  const shape = [...broadcast(a.shape.slice(0, -2), b.shape.slice(0, -2)), m, n];
  // An axis of size 1 is what `at` repeats, so an inner size of 1 is read with index 0 as well.
  return fill(shape, (index) => {
    const lead = index.slice(0, -2);
    const [row, col] = index.slice(-2);
    let total = 0;
    for (let k = 0; k < inner; k++) total += at(a, [...lead, row, k]) * at(b, [...lead, k, col]);
    return total;
  });
}

const sigmoid = (v: number): number => 1 / (1 + Math.exp(-v));
const total = (values: number[]): number => values.reduce((sum, v) => sum + v, 0);
const flag = (f: (x: number, y: number) => boolean) => (x: number, y: number) => (f(x, y) ? 1 : 0);

type Rule = (inputs: Array64[], attributes: OnnxNode["attributes"], outputs: number) => Array64 | Array64[];
const number = (value: OnnxNode["attributes"][string] | undefined, fallback: number): number =>
  value === undefined
    ? fallback
    : typeof value === "object" && "float" in value
      ? value.float
      : Number(value);
const elementwise =
  (f: (...values: number[]) => number): Rule =>
  (x) =>
    zip(x, f);
const positive = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);

const CAST_TO_BOOL = 9;
const CAST_TO_INTEGER = [6, 7];

const rules: Record<string, Rule> = {
  Add: elementwise((x, y) => x + y),
  Sub: elementwise((x, y) => x - y),
  Mul: elementwise((x, y) => x * y),
  Div: elementwise((x, y) => x / y),
  Max: elementwise(Math.max),
  Min: elementwise(Math.min),
  Neg: elementwise((x) => -x),
  Exp: elementwise(Math.exp),
  Log: elementwise(Math.log),
  Sqrt: elementwise(Math.sqrt),
  Reciprocal: elementwise((x) => 1 / x),
  Sigmoid: elementwise(sigmoid),
  Tanh: elementwise(Math.tanh),
  Relu: elementwise((x) => Math.max(x, 0)),
  Abs: elementwise(Math.abs),
  Equal: elementwise(flag((x, y) => x === y)),
  Less: elementwise(flag((x, y) => x < y)),
  LessOrEqual: elementwise(flag((x, y) => x <= y)),
  Greater: elementwise(flag((x, y) => x > y)),
  GreaterOrEqual: elementwise(flag((x, y) => x >= y)),
  And: elementwise(flag((x, y) => x !== 0 && y !== 0)),
  Or: elementwise(flag((x, y) => x !== 0 || y !== 0)),
  Not: elementwise((x) => (x === 0 ? 1 : 0)),
  Where: elementwise((condition, x, y) => (condition !== 0 ? x : y)),
  Clip: elementwise((x, low, high) => Math.min(Math.max(x, low), high)),
  Identity: ([x]) => x,
  Cast: ([x], { to }) =>
    map(x, (v) =>
      to === CAST_TO_BOOL ? Number(v !== 0) : CAST_TO_INTEGER.includes(to as number) ? Math.trunc(v) : v,
    ),
  MatMul: ([a, b]) => matmul(a, b),
  ReduceSum: ([x, axes], { keepdims }) => reduce(x, ints(axes), keepdims === 1, total),
  ReduceMean: ([x, axes], { keepdims }) =>
    reduce(x, ints(axes), keepdims === 1, (values) => total(values) / values.length),
  ReduceMax: ([x, axes], { keepdims }) =>
    reduce(x, ints(axes), keepdims === 1, (values) => Math.max(...values)),
  ArgMax: ([x], { axis, keepdims }) =>
    reduce(x, [axis as number], keepdims === 1, (values) => values.indexOf(Math.max(...values))),
  TopK: ([x, count], { largest }) => {
    const [k] = count.data;
    const width = x.shape[x.shape.length - 1];
    const sign = largest === 1 ? 1 : -1;
    const order = Array.from({ length: width === 0 ? 0 : x.data.length / width }, (_, row) => {
      const values = x.data.slice(row * width, (row + 1) * width);
      const sorted = values.map((_, i) => i).sort((a, b) => sign * (values[b] - values[a]) || a - b);
      return sorted.slice(0, k);
    });
    const shape = [...x.shape.slice(0, -1), k];
    const values = order.flatMap((row, r) => row.map((i) => x.data[r * width + i]));
    return [
      { shape, data: values },
      { shape, data: order.flat() },
    ];
  },
  Range: ([start, end, step]) => {
    const data: number[] = [];
    for (let v = start.data[0]; v < end.data[0]; v += step.data[0]) data.push(v);
    return { shape: [data.length], data };
  },
  Softmax: ([x]) =>
    alongLast(x, (row) => {
      const weights = row.map((v) => Math.exp(v - Math.max(...row)));
      return weights.map((w) => w / total(weights));
    }),
  LogSoftmax: ([x]) =>
    alongLast(x, (row) => {
      const peak = Math.max(...row);
      const normaliser = peak + Math.log(total(row.map((v) => Math.exp(v - peak))));
      return row.map((v) => v - normaliser);
    }),
  OneHot: ([ids, depth, values]) =>
    fill([...ids.shape, depth.data[0]], (index) =>
      at(ids, index.slice(0, -1)) === index[index.length - 1] ? values.data[1] : values.data[0],
    ),
  Gather: ([table, ids]) => {
    const rest = table.shape.slice(1);
    return fill([...ids.shape, ...rest], (index) => {
      const row = at(ids, index.slice(0, ids.shape.length));
      if (row < 0 || row >= table.shape[0]) throw new RangeError(`row ${row} of ${table.shape[0]}`);
      // Read by offset: a table of one row must not be repeated.
      const inner = index.slice(ids.shape.length);
      return table.data[
        row * sizeOf(rest) + rest.reduce((offset, dim, axis) => offset * dim + inner[axis], 0)
      ];
    });
  },
  GatherElements: ([x, ids], { axis }) => {
    if (axis !== -1) throw new Error("GatherElements: along the last axis");
    return fill(ids.shape, (index) => at(x, [...index.slice(0, -1), at(ids, index)]));
  },
  ScatterElements: ([x, ids, updates], { axis, reduction }) => {
    if (axis !== -1 || reduction !== "add") throw new Error("ScatterElements: added along the last axis");
    const data = [...x.data];
    const width = x.shape[x.shape.length - 1];
    const each = ids.shape[ids.shape.length - 1];
    ids.data.forEach((id, i) => {
      data[Math.floor(i / each) * width + id] += updates.data[i];
    });
    return { shape: x.shape, data };
  },
  ScatterND: ([x, ids, updates], { reduction }) => {
    if (reduction !== "add" || ids.shape[ids.shape.length - 1] !== 1)
      throw new Error("ScatterND: rows are added");
    const width = sizeOf(x.shape.slice(1));
    const data = [...x.data];
    ids.data.forEach((row, i) => {
      for (let j = 0; j < width; j++) data[row * width + j] += updates.data[i * width + j];
    });
    return { shape: x.shape, data };
  },
  Shape: ([x], { start, end }) => {
    const data = x.shape.slice(number(start, 0), end === undefined ? undefined : number(end, 0));
    return { shape: [data.length], data };
  },
  Reshape: ([x, spec], { allowzero }) => {
    const shape = ints(spec).map((dim, axis) => (dim === 0 && allowzero !== 1 ? x.shape[axis] : dim));
    const known = sizeOf(shape.filter((dim) => dim !== -1));
    return { shape: shape.map((dim) => (dim === -1 ? x.data.length / known : dim)), data: x.data };
  },
  Squeeze: ([x, axes]) => {
    const removed = ints(axes).map((axis) => (axis < 0 ? axis + x.shape.length : axis));
    return { shape: x.shape.filter((_, axis) => !removed.includes(axis)), data: x.data };
  },
  Unsqueeze: ([x, axes]) => {
    const shape = [...x.shape];
    for (const axis of ints(axes)) shape.splice(axis < 0 ? axis + shape.length + 1 : axis, 0, 1);
    return { shape, data: x.data };
  },
  Transpose: ([x], { perm }) => {
    const order = perm as readonly number[];
    return fill(
      order.map((axis) => x.shape[axis]),
      (index) =>
        at(
          x,
          x.shape.map((_, axis) => index[order.indexOf(axis)]),
        ),
    );
  },
  Expand: ([x, shape]) => fill(broadcast(x.shape, ints(shape)), (index) => at(x, index)),
  Slice: ([x, starts, ends, axes]) => {
    const [start, end, axis] = [starts.data[0], ends.data[0], axes.data[0]];
    return fill(
      x.shape.map((dim, a) => (a === axis ? end - start : dim)),
      (index) =>
        at(
          x,
          index.map((i, a) => (a === axis ? i + start : i)),
        ),
    );
  },
  Pad: ([x, pads, value, axes]) => {
    const [before, after] = pads.data;
    const [axis] = axes.data;
    return fill(
      x.shape.map((dim, a) => (a === axis ? before + dim + after : dim)),
      (index) => {
        const inside = index[axis] - before;
        if (inside < 0 || inside >= x.shape[axis]) return value.data[0];
        return at(
          x,
          index.map((i, a) => (a === axis ? inside : i)),
        );
      },
    );
  },
  Concat: (parts, { axis }) => {
    const along = positive(axis as number, parts[0].shape.length);
    // Which part, and where in it, each index along the axis is.
    const places = parts.flatMap((part) =>
      Array.from({ length: part.shape[along] }, (_, i) => ({ part, i })),
    );
    return fill(
      parts[0].shape.map((dim, a) => (a === along ? places.length : dim)),
      (index) => {
        const { part, i } = places[index[along]];
        return at(part, index.with(along, i));
      },
    );
  },
  Split: ([x, sizes], { axis }) => {
    const along = positive(axis as number, x.shape.length);
    let start = 0;
    return ints(sizes).map((size) => {
      const from = start;
      start += size;
      return fill(
        x.shape.map((dim, a) => (a === along ? size : dim)),
        (index) =>
          at(
            x,
            index.map((i, a) => (a === along ? i + from : i)),
          ),
      );
    });
  },
};

function constantArray({ dtype, shape, bytes }: OnnxConstant): Array64 {
  const copy = bytes.slice().buffer;
  const data =
    dtype === "f32"
      ? new Float32Array(copy)
      : dtype === "i32"
        ? new Int32Array(copy)
        : dtype === "i64"
          ? new BigInt64Array(copy)
          : new Uint8Array(copy);
  return { shape: [...shape], data: Array.from(data, Number) };
}

/** What a lowered, composed graph computes in float64, by output name. */
export function interpret(
  { model }: LoweredGraph,
  feeds: Readonly<Record<string, Array64>>,
): Record<string, Array64> {
  const values = new Map<string, Array64>(model.constants.map((c) => [c.name, constantArray(c)]));
  for (const { name } of model.inputs) values.set(name, feeds[name]);
  for (const node of model.nodes) {
    const rule = rules[node.opType];
    if (rule === undefined)
      throw new Error(`${node.name}: the interpreter has no ${node.opType}; add its rule`);
    const result = rule(
      node.inputs.map((name) => values.get(name) as Array64),
      node.attributes,
      node.outputs.length,
    );
    (Array.isArray(result) ? result : [result]).forEach((value, i) => {
      values.set(node.outputs[i], value);
    });
  }
  return Object.fromEntries(model.outputs.map(({ name }) => [name, values.get(name) as Array64]));
}

export const toArray64 = (value: HostValue): Array64 => ({
  shape: [...value.shape],
  data: Array.from(value.data as ArrayLike<number | bigint>, Number),
});
