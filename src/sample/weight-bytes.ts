/**
 * The weights of a model as the bytes of a graph's constants, f32 or blocks of codes. They are read and quantised a few
 * rows at a time in memory that is used again, so that neither the f32 model nor garbage of it is in memory.
 */
import type { StoredTensor } from "../checkpoint/weights.ts";
import type { WeightBytes } from "../graph/proto.ts";
import { RuntimeError } from "../runtime/session.ts";
import { bitsOf, quantise, type Rounding } from "./quantise.ts";

export type WeightSource = ReadonlyMap<string, StoredTensor>;

/** Elements that are quantised at once: as f32 they fit a processor's cache. */
const CHUNK = 1 << 18;

/** A matrix of blocks, by its parts. */
export interface CodedBytes {
  packed: WeightBytes;
  scales: WeightBytes;
  offsets?: WeightBytes;
}

export class WeightReader {
  private readonly source: WeightSource;
  private readonly data: Float32Array;
  private readonly packed: Uint8Array;
  /** Scales, then offsets, of the matrix that was read last. */
  private last = { name: "", numbers: new Float32Array() };

  constructor(source: WeightSource) {
    this.source = source;
    const widest = [...source.values()].reduce((most, { shape }) => Math.max(most, shape.at(-1) ?? 1), CHUNK);
    this.data = new Float32Array(widest);
    this.packed = new Uint8Array(widest);
  }

  /** As f32. */
  plain(name: string): WeightBytes {
    const { shape, read } = this.tensor(name);
    return { length: 4 * shape.reduce((size, dim) => size * dim, 1), pieces: () => [bytesOf(read())] };
  }

  /** A matrix in blocks. One reading gives all its parts where the codes are asked for first. */
  coded(name: string, rounding: Rounding): CodedBytes {
    const { shape } = this.tensor(name);
    const elements = shape[0] * shape[1];
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
    const { shape, read } = this.tensor(name);
    const [elements, width] = [shape[0] * shape[1], shape[1]];
    const blocks = elements / block;
    const shifted = precision === "int4-offset";
    const needed = shifted ? 2 * blocks : blocks;
    const numbers = this.last.numbers.length < needed ? new Float32Array(needed) : this.last.numbers;
    this.last = { name: "", numbers };
    const step = Math.max(1, Math.floor(CHUNK / width)) * width;
    for (let start = 0; start < elements; start += step) {
      const count = Math.min(step, elements - start);
      const data = read(start, count, this.data);
      if (data.length !== count)
        throw new RuntimeError(`"${name}" gave ${data.length} elements where ${count} were asked for`);
      const packed = this.packed.subarray(0, (count * bitsOf(precision)) / 8);
      const own = (first: number) => numbers.subarray(first + start / block, first + (start + count) / block);
      quantise(data, precision, { block, packed, scales: own(0), offsets: shifted ? own(blocks) : null });
      yield packed;
    }
    this.last.name = name;
  }

  private tensor(name: string): StoredTensor {
    const tensor = this.source.get(name);
    if (tensor === undefined) throw new RuntimeError(`there is no weight "${name}" in the model`);
    return tensor;
  }
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);
