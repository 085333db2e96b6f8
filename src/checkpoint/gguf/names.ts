/**
 * Tensors of a GGUF model by their Hugging Face names, both ways, by the format of its family. Most are renamed only.
 */
import type { UserError } from "../../lib/errors.ts";
import { LIMITS } from "../../models/checks.ts";
import { COMMON_NAMES, type GgufFormat, type GgufTensor } from "../../models/gguf.ts";
import { mismatch, tensorIn } from "../errors.ts";
import type { StoredTensor, TensorSource } from "../weights.ts";

/** What the mapping has to know of a model. */
export interface TensorLayout {
  format: GgufFormat;
  layers: number;
  tensors: readonly GgufTensor[];
}

type Of<Kind> = Extract<GgufTensor, { kind: Kind }>;

const ENDINGS = [".weight", ".bias"];

/** GGUF name and Hugging Face name of all tensors of a family that are renamed, with their endings. */
const renamed = ({ names }: GgufFormat): [gguf: string, name: string][] =>
  Object.entries({ ...COMMON_NAMES, ...names }).flatMap(([gguf, name]): [string, string][] =>
    ENDINGS.some((ending) => gguf.endsWith(ending))
      ? [[gguf, name]]
      : ENDINGS.map((ending) => [gguf + ending, name + ending]),
  );

/** Holds the frequencies of scaled RoPE: it becomes a part of the config (see rope.ts). */
export const ROPE_FREQS = "rope_freqs.weight";

/** The tensors of a GGUF file under Hugging Face names. @throws UserError for a name that is not known. */
export function toHuggingFaceTensors(file: string, source: TensorSource, layout: TensorLayout): TensorSource {
  const result = new Map<string, StoredTensor>();
  const names = new Map(renamed(layout.format));
  const kinds = new Map(
    layout.tensors.flatMap((one): [string, GgufTensor][] => [
      [one.gguf, one],
      ...(one.kind === "split" ? [[one.values, one] as [string, GgufTensor]] : []),
    ]),
  );
  for (const [name, tensor] of source) {
    if (name === ROPE_FREQS) continue;
    const { prefix, rest } = split(name, /^blk\.(\d+)\.(.+)$/, "model.layers.");
    const own = kinds.get(rest);
    if (own?.kind === "stacked")
      for (const [one, part] of unstacked(file, name, tensor, own)) result.set(prefix + one, part);
    else if (own?.kind === "split") {
      if (rest === own.gguf) result.set(prefix + own.name, joined(file, name, source, own));
    } else {
      const renamed = names.get(rest);
      if (renamed === undefined) throw unknownName(file, name, layout);
      const { shape, read } = tensor;
      result.set(prefix + renamed, {
        shape,
        read: own === undefined ? read : (start, count) => readHalves(tensor, own.heads, start, count),
      });
    }
  }
  return result;
}

/** The parts of a stack, by their names. */
function* unstacked(
  file: string,
  name: string,
  tensor: StoredTensor,
  { name: pattern, count: expected }: Of<"stacked">,
): Generator<[string, StoredTensor]> {
  const [count = 0, ...shape] = tensor.shape;
  // Before a name is made for each.
  if (count !== expected || count > LIMITS.experts)
    throw unknown(file, name, `the ${expected} experts of the metadata, at most ${LIMITS.experts}`);
  const size = shape.reduce((product, n) => product * n, 1);
  for (let i = 0; i < count; i++)
    yield [
      pattern.replace("*", String(i)),
      { shape, read: (start = 0, length = size, target) => tensor.read(i * size + start, length, target) },
    ];
}

/** Keys and values as one projection. */
function joined(file: string, name: string, source: TensorSource, own: Of<"split">): StoredTensor {
  const keys = source.get(name)!;
  const values = source.get(name.replace(own.gguf, own.values));
  const [heads = 0, latent = 0, nope = 0] = keys.shape;
  const vHead = values?.shape[1] ?? 0;
  if (values === undefined || String(values.shape) !== String([heads, vHead, latent]))
    throw unknown(file, name, `${own.values} beside ${own.gguf}, both [heads, …]`);
  return {
    shape: [heads * (nope + vHead), latent],
    read: (start, count) =>
      range(joinKeysValues(keys.read(), values.read(), { heads, latent, nope, vHead }), start, count),
  };
}

const range = (data: Float32Array, start = 0, count = data.length - start): Float32Array =>
  data.subarray(start, start + count);

/** One tensor to be written, its data in pieces. */
export interface NamedPieces {
  name: string;
  /** The Hugging Face name of the tensor that it comes from; of a stack the first one. */
  from: string;
  shape: readonly number[];
  pieces(): Iterable<Float32Array>;
}

/**
 * The tensors of a GGUF file from a model's. Layers beyond the last (multi-token prediction) are left out, as
 * llama.cpp's own converter does. @throws UserError for a name that is not known, or an expert that is missing.
 */
