/** Collects the nodes and constants of an ONNX model: what the lowering rule of an op writes into. */
import type { Attribute, OnnxConstant, OnnxNode, WeightPart } from "./proto.ts";
import { DTYPE_BYTES, type DType, sizeOf } from "./shape.ts";

type ConstantType = "f32" | "i32" | "i64" | "bool";

/**
 * The nodes and constants of an ONNX model as lowering adds them. Values are names; each node and constant gets one.
 */
export class Emitter {
  readonly nodes: OnnxNode[] = [];
  readonly constants: OnnxConstant[] = [];
  private readonly constantNames = new Map<string, string>();
  private counter = 0;
  private path = "";

  /** Names what follows after this line of the model. */
  at(path: string): void {
    this.path = path;
  }

  /** Adds an ONNX node; returns its first output's name. */
  emit(opType: string, inputs: string[], attributes: Record<string, Attribute> = {}, domain = ""): string {
    return this.emitAll(opType, inputs, 1, attributes, domain)[0];
  }

  /** Adds an ONNX node with several outputs; returns their names in order. */
  emitAll(
    opType: string,
    inputs: string[],
    outputs: number,
    attributes: Record<string, Attribute> = {},
    domain = "",
  ): string[] {
    const label = this.path === "" ? opType : `${this.path}.${opType}`;
    const name = `${label}#${this.counter++}`;
    const names = Array.from({ length: outputs }, (_, i) => (outputs === 1 ? name : `${name}:${i}`));
    this.nodes.push({ opType, domain, name, inputs, outputs: names, attributes });
    return names;
  }

  /** A constant tensor; equal constants share one initializer. `values` are numbers in the dtype's domain. */
  constant(dtype: ConstantType, shape: readonly number[], values: ArrayLike<number>): string {
    const bytes = constantBytes(dtype, values);
    const content = bytes.length <= 256 ? Buffer.from(bytes).toString("base64") : `#${this.counter++}`;
    const key = `${dtype}[${shape}]${content}`;
    const name = this.constantNames.get(key) ?? `constant#${this.constants.length}`;
    if (!this.constantNames.has(key)) this.constants.push({ name, dtype, shape, bytes });
    this.constantNames.set(key, name);
    return name;
  }

  /** A weight that is part of the model; its bytes are asked for when the model is encoded or saved. */
  weight(dtype: DType, shape: readonly number[], part: WeightPart): string {
    const name = `${this.path}#${this.constants.length}`;
    const length = DTYPE_BYTES[dtype] * sizeOf(shape);
    this.constants.push({
      ...{ name, dtype, shape, part },
      get bytes() {
        const all = new Uint8Array(part.whole.length);
        let end = 0;
        for (const piece of part.whole.pieces()) {
          all.set(piece, end);
          end += piece.length;
        }
        return all.subarray(part.start, part.start + length);
      },
    });
    return name;
  }

  /** A 1-D int64 constant, as ONNX wants its axes, shapes and slices. */
  ints(values: readonly number[]): string {
    return this.constant("i64", [values.length], values);
  }

  /** A scalar f32 constant, []. */
  float(value: number): string {
    return this.constant("f32", [], [value]);
  }
}

const TYPED: { [T in ConstantType]: (values: ArrayLike<number>) => ArrayBufferView } = {
  f32: (values) => Float32Array.from(values),
  i32: (values) => Int32Array.from(values),
  i64: (values) => BigInt64Array.from(Array.from(values, BigInt)),
  bool: (values) => Uint8Array.from(values),
};

function constantBytes(dtype: ConstantType, values: ArrayLike<number>): Uint8Array {
  const { buffer, byteOffset, byteLength } = TYPED[dtype](values);
  return new Uint8Array(buffer, byteOffset, byteLength);
}
