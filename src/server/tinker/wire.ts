/**
 * The protobuf messages of Tinker's protocol (tinker 0.38, tinker_public.proto) by wire format: the request of a forward
 * pass is read, and the responses of sampling and of a forward pass are written.
 */
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";

/** A tensor of `loss_fn_inputs`; a sparse one (CSR) has been filled up with zeros. */
export interface WireTensor {
  dtype: "float32" | "int64";
  shape: number[];
  values: number[];
}

/** A run of tokens that came from the prompt or the completion of a sampled sequence. */
export interface ProvenanceSpan {
  kind: "prompt" | "sampled";
  sequence: string;
  offset: number;
  length: number;
}

export interface WireDatum {
  tokens: number[];
  inputs: Record<string, WireTensor>;
  /** Where the tokens came from, and where the targets did; empty where the client did not say. */
  tokenSpans: ProvenanceSpan[];
  targetSpans: ProvenanceSpan[];
}

export interface PassRequest {
  model: string;
  sequence: number;
  data: WireDatum[];
  loss: string;
  settings: Record<string, number | string>;
  forwardOnly: boolean;
}

/** A message that is not what its field says. */
export class WireError extends Error {
  override name = "WireError";
}

/** Calls `field` for each field until the message ends; a field that it does not read is skipped. */
function fields(bytes: Uint8Array, field: (number: number, reader: BinaryReader) => boolean): void {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    if (!field(number, reader)) reader.skip(type, number);
  }
}

/** The model and the number of a `ForwardBackwardRequest`, whatever else it holds. @throws what `readPassRequest` throws */
export function readPassHeader(bytes: Uint8Array): Pick<PassRequest, "model" | "sequence"> {
  const header = { model: "", sequence: 0 };
  fields(bytes, (number, reader) => {
    if (number === 1) header.model = reader.string();
    else if (number === 2) header.sequence = reader.int32();
    else return false;
    return true;
  });
  return header;
}

/** Reads `ForwardBackwardRequest`. @throws WireError, and RangeError or Error of the reader, for other bytes */
export function readPassRequest(bytes: Uint8Array): PassRequest {
  const request: PassRequest = {
    ...{ model: "", sequence: 0, data: [], loss: "", settings: {}, forwardOnly: false },
  };
  /** Of clients before the settings could hold texts. */
  const numbers: Record<string, number> = {};
  fields(bytes, (number, reader) => {
    if (number === 1) request.model = reader.string();
    else if (number === 2) request.sequence = reader.int32();
    else if (number === 3) request.data.push(readDatum(reader.bytes()));
    else if (number === 4) request.loss = reader.string();
    else if (number === 5) entry(reader.bytes(), (key, value) => set(numbers, key, value.double()));
    else if (number === 6) request.forwardOnly = reader.bool();
    else if (number === 7)
      entry(reader.bytes(), (key, value) => set(request.settings, key, readSetting(value.bytes())));
    else return false;
    return true;
  });
  request.settings = { ...numbers, ...request.settings };
  return request;
}

/** Assigns a key of the client's as an own property, whatever its name. */
function set<Value>(target: Record<string, Value>, key: string, value: Value): void {
  Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
}

/** One entry of a map: its key, and the reader at its value. */
function entry(bytes: Uint8Array, use: (key: string, value: BinaryReader) => void): void {
  let key = "";
  fields(bytes, (number, reader) => {
    if (number === 1) key = reader.string();
    else if (number === 2) use(key, reader);
    else return false;
    return true;
  });
}

function readSetting(bytes: Uint8Array): number | string {
  let setting: number | string = 0;
  fields(bytes, (number, reader) => {
    if (number === 1) setting = reader.double();
    else if (number === 2) setting = reader.string();
    else return false;
    return true;
  });
  return setting;
}

function readDatum(bytes: Uint8Array): WireDatum {
  const datum: WireDatum = { tokens: [], inputs: {}, tokenSpans: [], targetSpans: [] };
  fields(bytes, (number, reader) => {
    if (number === 1) for (const id of readChunk(reader.bytes())) datum.tokens.push(id);
    else if (number === 2)
      entry(reader.bytes(), (key, value) => set(datum.inputs, key, readTensor(key, value.bytes())));
    else if (number === 3) datum.tokenSpans.push(readSpan(reader.bytes()));
    else if (number === 4) datum.targetSpans.push(readSpan(reader.bytes()));
    else return false;
    return true;
  });
  return datum;
}

