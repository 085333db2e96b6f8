/**
 * The few ONNX protobuf messages that we write (onnx/onnx.proto, IR version 10), by wire format.
 * Field numbers are ONNX's public, stable format.
 */
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type { DType, Shape } from "./shape.ts";

/** An attribute of an ONNX node: an integer, a float, a string or a list of integers. */
export type Attribute = number | { float: number } | string | readonly number[];

export interface OnnxNode {
  opType: string;
  domain: string;
  name: string;
  inputs: string[];
  outputs: string[];
  attributes: Record<string, Attribute>;
}

/** The bytes of a weight, little-endian, made each time they are asked for; a piece is valid until the next is asked for. */
export interface WeightBytes {
  length: number;
  pieces(): Iterable<Uint8Array>;
}

/** Bytes of `whole`, from the offset `start`; several constants may be parts of the same bytes. */
export interface WeightPart {
  whole: WeightBytes;
  start: number;
}

export interface OnnxConstant {
  name: string;
  dtype: DType;
  shape: readonly number[];
  /** Raw little-endian bytes; those of a weight are made each time they are asked for. */
  readonly bytes: Uint8Array;
  /** For a weight: where its bytes come from. */
  part?: WeightPart;
  /** Where the bytes are when they are kept outside the model file. */
  external?: { location: string; offset: number; length: number };
}

export interface OnnxValue {
  name: string;
  dtype: DType;
  shape: Shape;
}

/** An ONNX model (IR 10) before it is encoded. */
export interface OnnxModel {
  name: string;
  nodes: OnnxNode[];
  constants: OnnxConstant[];
  inputs: OnnxValue[];
  outputs: OnnxValue[];
  opset: number;
}

/** TensorProto.DataType */
const ELEMENT_TYPE: Record<DType, number> = { f32: 1, u8: 2, i32: 6, i64: 7, bool: 9, f16: 10, bf16: 16 };

export function onnxType(dtype: DType): number {
  return ELEMENT_TYPE[dtype];
}

type Write = (writer: BinaryWriter) => void;

function message(writer: BinaryWriter, field: number, write: Write): void {
  writer.tag(field, WireType.LengthDelimited).fork();
  write(writer);
  writer.join();
}

function text(writer: BinaryWriter, field: number, value: string): void {
  writer.tag(field, WireType.LengthDelimited).string(value);
}

function integer(writer: BinaryWriter, field: number, value: number): void {
  writer.tag(field, WireType.Varint).int64(value);
}

/** AttributeProto: f = 2, i = 3, s = 4, ints = 8, type = 20 (FLOAT 1, INT 2, STRING 3, INTS 7). */
function writeAttribute(writer: BinaryWriter, name: string, value: Attribute): void {
  text(writer, 1, name);
  if (typeof value === "number") {
    integer(writer, 3, value);
    integer(writer, 20, 2);
  } else if (typeof value === "string") {
    writer.tag(4, WireType.LengthDelimited).bytes(new TextEncoder().encode(value));
    integer(writer, 20, 3);
  } else if ("float" in value) {
    writer.tag(2, WireType.Bit32).float(value.float);
    integer(writer, 20, 1);
  } else {
    for (const item of value) integer(writer, 8, item);
    integer(writer, 20, 7);
  }
}

/** NodeProto */
function writeNode(writer: BinaryWriter, node: OnnxNode): void {
  for (const input of node.inputs) text(writer, 1, input);
  for (const output of node.outputs) text(writer, 2, output);
  text(writer, 3, node.name);
  text(writer, 4, node.opType);
  for (const [name, value] of Object.entries(node.attributes))
    message(writer, 5, (w) => writeAttribute(w, name, value));
  if (node.domain !== "") text(writer, 7, node.domain);
}

/** TensorProto: dims = 1, data_type = 2, name = 8, raw_data = 9, external_data = 13, data_location = 14. */
function writeConstant(writer: BinaryWriter, constant: OnnxConstant): void {
  for (const dim of constant.shape) integer(writer, 1, dim);
  integer(writer, 2, ELEMENT_TYPE[constant.dtype]);
  text(writer, 8, constant.name);
  if (constant.external === undefined) {
    writer.tag(9, WireType.LengthDelimited).bytes(constant.bytes);
    return;
  }
  const { location, offset, length } = constant.external;
  for (const [key, value] of Object.entries({ location, offset, length }))
    message(writer, 13, (w) => {
      text(w, 1, key);
      text(w, 2, String(value));
    });
  integer(writer, 14, 1);
}

/** ValueInfoProto: name = 1, type = 2 { tensor_type = 1 { elem_type = 1, shape = 2 { dim = 1 { value 1 | param 2 } } } }. */
function writeValue(writer: BinaryWriter, value: OnnxValue): void {
  text(writer, 1, value.name);
  message(writer, 2, (type) =>
    message(type, 1, (tensor) => {
      integer(tensor, 1, ELEMENT_TYPE[value.dtype]);
      message(tensor, 2, (shape) => {
        for (const dim of value.shape)
          message(shape, 1, (d) => (typeof dim === "number" ? integer(d, 1, dim) : text(d, 2, String(dim))));
      });
    }),
  );
}

/** ModelProto: ir_version = 1, producer_name = 2, graph = 7, opset_import = 8. */
export function encodeModel(model: OnnxModel): Uint8Array {
  const writer = new BinaryWriter();
  integer(writer, 1, 10);
  text(writer, 2, "sputnik");
  message(writer, 7, (graph) => {
    for (const node of model.nodes) message(graph, 1, (w) => writeNode(w, node));
    text(graph, 2, model.name);
    for (const constant of model.constants) message(graph, 5, (w) => writeConstant(w, constant));
    for (const input of model.inputs) message(graph, 11, (w) => writeValue(w, input));
    for (const output of model.outputs) message(graph, 12, (w) => writeValue(w, output));
  });
  // A model of standard operators names no other domain, which a runtime might refuse.
  for (const domain of new Set(["", ...model.nodes.map((node) => node.domain)]))
    message(writer, 8, (opset) => {
      text(opset, 1, domain);
      integer(opset, 2, domain === "" ? model.opset : 1);
    });
  return writer.finish();
}
