/** Writes GGUF files (version 3) in pieces, so that memory never holds a file. */
import { sizeOf } from "../../graph/shape.ts";
import { replaceFile } from "../../lib/disk.ts";
import { mismatch, tensorIn } from "../errors.ts";
import { CHUNK_ELEMENTS } from "../tensor-file.ts";
import { BLOCKS, encodeBlocks, type WrittenType } from "./blocks.ts";
import { ALIGNMENT_KEY, DEFAULT_ALIGNMENT, MAGIC, padded } from "./header.ts";
import { bytesOf, Metadata, type MetadataValue, VALUE_TYPES } from "./values.ts";

/** A tensor to be written. */
export interface GgufTensor {
  name: string;
  shape: readonly number[];
  type: WrittenType;
  /** The data, called when the tensor is written; each piece starts and ends with a row. */
  pieces(): Iterable<Float32Array>;
}

/**
 * Writes a file atomically. Tensors are aligned to 32 bytes, or as the metadata say.
 * @throws UserError if a number is too large for F16, or the disk is full
 */
export function writeGguf(
  file: string,
  metadata: ReadonlyMap<string, MetadataValue>,
  tensors: readonly GgufTensor[],
): void {
  replaceFile(file, contents(file, metadata, tensors));
}

/** The size of the file that `writeGguf` writes from the same arguments. */
export function ggufBytes(
  file: string,
  metadata: ReadonlyMap<string, MetadataValue>,
  tensors: readonly GgufTensor[],
): number {
  const alignment = alignmentOf(file, metadata);
  return tensors.reduce(
    (total, tensor) => total + padded(byteLength(tensor), alignment),
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
  const parts = [bytesOf("U32", [MAGIC, 3]), bytesOf("U64", [tensors.length, metadata.size])];
  for (const [key, value] of metadata) parts.push(string(key), typeNumber(value.type), ...valueBytes(value));
  let offset = 0;
  for (const tensor of tensors) {
    const { name, shape, type } = tensor;
    parts.push(string(name), bytesOf("U32", [shape.length]), bytesOf("U64", shape.toReversed()));
    parts.push(bytesOf("U32", [BLOCKS[type].id]), bytesOf("U64", [offset]));
    offset = padded(offset + byteLength(tensor), alignment);
  }
  return Buffer.concat(parts);
}

function* contents(
  file: string,
  metadata: ReadonlyMap<string, MetadataValue>,
  tensors: readonly GgufTensor[],
): Iterable<Uint8Array> {
  const alignment = alignmentOf(file, metadata);
  const padding = (bytes: number): Uint8Array => new Uint8Array(padded(bytes, alignment) - bytes);
  const start = header(metadata, tensors, alignment);
  yield start;
  yield padding(start.byteLength);
  for (const tensor of tensors) {
    yield* tensorBytes(file, tensor);
    yield padding(byteLength(tensor));
  }
}

function* tensorBytes(file: string, tensor: GgufTensor): Iterable<Uint8Array> {
  const { name, shape, type } = tensor;
  let written = 0;
  for (const piece of tensor.pieces()) {
    for (let start = 0; start < piece.length; start += CHUNK_ELEMENTS) {
      const part = piece.subarray(start, start + CHUNK_ELEMENTS);
      if (type !== "F32") checkRange(file, name, part);
      const bytes = encodeBlocks(type, part);
      written += bytes.byteLength;
      yield bytes;
    }
  }
  const expected = byteLength(tensor);
  if (written !== expected)
    throw mismatch(
      tensorIn(file, name),
      `${expected} bytes for ${type} [${shape}]`,
      `${written}`,
      "This is a fault of the program that writes it.",
    );
}

/** F16 turns a large number into an infinity, and so does Q8_0 with a block's scale. */
function checkRange(file: string, tensor: string, data: Float32Array): void {
  let bad = 0;
  while (bad < data.length && Math.abs(data[bad]!) < 65520) bad++;
  if (bad === data.length) return;
  const expected = "numbers below 65520, the range of F16";
  throw mismatch(tensorIn(file, tensor), expected, `${data[bad]}`, "Write F32 instead.");
}

function byteLength({ type, shape }: GgufTensor): number {
  const { elements, bytes } = BLOCKS[type];
  return (sizeOf(shape) / elements) * bytes;
}

function string(value: string): Uint8Array {
  const bytes = Buffer.from(value, "utf8");
  return Buffer.concat([bytesOf("U64", [bytes.byteLength]), bytes]);
}

const typeNumber = (type: MetadataValue["type"]): Uint8Array => bytesOf("U32", [VALUE_TYPES.indexOf(type)]);

function valueBytes(value: MetadataValue): Uint8Array[] {
  if (value.type === "STRING") return [string(value.value)];
  if (value.type === "BOOL") return [bytesOf("BOOL", [Number(value.value)])];
  if (value.type !== "ARRAY") return [bytesOf(value.type, [value.value])];
  const head = [typeNumber(value.item), bytesOf("U64", [value.value.length])];
  if (value.item === "STRING") return [...head, ...value.value.map(string)];
  if (value.item === "ARRAY") return [...head, ...value.value.flatMap(valueBytes)];
  const { buffer, byteOffset, byteLength: length } = value.value;
  return [...head, new Uint8Array(buffer, byteOffset, length)];
}
