/**
 * Reads and writes safetensors files one tensor at a time, so that memory never holds a file.
 * The header is 8 bytes of length, then JSON that places every tensor. It is compared with the size of the file before
 * anything in it is used. Format: https://github.com/huggingface/safetensors#format
 */
import { sizeOf } from "../graph/shape.ts";
import { writeDurably } from "../lib/disk.ts";
import { foreignContent } from "../lib/foreign-content.ts";
import { type DataOf, DTYPES, type Dtype, isDtype, isWeightType, WEIGHT_TYPES, widen } from "./dtypes.ts";
import { mismatch, tensorIn } from "./errors.ts";
import { CHUNK_ELEMENTS, MAX_HEADER_BYTES, TensorFile } from "./tensor-file.ts";

/** A tensor in memory, row-major; F16 and BF16 are held as f32. */
export type TensorData = { [D in Dtype]: { dtype: D; shape: readonly number[]; data: DataOf[D] } }[Dtype];

/** One f32 array, row-major. */
export interface Parameter {
  shape: readonly number[];
  data: Float32Array;
}

/** The place of one tensor; offsets count from the end of the header. */
export interface TensorInfo {
  dtype: Dtype;
  shape: number[];
  begin: number;
  end: number;
}

export interface Header {
  tensors: Map<string, TensorInfo>;
  metadata: Record<string, string>;
  /** First byte of tensor data in the file. */
  dataStart: number;
}

const RESTORE = "The file is damaged or was cut short: copy or download it again.";

/**
 * The header's length from the first 8 bytes. `prefix` may be longer: then a file of another format is named.
 * @throws UserError if it is longer than the file or the limit
 */
export function headerLength(file: string, prefix: Uint8Array, fileSize: number): number {
  if (prefix.byteLength < 8)
    throw mismatch(file, "at least 8 bytes of header length", `a file of ${fileSize} bytes`, RESTORE);
  const length = new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true);
  const limit = Math.min(MAX_HEADER_BYTES, fileSize - 8);
  if (length <= BigInt(limit)) return Number(length);
  const foreign = foreignContent(prefix);
  if (foreign !== null) throw mismatch(file, "a safetensors file", foreign.found, foreign.remedy);
  throw mismatch(
    file,
    `a header of at most ${limit} bytes (the file has ${fileSize})`,
    `a header length of ${length}`,
    `Is this a safetensors file? ${RESTORE}`,
  );
}

/**
 * Parses the header and checks the layout: types, shapes against bytes, no overlap, no hole, and header length + largest
 * end = `fileSize` bytes.
 * @throws UserError naming the tensor, what was expected and what was found
 */
export function parseHeader(file: string, bytes: Uint8Array, fileSize: number): Header {
  const tensors = new Map<string, TensorInfo>();
  let metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(parseJson(file, bytes))) {
    if (name === "__metadata__") metadata = parseMetadata(file, value);
    else tensors.set(name, parseTensor(file, name, value));
  }
  const dataStart = 8 + bytes.byteLength;
  checkLayout(file, tensors, dataStart, fileSize);
  return { tensors, metadata, dataStart };
}

function parseJson(file: string, bytes: Uint8Array): Record<string, unknown> {
  let found: string;
  try {
    const value: unknown = JSON.parse(
      new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes),
    );
    if (isObject(value)) return value;
    found = Array.isArray(value) ? "a list" : value === null ? "null" : `a ${typeof value}`;
  } catch (error) {
    found = error instanceof Error ? error.message : String(error);
  }
  throw mismatch(file, "a header that is a JSON object in UTF-8", found, RESTORE);
}

function parseMetadata(file: string, value: unknown): Record<string, string> {
  if (isObject(value) && Object.values(value).every((text) => typeof text === "string"))
    return value as Record<string, string>;
  throw mismatch(
    file,
    "__metadata__ with text values only",
    shown(value),
    "Store numbers and lists as text.",
  );
}

function parseTensor(file: string, tensor: string, value: unknown): TensorInfo {
  const fail = (expected: string, found: string, remedy = RESTORE): never => {
    throw mismatch(tensorIn(file, tensor), expected, found, remedy);
  };
  if (typeof value !== "object" || value === null) return fail("an object", shown(value));
  const { dtype, shape, data_offsets: offsets } = value as Record<string, unknown>;
  if (typeof dtype !== "string" || !isDtype(dtype)) {
    const types = Object.keys(DTYPES).join(", ");
    return fail(`a type out of ${types}`, shown(dtype), "Convert the file to one of these types.");
  }
  if (!isSizes(shape)) return fail("a shape of whole numbers", shown(shape));
  if (!isSizes(offsets) || offsets.length !== 2) return fail("two data_offsets", shown(offsets));
  const [begin, end] = offsets as [number, number];
  const bytes = DTYPES[dtype].bytes * sizeOf(shape);
  // A product above 2^53 is inexact, but then no pair of safe offsets equals it.
  if (end - begin !== bytes)
    return fail(`${bytes} bytes for ${dtype} [${shape}]`, `${end - begin} bytes at [${begin}, ${end}]`);
  return { dtype, shape, begin, end };
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isSizes = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);