function readChunk(bytes: Uint8Array): number[] {
  let tokens: number[] = [];
  fields(bytes, (number, reader) => {
    if (number !== 1) throw new WireError("the models here read text: a chunk is an image or sound");
    fields(reader.bytes(), (inner, chunk) => {
      if (inner !== 1) return false;
      tokens = int32s(chunk.bytes());
      return true;
    });
    return true;
  });
  return tokens;
}

function readSpan(bytes: Uint8Array): ProvenanceSpan {
  const span: ProvenanceSpan = { kind: "prompt", sequence: "", offset: 0, length: 0 };
  fields(bytes, (number, reader) => {
    if (number !== 1 && number !== 2) return false;
    span.kind = number === 1 ? "prompt" : "sampled";
    fields(reader.bytes(), (inner, arm) => {
      if (inner === 1) span.sequence = arm.string();
      else if (inner === 2) span.offset = Number(arm.int64());
      else if (inner === 3) span.length = Number(arm.int64());
      else return false;
      return true;
    });
    return true;
  });
  return span;
}

const DTYPES: Readonly<Record<number, WireTensor["dtype"]>> = { 1: "float32", 2: "int64" };

function readTensor(name: string, bytes: Uint8Array): WireTensor {
  let [dense, dtype]: [Uint8Array, number] = [new Uint8Array(), 0];
  let sparse: Sparse | null = null;
  const shape: number[] = [];
  fields(bytes, (number, reader) => {
    if (number === 1) dense = reader.bytes();
    else if (number === 2) sparse = readSparse(reader.bytes());
    else if (number === 3) dtype = reader.int32();
    else if (number === 4) for (const size of packed(reader.bytes())) shape.push(size);
    else return false;
    return true;
  });
  const type = DTYPES[dtype];
  if (type === undefined) throw new WireError(`${name}: its dtype is ${dtype}, neither float32 nor int64`);
  const read = type === "float32" ? float32s : int64s;
  const values = sparse === null ? read(dense) : filled(name, sparse, shape, read);
  const size = shape.reduce((product, dim) => product * dim, 1);
  if (shape.length > 0 && size !== values.length)
    throw new WireError(
      `${name}: its shape [${shape.join(", ")}] has ${size} values, and ${values.length} came`,
    );
  return { dtype: type, shape: shape.length === 0 ? [values.length] : shape, values };
}

interface Sparse {
  values: Uint8Array;
  rows: number[];
  columns: number[];
}

function readSparse(bytes: Uint8Array): Sparse {
  const sparse: Sparse = { values: new Uint8Array(), rows: [], columns: [] };
  fields(bytes, (number, reader) => {
    if (number === 1) sparse.values = reader.bytes();
    else if (number === 2) sparse.rows = int64s(reader.bytes());
    else if (number === 3) sparse.columns = int64s(reader.bytes());
    else return false;
    return true;
  });
  return sparse;
}

/** Values of a tensor that fits a request, at most. */
const MOST_VALUES = 2 ** 26;

/** The dense values of a matrix in compressed sparse rows. */
function filled(
  name: string,
  { values, rows, columns }: Sparse,
  [height = 0, width = 0, ...others]: number[],
  read: (bytes: Uint8Array) => number[],
): number[] {
  const listed = read(values);
  const size = height * width;
  const fits =
    others.length === 0 &&
    size <= MOST_VALUES &&
    rows.length === height + 1 &&
    rows[0] === 0 &&
    rows.every((start, i) => i === 0 || start >= rows[i - 1]) &&
    rows[height] === listed.length &&
    columns.length === listed.length &&
    columns.every((column) => column >= 0 && column < width);
  if (!fits) throw new WireError(`${name}: its sparse rows do not fit its shape [${height}, ${width}]`);
  const dense = new Array<number>(size).fill(0);
  for (let row = 0; row < height; row++)
    for (let at = rows[row]; at < rows[row + 1]; at++) dense[row * width + columns[at]] = listed[at];
  return dense;
}

/** The numbers of a packed field of varints. */
function packed(bytes: Uint8Array): number[] {
  const reader = new BinaryReader(bytes);
  const numbers: number[] = [];
  while (reader.pos < reader.len) numbers.push(Number(reader.int64()));
  return numbers;
}

