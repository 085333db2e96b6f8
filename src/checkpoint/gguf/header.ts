/**
 * The header of a GGUF file: metadata, then where every tensor lies. Nothing it says is believed before it has been
 * compared with the size of the file.
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */

import { foreignContent } from "../../lib/foreign-content.ts";
import { mismatch, tensorIn } from "../errors.ts";
import { BLOCKS, isTensorType, type TensorType, typeName } from "./blocks.ts";
import { type ByteSource, Cursor, RESTORE } from "./cursor.ts";
import {
  Metadata,
  type MetadataValue,
  type NumberList,
  VALUE_BYTES,
  VALUE_TYPES,
  type ValueType,
} from "./values.ts";

/** Where one tensor lies. */
export interface GgufTensorInfo {
  type: TensorType;
  /** Row-major, so the file's order of dimensions reversed: [out, in] of a linear weight. */
  shape: number[];
  /** Bytes from the start of the file. */
  begin: number;
  end: number;
}

export interface GgufHeader {
  version: number;
  metadata: Metadata;
  tensors: Map<string, GgufTensorInfo>;
}

export const MAGIC = 0x46554747;
export const DEFAULT_ALIGNMENT = 32;
export const ALIGNMENT_KEY = "general.alignment";

/** Of a key or a tensor; ggml takes 64 for a tensor, and errors quote it whole. */
const MAX_NAME_BYTES = 1000;
/** ggml's limit. */
const MAX_DIMENSIONS = 4;
/** Lists in lists: nobody writes them, the format allows them. */
const MAX_DEPTH = 4;
/** Name length 8, rank 4, type 4, offset 8. */
const TENSOR_INFO_BYTES = 24;

/** @throws UserError naming the place, what was expected and what was found. */
export function parseGguf(source: ByteSource): GgufHeader {
  const cursor = new Cursor(source);
  const magic = cursor.u32();
  if (magic !== MAGIC) {
    const foreign = foreignContent(source.bytes(0, Math.min(512, source.size)));
    const hex = `0x${magic.toString(16).padStart(8, "0")}`;
    cursor.fail('the letters "GGUF"', foreign?.found ?? hex, foreign?.remedy ?? "Is this a GGUF file?");
  }
  const version = cursor.u32();
  if (version > 0 && version % 0x10000 === 0)
    cursor.fail(
      "version 2 or 3",
      "a big-endian file, which llama.cpp reads on big-endian machines only",
      "Turn its bytes round with the Python package gguf: gguf-convert-endian FILE little.",
    );
  if (version !== 2 && version !== 3)
    cursor.fail(
      "version 2 or 3",
      `${version}`,
      "Convert the model again with a current version of llama.cpp.",
    );
  const tensorCount = cursor.count("tensors", TENSOR_INFO_BYTES);
  const metadata = new Metadata(source.file);
  readMetadata(cursor, metadata);
  const layout = readTensors(cursor, tensorCount);
  const tensors = place(source, layout, alignmentOf(metadata), cursor.position);
  return { version, metadata, tensors };
}

/** Puts each key into `metadata` as it comes. @throws UserError for what is no metadata */
export function readMetadata(cursor: Cursor, metadata: Metadata): void {
  // A key's length 8, its type 4, and a value of a byte.
  const keys = cursor.count("metadata keys", 13);
  for (let i = 0; i < keys; i++) {
    cursor.place = `metadata key ${i + 1} of ${keys}`;
    const key = cursor.string(MAX_NAME_BYTES);
    if (metadata.has(key)) cursor.fail("each key once", `${JSON.stringify(key)} again`);
    cursor.place = `key ${JSON.stringify(key)}`;
    metadata.set(key, readValue(cursor, readType(cursor), 0));
  }
}

function readType(cursor: Cursor): ValueType {
  const number = cursor.u32();
  return VALUE_TYPES[number] ?? cursor.fail(`a value type from 0 to ${VALUE_TYPES.length - 1}`, `${number}`);
}

function readValue(cursor: Cursor, type: ValueType, depth: number): MetadataValue {
  switch (type) {
    case "STRING":
      return { type, value: cursor.string() };
    case "BOOL":
      return { type, value: readBoolean(cursor) };
    case "ARRAY":
      return readList(cursor, depth);
    case "U64":
      return { type, value: cursor.u64() };
    case "I64":
      return { type, value: cursor.i64() };
    default:
      return { type, value: cursor[NUMBER_READERS[type]]() };
  }
}

const NUMBER_READERS = {
  U8: "u8",
  I8: "i8",
  U16: "u16",
  I16: "i16",
  U32: "u32",
  I32: "i32",
  F32: "f32",
  F64: "f64",
} as const;

function readBoolean(cursor: Cursor): boolean {
  const byte = cursor.u8();
  return byte <= 1 ? byte === 1 : cursor.fail("a boolean, 0 or 1", `${byte}`);
}

const LISTS: Record<Exclude<ValueType, "STRING" | "ARRAY">, new (buffer: ArrayBuffer) => NumberList> = {
  U8: Uint8Array,
  I8: Int8Array,
  U16: Uint16Array,
  I16: Int16Array,
  U32: Uint32Array,
  I32: Int32Array,
  F32: Float32Array,
  BOOL: Uint8Array,
  U64: BigUint64Array,
  I64: BigInt64Array,
  F64: Float64Array,
};

