/**
 * The header of a GGUF file: metadata, then the place of every tensor. Sizes and counts are compared with the size of the
 * file before they are used, so nothing is allocated that the file could not hold.
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 * `@huggingface/gguf` is not used: it accepts overlapping tensors, and a file of 24 bytes keeps it busy for seconds.
 */
import { isUtf8 } from "node:buffer";
import { foreignContent } from "../../lib/foreign-content.ts";
import { mismatch, tensorIn } from "../errors.ts";
import { type ByteSource, MAX_HEADER_BYTES } from "../tensor-file.ts";
import { BLOCKS, isTensorType, type TensorType, typeName } from "./blocks.ts";
import {
  leastBytes,
  Metadata,
  type MetadataValue,
  type NumberList,
  type NumberType,
  numbersIn,
  VALUE_TYPES,
  type ValueType,
} from "./values.ts";

/** The place of one tensor. */
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

const WINDOW_BYTES = 1 << 18;
/** Of a key or a tensor; ggml takes 64 for a tensor, and errors quote the name in full. */
const MAX_NAME_BYTES = 1000;
/** ggml's limit. */
const MAX_DIMENSIONS = 4;
/** Depth of lists in lists, which the format allows and nobody writes. */
const MAX_DEPTH = 4;
/** Least bytes of a key (length 8, type 4, value 1) and of a tensor (length 8, rank 4, type 4, offset 8). */
const KEY_BYTES = 13;
const TENSOR_BYTES = 24;

const RESTORE = "The file is damaged or was cut short: copy or download it again.";

/** Reads a header from front to back, in windows. */
export class Cursor {
  position = 0;
  /** What is being read, for errors: "key llama.block_count". */
  place = "the header";
  private readonly source: ByteSource;
  private window = new DataView(new ArrayBuffer(0));
  private start = 0;

  constructor(source: ByteSource) {
    this.source = source;
  }

  /** Bytes that the header can still take. */
  get remaining(): number {
    return Math.min(this.source.size, MAX_HEADER_BYTES) - this.position;
  }

  /** @throws UserError always */
  fail(expected: string, found: string, remedy = RESTORE): never {
    throw mismatch(`${this.source.file}, ${this.place} at byte ${this.position}`, expected, found, remedy);
  }

  /** A count of items that take at least `least` bytes each. @throws UserError if they cannot fit */
  count(what: string, least: number): number {
    const claim = this.u64();
    if (claim * BigInt(least) <= BigInt(this.remaining)) return Number(claim);
    return this.fail(
      `at most ${Math.floor(this.remaining / least)} ${what} in the ${this.remaining} bytes that follow`,
      `${claim}`,
    );
  }

  /** Text of at most `limit` bytes. */
  string(limit = MAX_HEADER_BYTES): string {
    const length = this.count("bytes of text", 1);
    if (length > limit) this.fail(`at most ${limit} bytes of text`, `${length}`);
    const bytes = this.raw(length);
    if (!isUtf8(bytes)) this.fail("text in UTF-8", "bytes that are not");
    return Buffer.from(bytes.buffer, bytes.byteOffset, length).toString("utf8");
  }

  u32(): number {
    return this.view(4).getUint32(this.shift(4), true);
  }

  u64(): bigint {
    return this.view(8).getBigUint64(this.shift(8), true);
  }

  /** The next numbers, in a new array. */
  numbers(type: NumberType, count: number): NumberList {
    return numbersIn(type, this.raw(count * leastBytes(type)).slice().buffer);
  }

  /** A view of the next bytes, valid until the next call. */
  private raw(length: number): Uint8Array<ArrayBuffer> {
    const { buffer, byteOffset } = this.view(length);
    return new Uint8Array(buffer as ArrayBuffer, byteOffset + this.shift(length), length);
  }

  /** A window with the next `length` bytes. */
  private view(length: number): DataView {
    if (length > this.remaining)
      this.fail(`${length} more bytes`, `${this.remaining} (of a header of at most ${MAX_HEADER_BYTES})`);
    if (this.position + length > this.start + this.window.byteLength) {
      const wanted = Math.min(Math.max(length, WINDOW_BYTES), this.remaining);
      const { buffer, byteOffset, byteLength } = this.source.bytes(this.position, wanted);
      this.window = new DataView(buffer as ArrayBuffer, byteOffset, byteLength);
      this.start = this.position;
    }
    return this.window;
  }

  /** Moves past `length` bytes; returns their offset in the window. */
  private shift(length: number): number {
    const offset = this.position - this.start;
    this.position += length;
    return offset;
  }
}

/** Reads a header and checks the layout. @throws UserError naming the place, what was expected and what was found */
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
      "Swap its bytes with the Python package gguf: gguf-convert-endian FILE little.",
    );
  if (version !== 2 && version !== 3)
    cursor.fail(
      "version 2 or 3",
      `${version}`,
      "Convert the model again with a current version of llama.cpp.",
    );
  const tensorCount = cursor.count("tensors", TENSOR_BYTES);
  const metadata = new Metadata(source.file);
  readMetadata(cursor, metadata);
  const layout = readTensors(cursor, tensorCount);
  const tensors = place(source, layout, alignmentOf(metadata), cursor.position);
  return { version, metadata, tensors };
}

/** Reads keys and values into `metadata`, one by one. @throws UserError for damaged metadata */
export function readMetadata(cursor: Cursor, metadata: Metadata): void {
  const keys = cursor.count("metadata keys", KEY_BYTES);
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
  if (type === "STRING") return { type, value: cursor.string() };
  if (type === "ARRAY") return readList(cursor, depth);
  const [value] = cursor.numbers(type, 1);
  if (type !== "BOOL") return { type, value } as MetadataValue;
  if (value !== 0 && value !== 1) cursor.fail("a boolean, 0 or 1", `${value}`);
  return { type, value: value === 1 };
}

function readList(cursor: Cursor, depth: number): MetadataValue {
  if (depth === MAX_DEPTH) cursor.fail(`lists at most ${MAX_DEPTH} deep`, "a deeper one");
  const item = readType(cursor);
  const length = cursor.count(`items of type ${item}`, leastBytes(item));
  if (item === "STRING") return { type: "ARRAY", item, value: repeated(length, () => cursor.string()) };
  if (item === "ARRAY")
    return { type: "ARRAY", item, value: repeated(length, () => readList(cursor, depth + 1)) };
  const value = cursor.numbers(item, length);
  if (item === "BOOL" && value.some((byte) => byte > 1)) cursor.fail("booleans, 0 or 1", "another byte");
  return { type: "ARRAY", item, value };
}

/** A list that grows with what is read: its claimed length may be millions. */
function repeated<T>(length: number, read: () => T): T[] {
  const items: T[] = [];
  for (let i = 0; i < length; i++) items.push(read());
  return items;
}

function alignmentOf(metadata: Metadata): number {
  const alignment = metadata.count(ALIGNMENT_KEY, DEFAULT_ALIGNMENT);
  // At most 2^31, so that bit arithmetic and sums stay exact.
  if (alignment > 0 && alignment <= 2 ** 31 && Number.isInteger(Math.log2(alignment))) return alignment;
  throw metadata.wrong(ALIGNMENT_KEY, "a power of two", RESTORE);
}

/** A tensor whose place has not been checked; the offset counts from the first byte of data. */
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
