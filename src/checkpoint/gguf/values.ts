/**
 * The typed values of a GGUF header, and questions to them that fail with the key's name.
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */

import type { UserError } from "../../lib/errors.ts";
import { mismatch } from "../errors.ts";

/** Value types by their number in the file; `bytes` is the least that one takes. */
export const VALUE_TYPES = [
  "U8",
  "I8",
  "U16",
  "I16",
  "U32",
  "I32",
  "F32",
  "BOOL",
  "STRING",
  "ARRAY",
  "U64",
  "I64",
  "F64",
] as const;
export type ValueType = (typeof VALUE_TYPES)[number];
export const VALUE_BYTES: Readonly<Record<ValueType, number>> = {
  ...{
    U8: 1,
    I8: 1,
    U16: 2,
    I16: 2,
    U32: 4,
    I32: 4,
    F32: 4,
    BOOL: 1,
    STRING: 8,
    ARRAY: 12,
    U64: 8,
    I64: 8,
    F64: 8,
  },
};

/** A list of numbers keeps its type; booleans are bytes 0 and 1. */
export type NumberList =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | BigUint64Array
  | BigInt64Array
  | Float64Array;

export type MetadataValue =
  | { type: "U8" | "I8" | "U16" | "I16" | "U32" | "I32" | "F32" | "F64"; value: number }
  | { type: "U64" | "I64"; value: bigint }
  | { type: "BOOL"; value: boolean }
  | { type: "STRING"; value: string }
  | { type: "ARRAY"; item: "STRING"; value: readonly string[] }
  | { type: "ARRAY"; item: "ARRAY"; value: readonly MetadataValue[] }
  | { type: "ARRAY"; item: Exclude<ValueType, "STRING" | "ARRAY">; value: NumberList };

export const u32 = (value: number): MetadataValue => ({ type: "U32", value });
export const f32 = (value: number): MetadataValue => ({ type: "F32", value });
export const flag = (value: boolean): MetadataValue => ({ type: "BOOL", value });
export const text = (value: string): MetadataValue => ({ type: "STRING", value });
export const texts = (value: readonly string[]): MetadataValue => ({ type: "ARRAY", item: "STRING", value });
export const i32s = (value: Iterable<number>): MetadataValue => ({
  type: "ARRAY",
  item: "I32",
  value: Int32Array.from(value),
});

/** Key to value, as read; every question names file and key when the answer is missing or of another type. */
export class Metadata extends Map<string, MetadataValue> {
  readonly file: string;

  constructor(file: string, entries: Iterable<readonly [string, MetadataValue]> = []) {
    super(entries);
    this.file = file;
  }

  /** A whole number, 0 or more; of a list with one number a layer, the one that all layers have. */
  count<T = never>(key: string, ...fallback: [T?]): number | T {
    const found = this.get(key);
    if (found === undefined && fallback.length > 0) return fallback[0] as T;
    const value = common(found);
    if (Number.isSafeInteger(value) && value >= 0) return value;
    throw this.wrong(key, "a whole number");
  }

  /** A finite number; one stored as f32 comes back as the shortest decimal that f32 rounds to it (1e-5, not 0.00000999…). */
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

  /** The error for a key whose value is not what was expected. */
  wrong(
    key: string,
    expected: string,
    remedy = "The file is damaged, or of a kind that is not read here.",
  ): UserError {
    return mismatch(`${this.file}, key ${key}`, expected, shown(this.get(key)), remedy);
  }
}

/** A number, or the number that a list consists of; NaN for other values and for lists of several numbers. */
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
