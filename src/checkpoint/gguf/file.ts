/** Reads and writes GGUF files by ranges: neither side holds the whole file in memory. */
import fs from "node:fs";
import { replaceFile } from "../../lib/disk.ts";
import { mismatch, tensorIn } from "../errors.ts";
import { openBinary, readExactly } from "../safetensors.ts";
import { BLOCKS, decodeBlocks, encodeBlocks, type WrittenType } from "./blocks.ts";
import type { ByteSource } from "./cursor.ts";
import {
  ALIGNMENT_KEY,
  DEFAULT_ALIGNMENT,
  type GgufHeader,
  type GgufTensorInfo,
  MAGIC,
  padded,
  parseGguf,
} from "./header.ts";
import { Metadata, type MetadataValue, VALUE_TYPES } from "./values.ts";

/** Elements decoded or encoded at once; a multiple of every block. */
const CHUNK_ELEMENTS = 1 << 20;

/** An open file whose layout has been checked. Close it when done. */
export class GgufFile implements ByteSource {
  readonly file: string;
  readonly size: number;
  readonly header: GgufHeader;
  private readonly handle: number;
  /** What is decoded, kept from one read to the next. */
  private raw = new Uint8Array();

  /** @throws UserError if the file is missing, damaged, or not a GGUF file. */
  constructor(file: string) {
    this.file = file;
    this.handle = openBinary(file, "a GGUF file");
    try {
      this.size = fs.fstatSync(this.handle).size;
      this.header = parseGguf(this);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Row-major shape. @throws UserError if there is no such tensor. */
  shape(tensor: string): readonly number[] {
    return this.info(tensor).shape;
  }

  /**
   * Elements of a tensor as f32, all of them or a part that starts and ends with a row.
   * @throws UserError if there is no such tensor.
   */
  read(tensor: string, start = 0, count?: number, target?: Float32Array): Float32Array {
    const { type, shape, begin } = this.info(tensor);
    const { elements, bytes } = BLOCKS[type];
    const length = count ?? shape.reduce((product, size) => product * size, 1);
    const out = target?.subarray(0, length) ?? new Float32Array(length);
    const needed = (Math.min(length, CHUNK_ELEMENTS) / elements) * bytes;
    if (this.raw.length < needed) this.raw = new Uint8Array(needed);
    for (let done = 0; done < length; done += CHUNK_ELEMENTS) {
      const part = out.subarray(done, done + CHUNK_ELEMENTS);
      const raw = this.raw.subarray(0, (part.length / elements) * bytes);
      readExactly(this.file, this.handle, begin + ((start + done) / elements) * bytes, raw);
      decodeBlocks(type, raw, part);
    }
    return out;
  }

  bytes(position: number, length: number): Uint8Array<ArrayBuffer> {
    return readExactly(this.file, this.handle, position, new Uint8Array(length));
  }

  close(): void {
    fs.closeSync(this.handle);
  }

  private info(tensor: string): GgufTensorInfo {
    const info = this.header.tensors.get(tensor);
    if (info !== undefined) return info;
    throw mismatch(
      tensorIn(this.file, tensor),
      "the tensor to be in the file",
      `${this.header.tensors.size} others`,
      "Is this the file of another model?",
    );
  }
}

/** A tensor to be written; its data come when their turn has come, in pieces that start and end with a row. */
export interface GgufTensor {
  name: string;
  shape: readonly number[];
  type: WrittenType;
  pieces(): Iterable<Float32Array>;
}

/**
 * Writes a version 3 file as a whole. Tensors are aligned to 32 bytes, or as the metadata say.
 * @throws UserError if a number is too large for F16, or the disk is full.
 */
export function writeGguf(
  file: string,
  metadata: ReadonlyMap<string, MetadataValue>,
  tensors: readonly GgufTensor[],
): void {
  const alignment = alignmentOf(file, metadata);
  replaceFile(file, contents(file, header(metadata, tensors, alignment), tensors, alignment));
}

/** Bytes of the file that `writeGguf` makes of the same. */
export function ggufBytes(
  file: string,
  metadata: ReadonlyMap<string, MetadataValue>,
  tensors: readonly GgufTensor[],
): number {
  const alignment = alignmentOf(file, metadata);
  return tensors.reduce(
    (total, { type, shape }) => total + padded(byteLength(type, shape), alignment),
    padded(header(metadata, tensors, alignment).byteLength, alignment),
  );
}

const alignmentOf = (file: string, metadata: ReadonlyMap<string, MetadataValue>): number =>
  new Metadata(file, metadata).count(ALIGNMENT_KEY, DEFAULT_ALIGNMENT);

function header(
  metadata: ReadonlyMap<string, MetadataValue>,
  tensors: readonly GgufTensor[],
  alignment: number,
): Uint8Array {
  const parts = [
    numbers("U32", [MAGIC, 3]),
    numbers("U64", [tensors.length, metadata.size]),
    ...[...metadata].flatMap(([key, value]) => [string(key), typeNumber(value.type), ...valueBytes(value)]),
  ];
  let offset = 0;
  for (const { name, shape, type } of tensors) {
    const dimensions = [numbers("U32", [shape.length]), numbers("U64", shape.toReversed())];
    parts.push(string(name), ...dimensions, numbers("U32", [BLOCKS[type].id]), numbers("U64", [offset]));
    offset = padded(offset + byteLength(type, shape), alignment);
  }
  return Buffer.concat(parts);
}

function* contents(
  file: string,
  header: Uint8Array,
  tensors: readonly GgufTensor[],
  alignment: number,
): Iterable<Uint8Array> {
  yield* filled(header, alignment);
  for (const tensor of tensors) yield* tensorBytes(file, tensor, alignment);
}

function* tensorBytes(file: string, tensor: GgufTensor, alignment: number): Iterable<Uint8Array> {
  const { name, shape, type, pieces } = tensor;
  const expected = byteLength(type, shape);
  let written = 0;
  for (const piece of pieces()) {
    for (let start = 0; start < piece.length; start += CHUNK_ELEMENTS) {
      const part = piece.subarray(start, start + CHUNK_ELEMENTS);
      if (type !== "F32") checkRange(file, name, part);
      const bytes = encodeBlocks(type, part);
      written += bytes.byteLength;
      yield bytes;
    }
  }
  if (written !== expected)
    throw mismatch(
      tensorIn(file, name),
      `${expected} bytes for ${type} [${shape}]`,
      `${written}`,
      "This is a fault of the program that writes it.",
    );
  yield new Uint8Array(padded(expected, alignment) - expected);
}

/** F16 would make an infinity of a large number, and Q8_0 of a block's scale. */
function checkRange(file: string, tensor: string, data: Float32Array): void {
  let bad = 0;
  while (bad < data.length && Math.abs(data[bad]!) < 65520) bad++;
  if (bad === data.length) return;
  throw mismatch(
    tensorIn(file, tensor),
    "numbers below 65520, the range of F16",
    `${data[bad]}`,
    "Write F32 instead.",
  );
}

function byteLength(type: WrittenType, shape: readonly number[]): number {
  const { elements, bytes } = BLOCKS[type];
  return (shape.reduce((product, size) => product * size, 1) / elements) * bytes;
}

function* filled(bytes: Uint8Array, alignment: number): Iterable<Uint8Array> {
  yield bytes;
  yield new Uint8Array(padded(bytes.byteLength, alignment) - bytes.byteLength);
}

const ARRAYS = {
  ...{ U8: Uint8Array, I8: Int8Array, U16: Uint16Array, I16: Int16Array, U32: Uint32Array, I32: Int32Array },
  ...{ F32: Float32Array, F64: Float64Array, BOOL: Uint8Array },
};

function numbers(
  type: keyof typeof ARRAYS | "U64" | "I64",
  values: readonly (number | bigint)[],
): Uint8Array {
  const list =
    type === "U64" || type === "I64"
      ? BigInt64Array.from(values, (value) => BigInt.asIntN(64, BigInt(value)))
      : ARRAYS[type].from(values as readonly number[]);
  return new Uint8Array(list.buffer);
}

function string(value: string): Uint8Array {
  const bytes = Buffer.from(value, "utf8");
  return Buffer.concat([numbers("U64", [bytes.byteLength]), bytes]);
}

function typeNumber(type: MetadataValue["type"]): Uint8Array {
  return numbers("U32", [VALUE_TYPES.indexOf(type)]);
}

function valueBytes(value: MetadataValue): Uint8Array[] {
  if (value.type === "STRING") return [string(value.value)];
  if (value.type !== "ARRAY")
    return [numbers(value.type, [typeof value.value === "bigint" ? value.value : Number(value.value)])];
  const head = [typeNumber(value.item), numbers("U64", [value.value.length])];
  if (value.item === "STRING") return [...head, ...value.value.map(string)];
  if (value.item === "ARRAY") return [...head, ...value.value.flatMap(valueBytes)];
  const { buffer, byteOffset, byteLength: length } = value.value;
  return [...head, new Uint8Array(buffer as ArrayBuffer, byteOffset, length)];
}
