/**
 * The header of a safetensors file: 8 bytes of length, then JSON that places every tensor.
 * Nothing it says is believed before it has been compared with the size of the file.
 * Format: https://github.com/huggingface/safetensors#format
 */
import { DTYPES, type Dtype, isDtype } from "./dtypes.ts";
import { CheckpointError } from "./errors.ts";
import { foreignContent } from "./foreign-content.ts";

/** Where one tensor lies; offsets count from the end of the header. */
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

/** The reference implementation's limit, in bytes: a longer header is an attack or an accident. */
export const MAX_HEADER_BYTES = 100_000_000;

const RESTORE = "The file is damaged or was cut short: copy or download it again.";

/**
 * Header length from the first 8 bytes, small enough to be read. `prefix` may be longer, to be named if it is no header.
 * @throws CheckpointError if it is longer than the file or the limit.
 */
export function headerLength(file: string, prefix: Uint8Array, fileSize: number): number {
  if (prefix.byteLength < 8)
    throw new CheckpointError({
      file,
      expected: "at least 8 bytes of header length",
      found: `a file of ${fileSize} bytes`,
      remedy: RESTORE,
    });
  const length = new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true);
  const limit = Math.min(MAX_HEADER_BYTES, fileSize - 8);
  if (length <= BigInt(limit)) return Number(length);
  const foreign = foreignContent(prefix);
  if (foreign !== null) throw new CheckpointError({ file, expected: "a safetensors file", ...foreign });
  throw new CheckpointError({
    file,
    expected: `a header of at most ${limit} bytes (the file has ${fileSize})`,
    found: `a header length of ${length}`,
    remedy: `Is this a safetensors file? ${RESTORE}`,
  });
}

/**
 * Parses and checks the whole layout: types, shapes against bytes, no overlap, no hole,
 * and header length + largest end = `fileSize` bytes.
 * @throws CheckpointError naming the tensor, what was expected and what was found.
 */
export function parseHeader(file: string, bytes: Uint8Array, fileSize: number): Header {
  const fields = parseJson(file, bytes);
  const tensors = new Map<string, TensorInfo>();
  let metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(fields)) {
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
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value))
      return value as Record<string, unknown>;
    found = Array.isArray(value) ? "a list" : value === null ? "null" : `a ${typeof value}`;
  } catch (error) {
    found = error instanceof Error ? error.message : String(error);
  }
  throw new CheckpointError({
    file,
    expected: "a header that is a JSON object in UTF-8",
    found,
    remedy: RESTORE,
  });
}

function parseMetadata(file: string, value: unknown): Record<string, string> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    const bad = Object.entries(value).find(([, text]) => typeof text !== "string");
    if (bad === undefined) return value as Record<string, string>;
  }
  throw new CheckpointError({
    file,
    expected: "__metadata__ with text values only",
    found: shown(value),
    remedy: "Store numbers and lists as text.",
  });
}

function parseTensor(file: string, tensor: string, value: unknown): TensorInfo {
  const fail = (expected: string, found: string, remedy = RESTORE): never => {
    throw new CheckpointError({ file, tensor, expected, found, remedy });
  };
  if (typeof value !== "object" || value === null) return fail("an object", shown(value));
  const { dtype, shape, data_offsets: offsets } = value as Record<string, unknown>;
  if (typeof dtype !== "string" || !isDtype(dtype))
    return fail(
      `a type out of ${Object.keys(DTYPES).join(", ")}`,
      shown(dtype),
      "Convert the file to one of these types.",
    );
  if (!isSizes(shape)) return fail("a shape of whole numbers", shown(shape));
  if (!isSizes(offsets) || offsets.length !== 2) return fail("two data_offsets", shown(offsets));
  const [begin, end] = offsets as [number, number];
  const bytes = shape.reduce((product, size) => product * size, DTYPES[dtype].bytes);
  // A product beyond 2^53 is inexact, yet it can then equal no pair of safe offsets.
  if (end - begin !== bytes)
    return fail(`${bytes} bytes for ${dtype} [${shape}]`, `${end - begin} bytes at [${begin}, ${end}]`);
  return { dtype, shape, begin, end };
}

function shown(value: unknown): string {
  try {
    return (JSON.stringify(value) ?? "nothing").slice(0, 200);
  } catch {
    // Parsing is iterative, printing is not: lists in lists without end exhaust the stack.
    return "lists in lists";
  }
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
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
    if (info.begin !== end)
      throw new CheckpointError({
        file,
        tensor,
        expected: `data from offset ${end}, where ${previous} ends`,
        found: `offset ${info.begin}: ${info.begin < end ? "the two overlap" : "a hole between them"}`,
        remedy: RESTORE,
      });
    end = info.end;
    previous = tensor;
  }
  if (dataStart + end !== fileSize)
    throw new CheckpointError({
      file,
      expected: `${dataStart + end} bytes (header ${dataStart}, tensors ${end})`,
      found: `${fileSize} bytes, ${Math.abs(fileSize - dataStart - end)} too ${fileSize < dataStart + end ? "few" : "many"}`,
      remedy: RESTORE,
    });
}
