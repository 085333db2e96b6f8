/**
 * The typed values of a GGUF header, and look-ups that fail with the key's name.
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
import type { UserError } from "../../lib/errors.ts";
import type { GgufReader } from "../../models/gguf.ts";
import { mismatch } from "../errors.ts";

export { f32, flag, text, u32 } from "../../models/gguf.ts";

/** A list of numbers keeps its type; booleans are bytes 0 and 1. */
export type NumberList =
  | Uint8Array<ArrayBuffer>
  | Int8Array<ArrayBuffer>
  | Uint16Array<ArrayBuffer>
  | Int16Array<ArrayBuffer>
  | Uint32Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | Float32Array<ArrayBuffer>
  | BigUint64Array<ArrayBuffer>
  | BigInt64Array<ArrayBuffer>
  | Float64Array<ArrayBuffer>;

/** The value types in the order of their numbers in the file: the least bytes of a value, and the class of a list. */
const VALUES = {
  U8: { bytes: 1, list: Uint8Array },
  I8: { bytes: 1, list: Int8Array },
  U16: { bytes: 2, list: Uint16Array },
  I16: { bytes: 2, list: Int16Array },
  U32: { bytes: 4, list: Uint32Array },
  I32: { bytes: 4, list: Int32Array },
  F32: { bytes: 4, list: Float32Array },
  BOOL: { bytes: 1, list: Uint8Array },
  STRING: { bytes: 8, list: null },
  ARRAY: { bytes: 12, list: null },
  U64: { bytes: 8, list: BigUint64Array },
  I64: { bytes: 8, list: BigInt64Array },
  F64: { bytes: 8, list: Float64Array },
};
export type ValueType = keyof typeof VALUES;
export const VALUE_TYPES = Object.keys(VALUES) as readonly ValueType[];
/** Types of which a list is one array of numbers. */
export type NumberType = Exclude<ValueType, "STRING" | "ARRAY">;

/** The least bytes that a value of the type takes. */
export const leastBytes = (type: ValueType): number => VALUES[type].bytes;

/** The numbers in a buffer, little-endian. */
export const numbersIn = (type: NumberType, buffer: ArrayBuffer): NumberList =>
  new VALUES[type].list(buffer) as NumberList;

/** These numbers as little-endian bytes. */
export function bytesOf(type: NumberType, numbers: readonly (number | bigint)[]): Uint8Array {
  const list =
    type === "U64" || type === "I64"
      ? BigInt64Array.from(numbers, (value) => BigInt.asIntN(64, BigInt(value)))
      : VALUES[type].list.from(numbers as readonly number[]);
  return new Uint8Array(list.buffer);
}

export type MetadataValue =
  | { type: "U8" | "I8" | "U16" | "I16" | "U32" | "I32" | "F32" | "F64"; value: number }
  | { type: "U64" | "I64"; value: bigint }
  | { type: "BOOL"; value: boolean }
  | { type: "STRING"; value: string }
  | { type: "ARRAY"; item: "STRING"; value: readonly string[] }
  | { type: "ARRAY"; item: "ARRAY"; value: readonly MetadataValue[] }
  | { type: "ARRAY"; item: NumberType; value: NumberList };

export const texts = (value: readonly string[]): MetadataValue => ({ type: "ARRAY", item: "STRING", value });
export const i32s = (value: Iterable<number>): MetadataValue => ({
  ...{ type: "ARRAY", item: "I32" },
  value: Int32Array.from(value),
});

/** Key to value, as read. A look-up fails with file and key if the value is missing or of another type. */
export class Metadata extends Map<string, MetadataValue> {
  readonly file: string;

  constructor(file: string, entries: Iterable<readonly [string, MetadataValue]> = []) {
    super(entries);
    this.file = file;
  }

  /** A whole number, 0 or more; for a list with one number a layer, the number that all layers have. */
  count<T = never>(key: string, ...fallback: [T?]): number | T {
    const found = this.get(key);
    if (found === undefined && fallback.length > 0) return fallback[0] as T;
    const value = common(found);
    if (Number.isSafeInteger(value) && value >= 0) return value;
    throw this.wrong(key, "a whole number");
  }