export function toGgufTensors(file: string, source: TensorSource, layout: TensorLayout): NamedPieces[] {
  const result: NamedPieces[] = [];
  const names = new Map(renamed(layout.format).map(([gguf, name]) => [name, gguf]));
  const kinds = new Map(layout.tensors.map((one) => [one.name, one]));
  for (const [name, { shape, read }] of source) {
    const { prefix, rest, index } = split(name, /^model\.layers\.(\d+)\.(.+)$/, "blk.");
    if (index >= layout.layers) continue;
    const [, number] = /\.(\d+)\./.exec(rest) ?? [];
    const own = kinds.get(number === undefined ? rest : rest.replace(`.${number}.`, ".*."));
    if (own?.kind === "stacked") {
      if (number !== "0") continue;
      const one = (i: number) => name.slice(0, -rest.length).concat(own.name.replace("*", String(i)));
      const all = Array.from({ length: own.count }, (_, i) => source.get(one(i)) ?? missing(file, one(i)));
      result.push({
        name: prefix + own.gguf,
        from: name,
        shape: [own.count, ...shape],
        *pieces() {
          for (const tensor of all) yield tensor.read();
        },
      });
    } else if (own?.kind === "split") {
      const { heads, nope, vHead } = own;
      const latent = shape[1]!;
      const halves = () => splitKeysValues(read(), { heads, latent, nope, vHead });
      const half = (gguf: string, shape: number[], of: "keys" | "values"): NamedPieces => ({
        ...{ name: prefix + gguf, from: name, shape },
        pieces: () => [halves()[of]],
      });
      result.push(
        half(own.gguf, [heads, latent, nope], "keys"),
        half(own.values, [heads, vHead, latent], "values"),
      );
    } else {
      const gguf = names.get(rest);
      if (gguf === undefined) throw unknownName(file, name, layout);
      const pieces = () => [own === undefined ? read() : permuteRows(read(), shape, own.heads, "pairs")];
      result.push({ name: prefix + gguf, from: name, shape, pieces });
    }
  }
  return result;
}

function split(name: string, block: RegExp, prefix: string): { prefix: string; rest: string; index: number } {
  const [, index, rest] = block.exec(name) ?? [];
  if (index === undefined || rest === undefined) return { prefix: "", rest: name, index: -1 };
  return { prefix: `${prefix}${index}.`, rest, index: Number(index) };
}

const unknownName = (file: string, tensor: string, { format }: TensorLayout): UserError =>
  unknown(file, tensor, `a tensor of a ${format.architecture} model`);

function unknown(file: string, tensor: string, expected: string): UserError {
  const remedy = "The model has a part that is not known here; leaving it out would compute something else.";
  return mismatch(tensorIn(file, tensor), expected, "another", remedy);
}

function missing(file: string, tensor: string): never {
  const remedy = "The config and the weights belong to different models, or a shard is missing.";
  throw mismatch(tensorIn(file, tensor), "it to be stored", "nothing", remedy);
}

/** Rows of each head: first half, second half <-> pairs of one of each. */
function permuteRows(
  data: Float32Array,
  shape: readonly number[],
  heads: number,
  to: "pairs" | "halves",
): Float32Array {
  const width = data.length / shape[0]!;
  const headDim = shape[0]! / heads;
  const out = new Float32Array(data.length);
  for (let row = 0; row < shape[0]!; row++) {
    const inHead = row % headDim;
    const paired = row - inHead + 2 * (inHead % (headDim / 2)) + Math.floor(inHead / (headDim / 2));
    const [from, at] = to === "pairs" ? [row, paired] : [paired, row];
    out.set(data.subarray(from * width, (from + 1) * width), at * width);
  }
  return out;
}

/** Elements of a tensor whose file has the rows of each head in pairs: complete heads are read and reordered. */
function readHalves({ shape, read }: StoredTensor, heads: number, start = 0, count?: number): Float32Array {
  const size = shape.reduce((product, n) => product * n, 1);
  const head = size / heads;
  const end = start + (count ?? size - start);
  const [first, last] = [Math.floor(start / head), Math.ceil(end / head)];
  const rows = [((last - first) * shape[0]!) / heads, ...shape.slice(1)];
  const halves = permuteRows(read(first * head, (last - first) * head), rows, last - first, "halves");
  return halves.subarray(start - first * head, end - first * head);
}

interface LatentShape {
  heads: number;
  latent: number;
  nope: number;
  vHead: number;
}

/** kv_b_proj [heads · (nope + vHead), latent] -> keys [heads, latent, nope], values [heads, vHead, latent]. */
function splitKeysValues(
  joined: Float32Array,
  { heads, latent, nope, vHead }: LatentShape,
): { keys: Float32Array; values: Float32Array } {
  const keys = new Float32Array(heads * latent * nope);
  const values = new Float32Array(heads * vHead * latent);
  for (let head = 0; head < heads; head++) {
    const start = head * (nope + vHead) * latent;
    for (let row = 0; row < nope; row++)
      for (let i = 0; i < latent; i++)
        keys[(head * latent + i) * nope + row] = joined[start + row * latent + i]!;
    values.set(
      joined.subarray(start + nope * latent, start + (nope + vHead) * latent),
      head * vHead * latent,
    );
  }
  return { keys, values };
}

/** The way back. */
function joinKeysValues(
  keys: Float32Array,
  values: Float32Array,
  { heads, latent, nope, vHead }: LatentShape,
): Float32Array {
  const joined = new Float32Array(heads * (nope + vHead) * latent);
  for (let head = 0; head < heads; head++) {
    const start = head * (nope + vHead) * latent;
    for (let row = 0; row < nope; row++)
      for (let i = 0; i < latent; i++)
        joined[start + row * latent + i] = keys[(head * latent + i) * nope + row]!;
    joined.set(values.subarray(head * vHead * latent, (head + 1) * vHead * latent), start + nope * latent);
  }
  return joined;
}