function numbersOf(bytes: Uint8Array, width: number, read: (view: DataView, at: number) => number): number[] {
  if (bytes.byteLength % width !== 0)
    throw new WireError(`${bytes.byteLength} bytes are no whole number of values of ${width} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.byteLength / width }, (_, i) => read(view, i * width));
}

const int32s = (bytes: Uint8Array): number[] => numbersOf(bytes, 4, (view, at) => view.getInt32(at, true));
const int64s = (bytes: Uint8Array): number[] =>
  numbersOf(bytes, 8, (view, at) => Number(view.getBigInt64(at, true)));
const float32s = (bytes: Uint8Array): number[] =>
  numbersOf(bytes, 4, (view, at) => view.getFloat32(at, true));

/** Little-endian bytes of numbers, as numpy's `tobytes` gives them on every machine that Node runs on. */
const bytesOf = (array: Int32Array | Float32Array | BigInt64Array): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

const message = (writer: BinaryWriter, field: number, fill: (inner: BinaryWriter) => void): BinaryWriter => {
  fill(writer.tag(field, WireType.LengthDelimited).fork());
  return writer.join();
};

const bytesField = (writer: BinaryWriter, field: number, value: Uint8Array): BinaryWriter =>
  writer.tag(field, WireType.LengthDelimited).bytes(value);

/** What `SampleResponse` holds. */
export interface SampleResult {
  sequences: { ids: readonly number[]; logProbs: readonly number[]; finish: "stop" | "length" }[];
  /** Of each token of the prompt; NaN where there is none. `null` where the client did not ask. */
  promptLogProbs: Float32Array | null;
}

/** `SampleResponse`. */
export function writeSampleResult({ sequences, promptLogProbs }: SampleResult): Uint8Array {
  const writer = new BinaryWriter();
  for (const { ids, logProbs, finish } of sequences)
    message(writer, 1, (sequence) => {
      if (finish === "length") sequence.tag(1, WireType.Varint).int32(1);
      bytesField(sequence, 2, bytesOf(Int32Array.from(ids)));
      bytesField(sequence, 3, bytesOf(Float32Array.from(logProbs)));
    });
  if (promptLogProbs !== null) bytesField(writer, 2, bytesOf(promptLogProbs));
  return writer.finish();
}

/** What `ForwardBackwardOutput` holds: an array of each name for each datum. */
export interface PassResult {
  metrics: Readonly<Record<string, number>>;
  outputs: Readonly<Record<string, readonly Float32Array[]>>;
  data: number;
}

/** `ForwardBackwardOutput` with all data in one record. */
export function writePassResult({ metrics, outputs, data }: PassResult): Uint8Array {
  const writer = new BinaryWriter();
  writer.tag(1, WireType.LengthDelimited).string("ArrayRecord");
  message(writer, 2, (record) => {
    record.tag(1, WireType.LengthDelimited).string("ArrayRecord");
    for (const [name, arrays] of Object.entries(outputs))
      message(record, 2, (field) => {
        field.tag(1, WireType.LengthDelimited).string(name);
        message(field, 2, (tensor) => writeArrays(tensor, arrays));
      });
    record.tag(3, WireType.Varint).int64(data);
  });
  for (const [name, value] of Object.entries(metrics))
    message(writer, 3, (field) => {
      field.tag(1, WireType.LengthDelimited).string(name);
      field.tag(2, WireType.Bit64).double(value);
    });
  return writer.finish();
}

/** `BatchedTensor`: the arrays end to end, and where each begins, in bytes. */
function writeArrays(writer: BinaryWriter, arrays: readonly Float32Array[]): void {
  const total = arrays.reduce((length, array) => length + array.length, 0);
  const data = new Float32Array(total);
  const offsets = new BigInt64Array(arrays.length + 1);
  let at = 0;
  arrays.forEach((array, i) => {
    data.set(array, at);
    at += array.length;
    offsets[i + 1] = BigInt(at * data.BYTES_PER_ELEMENT);
  });
  bytesField(writer, 1, bytesOf(data));
  bytesField(writer, 2, bytesOf(offsets));
  writer.tag(3, WireType.Varint).int32(1);
}
