/**
 * Values: tensors that live on a device. Code above this folder holds them as `Value` handles: it makes host values to
 * feed, reads results with `read`, and moves elements with `copyBlocks`. Arrays in this process's memory are the only
 * kind so far; another device adds its case to each function of this file.
 */
import { type DType, sizeOf } from "../graph/tensor.ts";

/** A handle of a tensor. */
export interface Value {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Where its elements are. */
  readonly device: "host";
}

/** The array that holds the elements of each dtype; f16 and bf16 are kept as their 16-bit words. */
interface Arrays {
  f32: Float32Array;
  f16: Uint16Array;
  bf16: Uint16Array;
  i32: Int32Array;
  i64: BigInt64Array;
  u8: Uint8Array;
  bool: Uint8Array;
}

/** The array that holds elements of this dtype. */
export type ArrayOf<D extends DType> = Arrays[D];
/** The array of any dtype. */
export type TypedArray = Arrays[DType];

const ARRAY: { [D in DType]: new (length: number) => Arrays[D] } = {
  f32: Float32Array,
  f16: Uint16Array,
  bf16: Uint16Array,
  i32: Int32Array,
  i64: BigInt64Array,
  u8: Uint8Array,
  bool: Uint8Array,
};

/** A tensor in this process's memory: `data.length` is the product of `shape`. */
export interface HostValue<D extends DType = DType> extends Value {
  readonly dtype: D;
  readonly device: "host";
  readonly data: ArrayOf<D>;
}

/** A value does not fit where it is used, or a device runs no sessions: a fault of the program that asks. */
export class RuntimeError extends Error {
  override name = "RuntimeError";
}

/** The value as an array in memory. @throws RuntimeError if it is on another device: that one must be `read` */
export function host(value: Value): HostValue {
  if ("data" in value) return value as HostValue;
  throw new RuntimeError(`a value on the device "${value.device}" has no array in memory; read it`);
}

/** The elements, which the caller must not change. @throws RuntimeError if they are not of the given dtype */
export async function read<D extends DType>(value: Value, dtype: D): Promise<ArrayOf<D>>;
export async function read(value: Value): Promise<TypedArray>;
export async function read(value: Value, dtype: DType = value.dtype): Promise<TypedArray> {
  if (dtype !== value.dtype)
    throw new RuntimeError(`a value of ${value.dtype} [${value.shape}] was read as ${dtype}`);
  return host(value).data;
}

/** `data` as a value; it is not copied. */
export function hostValue<D extends DType>(
  dtype: D,
  shape: readonly number[],
  data: ArrayOf<D>,
): HostValue<D> {
  return { dtype, shape, device: "host", data };
}

/** Zeros. */
export function allocate<D extends DType>(dtype: D, shape: readonly number[]): HostValue<D> {
  return hostValue(dtype, shape, new ARRAY[dtype](sizeOf(shape)));
}

/** Zeros of the same dtype and shape, on the same device. */
export const allocateLike = <V extends Value>({ dtype, shape }: V): V => allocate(dtype, shape) as Value as V;

/** The first elements of `value` under another shape; both are the same memory. */
export function view(value: Value, shape: readonly number[]): Value {
  return hostValue(value.dtype, shape, host(value).data.subarray(0, sizeOf(shape)));
}

/** Where blocks of elements are in two values; offsets and strides count elements. */
export interface Blocks {
  /** How many blocks, and the elements of each. */
  count: number;
  width: number;
  /** The first block's offset in the source, and the distance between blocks (default: one follows another). */
  from?: number;
  fromStride?: number;
  /** The same in the target. */
  to?: number;
  toStride?: number;
}

/** Up to this many elements a block is short. */
const SHORT = 128;

/**
 * Copies blocks of `source` into `target`. Both may have the same memory, where blocks all move towards the end or all
 * towards the beginning: none is overwritten before it is copied.
 * @throws RuntimeError if the dtypes differ or a block lies outside
 */
export function copyBlocks(target: Value, source: Value, blocks: Blocks): void {
  copyGroups(target, source, blocks, [blocks.from ?? 0], [blocks.to ?? 0]);
}

/**
 * `copyBlocks` for several groups of blocks, one after another: group i begins at `from[i]` in the source and at `to[i]` in the
 * target. The KV cache calls this for each token and layer.
 */
export function copyGroups(
  target: Value,
  source: Value,
  { count, width, fromStride = width, toStride = width }: Omit<Blocks, "from" | "to">,
  from: readonly number[],
  to: readonly number[],
): void {
  if (target.dtype !== source.dtype)
    throw new RuntimeError(`${source.dtype} was copied into ${target.dtype}`);
  const into = host(target).data;
  const out = host(source).data;
  const last = count - 1;
  for (let group = 0; group < from.length; group++)
    if (
      count > 0 &&
      (from[group] + last * fromStride + width > out.length ||
        to[group] + last * toStride + width > into.length)
    )
      throw new RuntimeError(
        `${count} blocks of ${width} do not fit between [${source.shape}] and [${target.shape}]`,
      );
  const apart = into.buffer !== out.buffer;
  if (apart && width <= SHORT && into instanceof Float32Array && out instanceof Float32Array)
    copyShort(into, out, { count, width, fromStride, toStride }, from, to);
  else
    for (let group = 0; group < from.length; group++) {
      const backwards = to[group] > from[group] || toStride > fromStride;
      for (let i = 0; i < count; i++) {
        const block = backwards ? last - i : i;
        const start = from[group] + block * fromStride;
        const place = to[group] + block * toStride;
        // Both copy as if through a buffer; the first makes no view.
        if (into === out) into.copyWithin(place, start, start + width);
        else (into as Float32Array).set(out.subarray(start, start + width) as Float32Array, place);
      }
    }
}

/** Short blocks between two arrays: for these a loop is faster than `set`. */
function copyShort(
  into: Float32Array,
  out: Float32Array,
  { count, width, fromStride, toStride }: Required<Omit<Blocks, "from" | "to">>,
  from: readonly number[],
  to: readonly number[],
): void {
  for (let group = 0; group < from.length; group++) {
    let start = from[group];
    let place = to[group];
    for (let i = 0; i < count; i++) {
      for (let j = 0; j < width; j++) into[place + j] = out[start + j];
      start += fromStride;
      place += toStride;
    }
  }
}

/** Elements of f32; one dimension unless `shape` says otherwise. A Float32Array is not copied. */
export function f32(
  data: Float32Array | readonly number[],
  shape: readonly number[] = [data.length],
): HostValue<"f32"> {
  return hostValue("f32", shape, data instanceof Float32Array ? data : Float32Array.from(data));
}

/** Elements of i32; one dimension unless `shape` says otherwise. An Int32Array is not copied. */
export function i32(
  data: Int32Array | readonly number[],
  shape: readonly number[] = [data.length],
): HostValue<"i32"> {
  return hostValue("i32", shape, data instanceof Int32Array ? data : Int32Array.from(data));
}

/** One element of f32, shape []. */
export function scalar(value: number): HostValue<"f32"> {
  return f32([value], []);
}
