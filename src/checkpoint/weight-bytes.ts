/**
 * The weights of a model as the bytes of a graph's constants, f32 or blocks of codes. They are read and quantised a few
 * rows at a time in memory that is used again, so that neither the f32 model nor garbage of it is in memory.
 */

import type { WeightBytes } from "../graph/proto.ts";
import { sizeOf } from "../graph/shape.ts";
import { RuntimeError } from "../runtime/value.ts";
import { bitsOf, quantise, type Rounding } from "./quantise.ts";
import type { StoredTensor, TensorSource } from "./weights.ts";

/** Elements that are quantised at once: as f32 they fit a processor's cache. */
const CHUNK = 1 << 18;

/** A matrix of blocks, by its parts. */
export interface CodedBytes {
  packed: WeightBytes;
  scales: WeightBytes;
  offsets?: WeightBytes;
}

export class WeightReader {
  private readonly source: TensorSource;
  private readonly data: Float32Array;
  private readonly packed: Uint8Array;
  /** Scales, then offsets, of the matrix that was read last. */
  private last = { name: "", numbers: new Float32Array() };

  constructor(source: TensorSource) {
    this.source = source;
    const widest = [...source.values()].reduce((most, { shape }) => Math.max(most, shape.at(-1) ?? 1), CHUNK);
    this.data = new Float32Array(widest);
    this.packed = new Uint8Array(widest);
  }

  /** As f32. */
  plain(name: string): WeightBytes {
    const parts = (): Iterable<{ data: Float32Array }> => this.parts(name);
    return {
      length: 4 * sizeOf(this.tensor(name).shape),
      *pieces() {
        for (const { data } of parts()) yield bytesOf(data);
      },
    };
  }

  /** A matrix in blocks. One reading gives all its parts where the codes are asked for first. */
  coded(name: string, rounding: Rounding): CodedBytes {
    const elements = sizeOf(this.tensor(name).shape);
    const blocks = elements / rounding.block;
    const codes = () => this.codes(name, rounding);
    const numbers = (first: number): WeightBytes => ({
      length: 4 * blocks,
      pieces: () => {
        if (this.last.name !== name) for (const _ of codes());
        return [bytesOf(this.last.numbers.subarray(first, first + blocks))];
      },
    });
    return {
      packed: { length: (elements * bitsOf(rounding.precision)) / 8, pieces: codes },
      scales: numbers(0),
      offsets: rounding.precision === "int4-offset" ? numbers(blocks) : undefined,
    };
  }

  /** The codes in pieces; scales and offsets are kept. */
  private *codes(name: string, { precision, block }: Rounding): Iterable<Uint8Array> {
    const blocks = sizeOf(this.tensor(name).shape) / block;
    const shifted = precision === "int4-offset";
    const needed = shifted ? 2 * blocks : blocks;
    const numbers = this.last.numbers.length < needed ? new Float32Array(needed) : this.last.numbers;
    this.last = { name: "", numbers };
    for (const { start, data } of this.parts(name)) {
      const packed = this.packed.subarray(0, (data.length * bitsOf(precision)) / 8);
      const end = start + data.length;
      const own = (first: number) => numbers.subarray(first + start / block, first + end / block);
      quantise(data, precision, { block, packed, scales: own(0), offsets: shifted ? own(blocks) : null });
      yield packed;
    }
    this.last.name = name;
  }

  /** A tensor as f32, some rows at a time, each part where the last one was. */
  private *parts(name: string): Iterable<{ start: number; data: Float32Array }> {
    const tensor = this.tensor(name);
    const [elements, width] = [sizeOf(tensor.shape), tensor.shape.at(-1) ?? 1];
    const step = Math.max(1, Math.floor(CHUNK / width)) * width;
    for (let start = 0; start < elements; start += step) {
      const count = Math.min(step, elements - start);
      const data = tensor.read(start, count, this.data);
      if (data.length !== count)
        throw new RuntimeError(`"${name}" gave ${data.length} elements where ${count} were asked for`);
      yield { start, data };
    }
  }

  private tensor(name: string): StoredTensor {
    const tensor = this.source.get(name);
    if (tensor === undefined) throw new RuntimeError(`there is no weight "${name}" in the model`);
    return tensor;
  }
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);
