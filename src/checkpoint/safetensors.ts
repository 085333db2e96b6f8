/**
 * Reads and writes safetensors files, one tensor at a time: neither side holds the whole file in memory.
 */
import fs from "node:fs";
import { writeDurably } from "../lib/disk.ts";
import { openToRead, readBytes, readInto } from "./disk.ts";
import { type DataOf, DTYPES, type Dtype, isWeightType, WEIGHT_TYPES, widen } from "./dtypes.ts";
import { CheckpointError } from "./errors.ts";
import { type Header, headerLength, parseHeader, type TensorInfo } from "./header.ts";

/** A tensor in memory, row-major; F16 and BF16 are held as f32. */
export type TensorData = { [D in Dtype]: { dtype: D; shape: readonly number[]; data: DataOf[D] } }[Dtype];

/** One f32 array, row-major. */
export interface Parameter {
  shape: readonly number[];
  data: Float32Array;
}

/** An open file whose layout has been checked. Close it when done. */
export class SafetensorsFile {
  readonly file: string;
  readonly header: Header;
  private readonly handle: number;
  /** What is converted, kept from one read to the next. */
  private raw = new Uint8Array();

  /** @throws CheckpointError if the file is missing, damaged, or not a safetensors file. */
  constructor(file: string) {
    this.file = file;
    this.handle = openToRead(file, "a safetensors file");
    try {
      const size = fs.fstatSync(this.handle).size;
      const length = headerLength(file, this.bytes(0, Math.min(512, size)), size);
      this.header = parseHeader(file, this.bytes(8, length), size);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** @throws CheckpointError if there is no such tensor. */
  info(tensor: string): TensorInfo {
    const info = this.header.tensors.get(tensor);
    if (info !== undefined) return info;
    throw new CheckpointError({
      file: this.file,
      tensor,
      expected: "the tensor to be in the file",
      found: `${this.header.tensors.size} others`,
      remedy: "Is this the file of another model?",
    });
  }

  /** @throws CheckpointError if there is no such tensor. */
  read(tensor: string): TensorData {
    const info = this.info(tensor);
    // A buffer of its own: data behind an odd header length would be unaligned in a view of the file.
    const raw = this.bytes(this.header.dataStart + info.begin, info.end - info.begin);
    return { dtype: info.dtype, shape: info.shape, data: DTYPES[info.dtype].decode(raw) } as TensorData;
  }

  /** The tensor as f32; only F64 loses anything. @throws CheckpointError if it holds integers. */
  readFloat32(tensor: string): Parameter {
    const { shape } = this.info(tensor);
    const data = new Float32Array(shape.reduce((product, size) => product * size, 1));
    this.readRange(tensor, 0, data);
    return { shape, data };
  }

  /**
   * Elements `start` to `start + target.length` as f32, converted on the way in pieces of a few megabytes.
   * @throws CheckpointError if the tensor holds integers
   */
  readRange(tensor: string, start: number, target: Float32Array): void {
    const { dtype, begin, end } = this.info(tensor);
    if (!isWeightType(dtype))
      throw new CheckpointError({
        file: this.file,
        tensor,
        expected: `a weight: ${WEIGHT_TYPES.join(", ")}`,
        found: dtype,
        remedy: "A quantised or integer tensor cannot be used as a weight here.",
      });
    const width = DTYPES[dtype].bytes;
    const position = this.header.dataStart + begin + start * width;
    if (start < 0 || begin + (start + target.length) * width > end)
      throw new RangeError(`${tensor}: elements ${start} to ${start + target.length} lie outside it`);
    if (dtype === "F32") {
      this.fill(position, new Uint8Array(target.buffer, target.byteOffset, target.byteLength));
      return;
    }
    const needed = Math.min(target.length, CONVERT_ELEMENTS) * width;
    if (this.raw.length < needed) this.raw = new Uint8Array(needed);
    for (let done = 0; done < target.length; done += CONVERT_ELEMENTS) {
      const piece = target.subarray(done, done + CONVERT_ELEMENTS);
      const bytes = this.raw.subarray(0, piece.length * width);
      this.fill(position + done * width, bytes);
      widen(dtype, bytes, piece);
    }
  }

  close(): void {
    fs.closeSync(this.handle);
  }

  private bytes(position: number, length: number): Uint8Array<ArrayBuffer> {
    return readBytes(this.file, this.handle, position, length);
  }

  private fill(position: number, target: Uint8Array): void {
    readInto(this.file, this.handle, position, target);
  }
}

/** Opens, hands over and closes. */
export function withSafetensors<T>(file: string, use: (opened: SafetensorsFile) => T): T {
  const opened = new SafetensorsFile(file);
  try {
    return use(opened);
  } finally {
    opened.close();
  }
}

const ORDER = Object.keys(DTYPES);

/**
 * Writes a new file durably. Wide types come first, so every tensor is aligned to its own size,
 * and the header is padded with blanks to a multiple of 8, as the reference implementation does.
 * @throws CheckpointError if a shape and its data differ, or the disk is full.
 */
export function writeSafetensors(
  file: string,
  tensors: ReadonlyMap<string, TensorData>,
  { metadata }: { metadata?: Record<string, string> } = {},
): void {
  const ordered = [...tensors].sort(
    ([a, left], [b, right]) => ORDER.indexOf(left.dtype) - ORDER.indexOf(right.dtype) || (a < b ? -1 : 1),
  );
  const fields = new Map<string, unknown>();
  if (metadata !== undefined) fields.set("__metadata__", metadata);
  let offset = 0;
  for (const [tensor, { dtype, shape, data }] of ordered) {
    const elements = shape.reduce((product, size) => product * size, 1);
    if (elements !== data.length || tensor === "__metadata__")
      throw new CheckpointError({
        file,
        tensor,
        expected: tensor === "__metadata__" ? "another name" : `${elements} elements for shape [${shape}]`,
        found: tensor === "__metadata__" ? "the reserved one" : `${data.length}`,
        remedy: "This is a fault of the program that writes it.",
      });
    const end = offset + elements * DTYPES[dtype].bytes;
    fields.set(tensor, { dtype, shape, data_offsets: [offset, end] });
    offset = end;
  }
  const json = Buffer.from(JSON.stringify(Object.fromEntries(fields)), "utf8");
  const header = Buffer.alloc(8 + Math.ceil(json.byteLength / 8) * 8, " ");
  header.writeBigUInt64LE(BigInt(header.byteLength - 8), 0);
  json.copy(header, 8);
  writeDurably(
    file,
    pieces(
      header,
      ordered.map(([, tensor]) => tensor),
    ),
  );
}

function* pieces(header: Uint8Array, tensors: TensorData[]): Iterable<Uint8Array> {
  yield header;
  for (const tensor of tensors) yield* encoded(tensor);
}

/** Elements converted at once where the file's type is narrower than ours. */
const CONVERT_ELEMENTS = 1 << 20;

function* encoded(tensor: TensorData): Iterable<Uint8Array> {
  if (tensor.dtype !== "F16" && tensor.dtype !== "BF16") {
    const { buffer, byteOffset, byteLength } = tensor.data;
    yield new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
    return;
  }
  for (let start = 0; start < tensor.data.length; start += CONVERT_ELEMENTS)
    yield DTYPES[tensor.dtype].encode(tensor.data.subarray(start, start + CONVERT_ELEMENTS));
}