  /** A finite number; an f32 is returned as the shortest decimal that rounds to it (1e-5, not 0.00000999…). */
  number<T = never>(key: string, ...fallback: [T?]): number | T {
    const found = this.get(key);
    if (found === undefined && fallback.length > 0) return fallback[0] as T;
    if (typeof found?.value === "number" && Number.isFinite(found.value))
      return found.type === "F32" ? shortest(found.value) : found.value;
    throw this.wrong(key, "a number");
  }

  text<T = never>(key: string, ...fallback: [T?]): string | T {
    const found = this.get(key);
    if (found === undefined && fallback.length > 0) return fallback[0] as T;
    if (found?.type === "STRING") return found.value;
    throw this.wrong(key, "a text");
  }

  flag<T>(key: string, fallback: T): boolean | T {
    const found = this.get(key);
    if (found === undefined) return fallback;
    if (found.type === "BOOL") return found.value;
    throw this.wrong(key, "a boolean");
  }

  texts(key: string): readonly string[] {
    const found = this.get(key);
    if (found?.type === "ARRAY" && found.item === "STRING") return found.value;
    throw this.wrong(key, "a list of texts");
  }

  /** Whole numbers of at most 32 bits. */
  integers(key: string): Int32Array | undefined {
    const found = this.get(key);
    if (found === undefined) return undefined;
    if (found.type === "ARRAY" && /^[IU](8|16|32)$/.test(found.item)) return found.value as Int32Array;
    throw this.wrong(key, "a list of whole numbers");
  }

  /** The keys that begin with a prefix, without it. */
  within(prefix: string): GgufReader {
    return {
      has: (key) => this.has(prefix + key),
      count: (key, ...fallback) => this.count(prefix + key, ...fallback),
      number: (key, ...fallback) => this.number(prefix + key, ...fallback),
      text: (key, ...fallback) => this.text(prefix + key, ...fallback),
      flag: (key, fallback) => this.flag(prefix + key, fallback),
      wrong: (key, ...words) => this.wrong(prefix + key, ...words),
    };
  }

  /** The error for a key whose value is not what was expected. */
  wrong(
    key: string,
    expected: string,
    remedy = "The file is damaged, or of a kind that is not read here.",
  ): UserError {
    return mismatch(`${this.file}, key ${key}`, expected, shown(this.get(key)), remedy);
  }
}

/** A number, or the number that a list repeats; NaN for other values and for lists of several numbers. */
function common(found: MetadataValue | undefined): number {
  const list: ArrayLike<unknown> = found?.type === "ARRAY" ? found.value : [found?.value];
  const numbers = Array.from(list, (one) =>
    typeof one === "number" || typeof one === "bigint" ? Number(one) : Number.NaN,
  );
  const [first = Number.NaN] = numbers;
  return numbers.every((one) => one === first) ? first : Number.NaN;
}

function shown(value: MetadataValue | undefined): string {
  if (value === undefined) return "nothing";
  if (value.type === "ARRAY") return `a list of ${value.value.length} of type ${value.item}`;
  return value.type === "STRING"
    ? JSON.stringify(value.value.slice(0, 100))
    : `${value.value} of type ${value.type}`;
}

function shortest(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return value;
}

/** Names in a `generation_config.json` of `general.sampling.*`; the last two exist in llama.cpp only. */
const SAMPLING: Readonly<Record<string, string>> = {
  ...{ temp: "temperature", top_p: "top_p", top_k: "top_k", min_p: "min_p" },
  penalty_repeat: "repetition_penalty",
  ...{ xtc_probability: "xtc_probability", mirostat: "mirostat" },
};

/** The sampling that a file recommends, as a `generation_config.json` says it. As in llama.cpp only numbers count. */
export function samplingOf(metadata: Metadata): Record<string, number> {
  return Object.fromEntries(
    Object.entries(SAMPLING).flatMap(([gguf, name]) => {
      const value = metadata.get(`general.sampling.${gguf}`)?.value;
      return typeof value === "number" ? [[name, Number(value.toPrecision(7))]] : [];
    }),
  );
}
