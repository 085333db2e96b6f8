/**
 * Values: tensors that live on a device. Code above this folder handles them as `Value` and reads one with `read`; the only
 * kind that exists today is an array in this process's memory.
 */
import type { DType } from "../graph/tensor.ts";

export type TypedArray = Float32Array | Int32Array | BigInt64Array | Uint8Array | Uint16Array;

/** A handle of a tensor. */
export interface Value {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Where its elements are. */
  readonly device: "host";
}

/** A tensor in this process's memory: `data.length` is the product of `shape`. */
export interface HostValue extends Value {
  readonly device: "host";
  readonly data: TypedArray;
}

/** The elements, copied from the device where they are not in this process's memory already. */
export async function read(value: Value): Promise<TypedArray> {
  return (value as HostValue).data;
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

export function allocate(dtype: DType, shape: readonly number[]): HostValue {
  return {
    dtype,
    shape,
    device: "host",
    data: new ARRAY[dtype](shape.reduce((total, dim) => total * dim, 1)),
  };
}

export function f32(
  data: Float32Array | readonly number[],
  shape: readonly number[] = [data.length],
): HostValue {
  return {
    dtype: "f32",
    shape,
    device: "host",
    data: data instanceof Float32Array ? data : Float32Array.from(data),
  };
}

export function i32(
  data: Int32Array | readonly number[],
  shape: readonly number[] = [data.length],
): HostValue {
  return {
    dtype: "i32",
    shape,
    device: "host",
    data: data instanceof Int32Array ? data : Int32Array.from(data),
  };
}

export function scalar(value: number): HostValue {
  return { dtype: "f32", shape: [], device: "host", data: Float32Array.of(value) };
}
