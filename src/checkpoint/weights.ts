/**
 * The tensors of a model folder: which files hold them, whether they are all there, and the tied pair.
 */
import os from "node:os";
import { CheckpointError } from "./errors.ts";
import { applyScales, type Block, takeScales } from "./fp8.ts";
import { type Parameter, SafetensorsFile } from "./safetensors.ts";
import { lostTensors, weightFiles } from "./shards.ts";

/** Wanted shape by Hugging Face tensor name. */
export type Shapes = ReadonlyMap<string, readonly number[]>;

/** The pair that a tied model shares. */
export const EMBEDDING = "model.embed_tokens.weight";
export const HEAD = "lm_head.weight";

/**
 * Tensors that follow from others: tables in old Llama files, and the copies of embedding and head that DeepSeek-V3
 * stores with its last layer.
 */
const DERIVED = /\.rotary_emb\.inv_freq$|^model\.layers\.\d+\.(embed_tokens|shared_head\.head)\.weight$/;

/**
 * Every tensor as f32, read straight into place: beside the result, a few megabytes at most are held.
 * Nothing is read before all names and shapes agree, and nothing is ever made up.
 * A tied model may store either or both of the pair; the result holds the embedding alone.
 * @param block rows and columns that share a scale, where weights are in FP8
 */
export function readWeights(
  folder: string,
  { tied, expected, block }: { tied: boolean; expected?: Shapes; block: Block },
): Map<string, Parameter> {
  return withOpenWeights(folder, block, (tensors, files) => {
    if (expected !== undefined) compare(tensors, tied, expected, files.join(", "), folder);
    const stored = tied ? withoutTiedHead(files[0]!, tensors) : tensors;
    checkMemory(folder, stored);
    return new Map([...stored].map(([name, { shape, read }]) => [name, { shape, data: read() }]));
  });
}

/**
 * Before anything is read. @throws CheckpointError for weights that this machine's memory cannot hold as f32
 * @param memory bytes
 */
export function checkMemory(file: string, tensors: TensorSource, memory = memoryBytes()): void {
  let needed = 0;
  for (const { shape } of tensors.values()) needed += 4 * shape.reduce((product, n) => product * n, 1);
  if (needed <= memory) return;
  const giga = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;
  throw new CheckpointError({
    file,
    expected: `weights that fit the memory as f32: ${giga(memory)}`,
    found: giga(needed),
    remedy:
      "Use a larger machine or a smaller model; to ask it, chat and complete need less with --precision int4.",
  });
}

/** What this process may use: the machine's, or the limit of its container. */
function memoryBytes(): number {
  // Node 20 says undefined where there is no limit, later ones 0.
  const limit = (process.constrainedMemory() as number | undefined) ?? 0;
  return limit > 0 ? Math.min(os.totalmem(), limit) : os.totalmem();
}

/** Names of the stored tensors. */
export function storedNames(folder: string): Set<string> {
  const names = new Set<string>();
  for (const file of weightFiles(folder)) {
    const opened = new SafetensorsFile(file);
    for (const name of opened.header.tensors.keys()) names.add(name);
    opened.close();
  }
  return names;
}

/** A tensor that is read when it is asked for, as f32. */
export interface StoredTensor {
  shape: readonly number[];
  /**
   * All of it, or `count` elements from `start` on, which are whole rows. Into `target`, where one is given and the
   * reader can: a caller that reads part after part then leaves no garbage behind.
   */
  read(start?: number, count?: number, target?: Float32Array): Float32Array;
}
export type TensorSource = ReadonlyMap<string, StoredTensor>;

/** Tensors in memory as such a source. */
export function sourceOf(
  tensors: ReadonlyMap<string, { shape: readonly number[]; data: ArrayLike<number | bigint> }>,
): TensorSource {
  return new Map(
    [...tensors].map(([name, { shape, data }]) => {
      const all = data as Float32Array;
      return [
        name,
        { shape, read: (start = 0, count = all.length - start) => all.subarray(start, start + count) },
      ];
    }),
  );
}

/** The tensors of a folder by name, FP8 with its scales applied. Opens, hands over and closes. */
export function withOpenWeights<T>(
  folder: string,
  block: Block,
  use: (tensors: TensorSource, files: readonly string[]) => T,
): T {
  const files: SafetensorsFile[] = [];
  try {
    for (const file of weightFiles(folder)) files.push(new SafetensorsFile(file));
    const holders = new Map<string, SafetensorsFile>();
    for (const file of files)
      for (const name of file.header.tensors.keys()) {
        if (holders.has(name)) throw twice(name, holders.get(name)!, file);
        if (!DERIVED.test(name)) holders.set(name, file);
      }
    const scales = takeScales(holders, block);
    const tensors = new Map<string, StoredTensor>();
    for (const [name, file] of holders) {
      const { shape } = file.info(name);
      const size = shape.reduce((product, n) => product * n, 1);
      const read: StoredTensor["read"] = (start = 0, count = size, target) => {
        const data = target?.subarray(0, count) ?? new Float32Array(count);
        file.readRange(name, start, data);
        const scale = scales.get(name)?.readFloat32(`${name}_scale_inv`);
        if (scale === undefined) return data;
        const columns = shape[1]!;
        applyScales({ shape: [count / columns, columns], data }, scale, block, start / columns);
        return data;
      };
      tensors.set(name, { shape, read });
    }
    return use(
      tensors,
      files.map(({ file }) => file),
    );
  } finally {
    for (const file of files) file.close();
  }
}

