/**
 * The element types of a safetensors file, all little-endian. F16 and BF16 are decoded to f32 (exact) and encoded from it
 * (round to nearest, ties to even). F8_E4M3 keeps its bytes: they are numbers only with their block scales (weights.ts).
 */

/** The array that holds a tensor's numbers; F16 and BF16 in a Float32Array. */
export interface DataOf {
  F64: Float64Array;
  F32: Float32Array;
  F16: Float32Array;
  BF16: Float32Array;
  I64: BigInt64Array;
  I32: Int32Array;
  I16: Int16Array;
  I8: Int8Array;
  U8: Uint8Array;
  F8_E4M3: Uint8Array;
  BOOL: Uint8Array;
}

export type Dtype = keyof DataOf;

interface Element<D extends Dtype> {
  bytes: number;
  /** `raw` starts on an 8-byte boundary of its buffer, so a view is allowed. */
  decode(raw: Uint8Array<ArrayBuffer>): DataOf[D];
  encode(data: DataOf[D]): Uint8Array;
}

const bytesOf = (data: ArrayBufferView): Uint8Array =>
  new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);

/** A type whose numbers in memory are those in the file. */
const same = <T extends ArrayBufferView>(
  type: new (buffer: ArrayBuffer, offset: number, length: number) => T,
  bytes: number,
) => ({
  bytes,
  decode: (raw: Uint8Array<ArrayBuffer>): T => new type(raw.buffer, raw.byteOffset, raw.byteLength / bytes),
  encode: bytesOf,
});

/** One row per type, in the order in which the reference implementation writes tensors: wide types first. */
export const DTYPES: { readonly [D in Dtype]: Element<D> } = {
  I64: same(BigInt64Array, 8),
  F64: same(Float64Array, 8),
  F32: same(Float32Array, 4),
  I32: same(Int32Array, 4),
  BF16: { bytes: 2, decode: (raw) => widened("BF16", raw), encode: narrowBfloat16 },
  F16: { bytes: 2, decode: (raw) => widened("F16", raw), encode: narrowFloat16 },
  I16: same(Int16Array, 2),
  I8: same(Int8Array, 1),
  U8: same(Uint8Array, 1),
  F8_E4M3: same(Uint8Array, 1),
  BOOL: same(Uint8Array, 1),
};

export function isDtype(name: string): name is Dtype {
  return Object.hasOwn(DTYPES, name);
}

if (new Uint8Array(new Uint16Array([1]).buffer)[0] !== 1)
  throw new Error("safetensors files are little-endian, this machine is big-endian: it is not supported");

const word = new Uint32Array(1);
const real = new Float32Array(word.buffer);

/** Bits of an f32. */
function bitsOf(value: number): number {
  real[0] = value;
  return word[0]!;
}

function floatOf(bits: number): number {
  word[0] = bits;
  return real[0]!;
}

/** Upper half of the f32, rounded to nearest even; a NaN stays a (quiet) NaN. */
export const toBfloat16 = (value: number): number => upperHalf(bitsOf(value));

function upperHalf(bits: number): number {
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

export function fromFloat16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >>> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  // Zero and subnormals count steps of 2^-24.
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/** Nearest f16, ties to even; 65520 and above become infinite. */
export function toFloat16(value: number): number {
  const bits = bitsOf(value);
  const sign = (bits >>> 16) & 0x8000;
  const size = bits & 0x7fffffff;
  if (size > 0x7f800000) return sign | 0x7e00;
  if (size >= bitsOf(65520)) return sign | 0x7c00;
  // Below 2^-14 an f16 has a fixed step of 2^-24.
  if (size < 0x38800000) return sign | roundEven(floatOf(size) * 2 ** 24);
  // Drop 13 fraction bits with rounding, and re-bias the exponent from 127 to 15.
  return sign | ((size + 0xfff + ((size >>> 13) & 1) - (112 << 23)) >>> 13);
}

function roundEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}

/** E4M3 without infinities (the "fn" form): 4 bits of exponent biased by 7, 3 of fraction; all ones is NaN. */
export function fromFloat8(bits: number): number {
  const sign = bits & 0x80 ? -1 : 1;
  const exponent = (bits >>> 3) & 0xf;
  const fraction = bits & 7;
  if ((bits & 0x7f) === 0x7f) return Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -9 : sign * (8 + fraction) * 2 ** (exponent - 10);
}

/** Types of weights. All are converted to f32; only F64 loses precision. */
export const WEIGHT_TYPES = ["F32", "F16", "BF16", "F64", "F8_E4M3"] as const;
export type WeightType = (typeof WEIGHT_TYPES)[number];

export const isWeightType = (dtype: Dtype): dtype is WeightType =>
  (WEIGHT_TYPES as readonly string[]).includes(dtype);

/** A table of a narrow type's values by their bits: a look-up is several times faster than the arithmetic. */
function tableOf(size: number, decode: (bits: number) => number): () => Float32Array {
  let table: Float32Array | undefined;
  return () => {
    table ??= Float32Array.from({ length: size }, (_, bits) => decode(bits));
    return table;
  };
}
const float16Table = tableOf(1 << 16, fromFloat16);
const float8Table = tableOf(1 << 8, fromFloat8);

/** Converts the elements in `raw`, which starts on an 8-byte boundary, into `target`. */
export function widen(dtype: WeightType, raw: Uint8Array<ArrayBuffer>, target: Float32Array): void {
  const { length } = target;
  if (dtype === "BF16") {
    const words = new Uint16Array(raw.buffer, raw.byteOffset, length);
    const bits = new Uint32Array(target.buffer, target.byteOffset, length);
    for (let i = 0; i < length; i++) bits[i] = words[i]! << 16;
  } else if (dtype === "F16" || dtype === "F8_E4M3") {
    const table = dtype === "F16" ? float16Table() : float8Table();
    const words = dtype === "F16" ? new Uint16Array(raw.buffer, raw.byteOffset, length) : raw;
    for (let i = 0; i < length; i++) target[i] = table[words[i]!]!;
  } else target.set(DTYPES[dtype].decode(raw));
}

function widened(dtype: "F16" | "BF16", raw: Uint8Array<ArrayBuffer>): Float32Array {
  const result = new Float32Array(raw.byteLength / 2);
  widen(dtype, raw, result);
  return result;
}

function narrowBfloat16(data: Float32Array): Uint8Array {
  const bits = new Uint32Array(data.buffer, data.byteOffset, data.length);
  const words = new Uint16Array(data.length);
  for (let i = 0; i < words.length; i++) words[i] = upperHalf(bits[i]!);
  return bytesOf(words);
}

function narrowFloat16(data: Float32Array): Uint8Array {
  const words = new Uint16Array(data.length);
  for (let i = 0; i < words.length; i++) words[i] = toFloat16(data[i]!);
  return bytesOf(words);
}