function readList(cursor: Cursor, depth: number): MetadataValue {
  if (depth === MAX_DEPTH) cursor.fail(`lists at most ${MAX_DEPTH} deep`, "a deeper one");
  const item = readType(cursor);
  const count = cursor.count(`items of type ${item}`, VALUE_BYTES[item]);
  if (item === "STRING") {
    const value: string[] = [];
    for (let i = 0; i < count; i++) value.push(cursor.string());
    return { type: "ARRAY", item, value };
  }
  if (item === "ARRAY") {
    const value: MetadataValue[] = [];
    for (let i = 0; i < count; i++) value.push(readList(cursor, depth + 1));
    return { type: "ARRAY", item, value };
  }
  const bytes = cursor.raw(count * VALUE_BYTES[item]).slice();
  if (item === "BOOL" && bytes.some((byte) => byte > 1)) cursor.fail("booleans, 0 or 1", "another byte");
  return { type: "ARRAY", item, value: new LISTS[item](bytes.buffer) };
}

function alignmentOf(metadata: Metadata): number {
  const alignment = metadata.count(ALIGNMENT_KEY, DEFAULT_ALIGNMENT);
  // At most 2^31, so that bit arithmetic and sums stay exact.
  if (alignment > 0 && alignment <= 2 ** 31 && Number.isInteger(Math.log2(alignment))) return alignment;
  throw metadata.wrong(ALIGNMENT_KEY, "a power of two", RESTORE);
}

/** A tensor before its place has been checked; the offset counts from the first byte of data. */
interface Claim {
  name: string;
  type: TensorType;
  shape: number[];
  offset: bigint;
  bytes: number;
}

function readTensors(cursor: Cursor, count: number): Claim[] {
  const claims: Claim[] = [];
  const seen = new Set<string>();
  for (let i = 0; i < count; i++) {
    cursor.place = `tensor ${i + 1} of ${count}`;
    const name = cursor.string(MAX_NAME_BYTES);
    if (seen.has(name)) cursor.fail("each tensor once", `${JSON.stringify(name)} again`);
    seen.add(name);
    cursor.place = `tensor ${JSON.stringify(name)}`;
    const rank = cursor.u32();
    if (rank > MAX_DIMENSIONS) cursor.fail(`at most ${MAX_DIMENSIONS} dimensions`, `${rank}`);
    const shape = Array.from({ length: rank }, () => cursor.u64()).reverse();
    const number = cursor.u32();
    const type = typeName(number);
    if (!isTensorType(type))
      return cursor.fail(
        `a type out of ${Object.keys(BLOCKS).join(", ")}`,
        type,
        "Convert the model to one of these types, e.g. with llama-quantize.",
      );
    const elements = shape.reduce((product, size) => product * size, 1n);
    const { elements: per, bytes } = BLOCKS[type];
    if (elements === 0n || (shape.at(-1) ?? 1n) % BigInt(per) !== 0n)
      cursor.fail(`rows of a multiple of ${per} elements for ${type}`, `shape [${shape.join(", ")}]`);
    const total = (elements / BigInt(per)) * BigInt(bytes);
    if (total > BigInt(Number.MAX_SAFE_INTEGER))
      cursor.fail("a tensor that a file can hold", `${total} bytes`);
    claims.push({ name, type, shape: shape.map(Number), offset: cursor.u64(), bytes: Number(total) });
  }
  return claims;
}

/** Tensors follow one another, each on a multiple of the alignment, up to the end of the file. */
function place(
  source: ByteSource,
  claims: Claim[],
  alignment: number,
  headerEnd: number,
): Map<string, GgufTensorInfo> {
  const { file, size } = source;
  const dataStart = padded(headerEnd, alignment);
  const tensors = new Map<string, GgufTensorInfo>(
    claims.map(({ name, type, shape }) => [name, { type, shape, begin: 0, end: 0 }]),
  );
  let end = dataStart;
  let previous = "the header";
  const inOrder = claims.toSorted((a, b) => (a.offset < b.offset ? -1 : a.offset > b.offset ? 1 : 0));
  for (const { name, offset, bytes } of inOrder) {
    const begin = padded(end, alignment);
    const found = offset + BigInt(dataStart);
    if (found !== BigInt(begin))
      throw mismatch(
        tensorIn(file, name),
        `data from byte ${begin}, the next multiple of ${alignment} after ${previous}`,
        `byte ${found}: ${found < BigInt(end) ? "the two overlap" : "it is misaligned or leaves a hole"}`,
        RESTORE,
      );
    end = begin + bytes;
    if (end > size)
      throw mismatch(
        tensorIn(file, name),
        `${bytes} bytes from byte ${begin}`,
        `the end of the file at ${size}`,
        RESTORE,
      );
    Object.assign(tensors.get(name)!, { begin, end });
    previous = `tensor ${name}`;
  }
  // Writers differ in whether they pad the last tensor, or a header without tensors.
  if (size <= padded(end, alignment)) return tensors;
  throw mismatch(
    file,
    `${end} bytes (header ${dataStart}, tensors ${end - dataStart}), or padding up to ${padded(end, alignment)}`,
    `${size} bytes`,
    RESTORE,
  );
}

export function padded(bytes: number, alignment: number): number {
  return Math.ceil(bytes / alignment) * alignment;
}