/** Elements of the pair that are compared at once, at least one row of them. */
const COMPARE_ELEMENTS = 1 << 20;

/**
 * A tied model's tensors, in memory or to be read, with one copy of the pair, under the embedding's name.
 * @throws CheckpointError if both are given and differ.
 */
export function withoutTiedHead<T extends Parameter | StoredTensor>(
  file: string,
  tensors: ReadonlyMap<string, T>,
): Map<string, T> {
  const result = new Map(tensors);
  const head = result.get(HEAD);
  const embedding = result.get(EMBEDDING);
  result.delete(HEAD);
  if (head === undefined) return result;
  if (embedding === undefined) return result.set(EMBEDDING, head);
  const { shape } = embedding;
  if (String(head.shape) !== String(shape)) throw untied(file, `shape [${head.shape.join(", ")}]`);
  // In pieces, so that a pair to be read never lies in memory whole.
  const [rows = 1, width = 1] = shape;
  const step = Math.max(1, Math.floor(COMPARE_ELEMENTS / width)) * width;
  for (let start = 0; start < rows * width; start += step) {
    const [own, other] = [head, embedding].map((tensor) => part(tensor, start, step));
    const different = own!.findIndex((value, i) => !Object.is(value, other![i]));
    if (different >= 0) throw untied(file, `others, first at element ${start + different}`);
  }
  return result;
}

/** Elements from `start` on, `count` or as many as there are. */
function part(tensor: Parameter | StoredTensor, start: number, count: number): Float32Array {
  if ("data" in tensor) return tensor.data.subarray(start, start + count);
  const elements = tensor.shape.reduce((product, size) => product * size, 1);
  return tensor.read(start, Math.min(count, elements - start));
}

function untied(file: string, found: string): CheckpointError {
  return new CheckpointError({
    file,
    tensor: HEAD,
    expected: `the values of ${EMBEDDING}, since the config ties the two`,
    found,
    remedy: "Set tie_word_embeddings to false to keep both, or delete the one that is not wanted.",
  });
}

/**
 * @param folder of safetensors that an index may list
 * @throws CheckpointError naming tensors that are missing, left over or mis-shaped.
 */
export function compare(
  tensors: ReadonlyMap<string, { shape: readonly number[] }>,
  tied: boolean,
  expected: Shapes,
  searched: string,
  folder?: string,
): void {
  const wanted = new Map(expected);
  const found = new Map([...tensors].map(([name, { shape }]) => [name, shape]));
  if (tied) {
    const head = found.get(HEAD);
    wanted.delete(HEAD);
    found.delete(HEAD);
    if (head !== undefined && !found.has(EMBEDDING)) found.set(EMBEDDING, head);
  }
  const remedy = "The config does not describe these weights: take both from the same model, whole.";
  const missing = [...wanted.keys()].filter((name) => !found.has(name));
  if (missing.length > 0) {
    const untied = missing.length === 1 && missing[0] === HEAD;
    const lost = folder === undefined ? null : lostTensors(folder, missing);
    throw new CheckpointError({
      file: searched,
      tensor: names(missing),
      expected: "it to be stored",
      found: `${found.size} others`,
      remedy: untied
        ? "Set tie_word_embeddings to true in config.json if the output matrix is the embedding, or store the matrix."
        : remedy,
      ...lost,
    });
  }
  const extra = [...found.keys()].filter((name) => !wanted.has(name));
  if (extra.length > 0)
    throw new CheckpointError({
      file: searched,
      tensor: names(extra),
      expected: `only the ${wanted.size} tensors of the config`,
      found: `${extra.length} more`,
      remedy,
    });
  for (const [name, shape] of found) {
    const want = wanted.get(name)!;
    if (String(shape) !== String(want))
      throw new CheckpointError({
        file: searched,
        tensor: name,
        expected: `shape [${want.join(", ")}]`,
        found: `[${shape.join(", ")}]`,
        remedy,
      });
  }
}

/** The first few names, and how many more. */
function names(all: string[]): string {
  return all.length <= 5 ? all.join(", ") : `${all.slice(0, 5).join(", ")} and ${all.length - 5} more`;
}

function twice(tensor: string, first: SafetensorsFile, second: SafetensorsFile): CheckpointError {
  return new CheckpointError({
    file: second.file,
    tensor,
    expected: "each tensor once",
    found: `another copy in ${first.file}`,
    remedy: "Remove the shard that does not belong to this model.",
  });
}