function shown(value: unknown): string {
  try {
    return (JSON.stringify(value) ?? "nothing").slice(0, 200);
  } catch {
    // JSON.parse takes lists of any depth; JSON.stringify overflows the stack on deep ones.
    return "lists in lists";
  }
}

function checkLayout(
  file: string,
  tensors: Map<string, TensorInfo>,
  dataStart: number,
  fileSize: number,
): void {
  let end = 0;
  let previous = "the header";
  const inOrder = [...tensors].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  for (const [tensor, info] of inOrder) {
    const gap = info.begin < end ? "the two overlap" : "a hole between them";
    if (info.begin !== end)
      throw mismatch(
        tensorIn(file, tensor),
        `data from offset ${end}, where ${previous} ends`,
        `offset ${info.begin}: ${gap}`,
        RESTORE,
      );
    end = info.end;
    previous = tensor;
  }
  const difference = fileSize - dataStart - end;
  if (difference !== 0)
    throw mismatch(
      file,
      `${dataStart + end} bytes (header ${dataStart}, tensors ${end})`,
      `${fileSize} bytes, ${Math.abs(difference)} too ${difference < 0 ? "few" : "many"}`,
      RESTORE,
    );
}

/** An open file whose layout has been checked. Close it when done. */
export class SafetensorsFile extends TensorFile<TensorInfo, Header> {
  /** @throws UserError if the file is missing, damaged, or not a safetensors file */
  constructor(file: string) {
    super(file, "a safetensors file", (source) => {
      const length = headerLength(file, source.bytes(0, Math.min(512, source.size)), source.size);
      return parseHeader(file, source.bytes(8, length), source.size);
    });
  }

  /** @throws UserError if there is no such tensor */
  read(tensor: string): TensorData {
    const { dtype, shape, begin, end } = this.info(tensor);
    // A separate buffer: after a header of odd length a view of the file would be unaligned.
    const raw = this.bytes(this.header.dataStart + begin, end - begin);
    return { dtype, shape, data: DTYPES[dtype].decode(raw) } as TensorData;
  }

  /** The tensor as f32; only F64 loses precision. @throws UserError if it holds integers */
  readFloat32(tensor: string): Parameter {
    const { shape } = this.info(tensor);
    const data = new Float32Array(sizeOf(shape));
    this.readRange(tensor, 0, data);
    return { shape, data };
  }

  /**
   * Elements `start` to `start + target.length` as f32, converted a few megabytes at a time.
   * @throws UserError if the tensor holds integers
   */
  readRange(tensor: string, start: number, target: Float32Array): void {
    const { dtype, begin, end } = this.info(tensor);
    if (!isWeightType(dtype))
      throw mismatch(
        tensorIn(this.file, tensor),
        `a weight: ${WEIGHT_TYPES.join(", ")}`,
        dtype,
        "A quantised or integer tensor cannot be used as a weight here.",
      );
    const width = DTYPES[dtype].bytes;
    const position = this.header.dataStart + begin + start * width;
    if (start < 0 || begin + (start + target.length) * width > end)
      throw new RangeError(`${tensor}: elements ${start} to ${start + target.length} lie outside it`);
    if (dtype === "F32")
      this.fill(position, new Uint8Array(target.buffer, target.byteOffset, target.byteLength));
    else
      this.convert(position, { elements: 1, bytes: width }, target, (raw, part) => widen(dtype, raw, part));
  }
}

/** Opens a file, hands it to `use` and closes it. */
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
 * Writes a new file durably. Wide types come first, so that every tensor is aligned to its element size, and the header
 * is padded with blanks to a multiple of 8, as the reference implementation does.
 * @throws UserError if a shape and its data differ, or the disk is full
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
    const elements = sizeOf(shape);
    const fault = "This is a fault of the program that writes it.";
    if (tensor === "__metadata__")
      throw mismatch(tensorIn(file, tensor), "another name", "the reserved one", fault);
    if (elements !== data.length)
      throw mismatch(
        tensorIn(file, tensor),
        `${elements} elements for shape [${shape}]`,
        `${data.length}`,
        fault,
      );
    const end = offset + elements * DTYPES[dtype].bytes;
    fields.set(tensor, { dtype, shape, data_offsets: [offset, end] });
    offset = end;
  }
  const json = Buffer.from(JSON.stringify(Object.fromEntries(fields)), "utf8");
  const header = Buffer.alloc(8 + Math.ceil(json.byteLength / 8) * 8, " ");
  header.writeBigUInt64LE(BigInt(header.byteLength - 8), 0);
  json.copy(header, 8);
  writeDurably(file, pieces(header, ordered));
}

function* pieces(
  header: Uint8Array,
  tensors: readonly (readonly [string, TensorData])[],
): Iterable<Uint8Array> {
  yield header;
  for (const [, { dtype, data }] of tensors) {
    if (dtype === "F16" || dtype === "BF16")
      for (let start = 0; start < data.length; start += CHUNK_ELEMENTS)
        yield DTYPES[dtype].encode(data.subarray(start, start + CHUNK_ELEMENTS) as Float32Array);
    else yield new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
  }
}
