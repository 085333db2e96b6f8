/** Values: typed arrays with a type and a shape. Nothing here needs an engine. */
import type { DType } from "../graph/tensor.ts";

export type TypedArray = Float32Array | Int32Array | BigInt64Array | Uint8Array | Uint16Array;

/** A tensor in memory: `data.length` is the product of `shape`. */
export interface Value {
  dtype: DType;
  shape: readonly number[];
  data: TypedArray;
}

export class RuntimeError extends Error {
  override name = "RuntimeError";
}

const ARRAY: Record<DType, new (length: number) => TypedArray> = {
  f32: Float32Array,
  f16: Uint16Array,
  bf16: Uint16Array,
  i32: Int32Array,
  i64: BigInt64Array,
  u8: Uint8Array,
  bool: Uint8Array,
};

export function allocate(dtype: DType, shape: readonly number[]): Value {
  return { dtype, shape, data: new ARRAY[dtype](shape.reduce((total, dim) => total * dim, 1)) };
}

export function f32(data: Float32Array | readonly number[], shape: readonly number[] = [data.length]): Value {
  return { dtype: "f32", shape, data: data instanceof Float32Array ? data : Float32Array.from(data) };
}

export function i32(data: Int32Array | readonly number[], shape: readonly number[] = [data.length]): Value {
  return { dtype: "i32", shape, data: data instanceof Int32Array ? data : Int32Array.from(data) };
}

export function scalar(value: number): Value {
  return { dtype: "f32", shape: [], data: Float32Array.of(value) };
}
