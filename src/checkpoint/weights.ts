/**
 * The tensors of a model folder: the files that hold them, a check that all are there, FP8 weights with their scales,
 * and the pair of tied embeddings.
 */

import os from "node:os";
import { join } from "node:path";
import { sizeOf } from "../graph/shape.ts";
import { allParameters, type ModelConfig } from "../models/architectures.ts";
import { listed, mismatch, tensorIn } from "./errors.ts";
import { readJson } from "./json.ts";
import { type Parameter, SafetensorsFile, withSafetensors } from "./safetensors.ts";
import { lostTensors, weightFiles } from "./shards.ts";

/** Wanted shape by Hugging Face tensor name. */
export type Shapes = ReadonlyMap<string, readonly number[]>;

/** The shapes of a model's parameters. */
export function expectedShapes(config: ModelConfig): Map<string, readonly number[]> {
  return new Map(allParameters(config).map(({ name, shape }) => [name, shape]));
}

/** The input embedding and the output matrix; a tied model stores one of them. */
export const EMBEDDING = "model.embed_tokens.weight";
export const HEAD = "lm_head.weight";

/**
 * Tensors that follow from others: tables in old Llama files, and the copies of embedding and head that DeepSeek-V3
 * stores with its last layer.
 */
const DERIVED = /\.rotary_emb\.inv_freq$|^model\.layers\.\d+\.(embed_tokens|shared_head\.head)\.weight$/;

/**
 * Reads all tensors of a source as f32, each straight into its result: other memory is a few megabytes.
 * @throws UserError if they need more memory than there is
 */
export function readAll(file: string, source: TensorSource): Map<string, Parameter> {
  checkMemory(file, source);
  return new Map([...source].map(([name, { shape, read }]) => [name, { shape, data: read() }]));
}

/**
 * @param memory bytes
 * @throws UserError if the weights as f32 need more than this machine's memory; nothing has been read then
 */
export function checkMemory(file: string, tensors: TensorSource, memory = memoryBytes()): void {
  let needed = 0;
  for (const { shape } of tensors.values()) needed += 4 * sizeOf(shape);
  if (needed <= memory) return;
  const giga = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;
  throw mismatch(
    file,
    `weights that fit the memory as f32: ${giga(memory)}`,
    giga(needed),
    "Use a larger machine or a smaller model; to ask it, chat and complete need less with --precision int4.",
  );
}

/** Memory that this process may use: the machine's, or the limit of its container. */
function memoryBytes(): number {
  // Without a limit Node 20 returns undefined, and later versions 0.
  const limit = (process.constrainedMemory() as number | undefined) ?? 0;
  return limit > 0 ? Math.min(os.totalmem(), limit) : os.totalmem();
}

/** Names of the stored tensors. */
export function storedNames(folder: string): Set<string> {
  const namesIn = (file: string): string[] =>
    withSafetensors(file, ({ header }) => [...header.tensors.keys()]);
  return new Set(weightFiles(folder).flatMap(namesIn));
}

/** A tensor that is read on demand, as f32. */
export interface StoredTensor {
  shape: readonly number[];
  /**
   * All elements, or `count` elements from `start` on, which are full rows. A reader that can writes them into `target`:
   * a caller that reads part after part then leaves no garbage.
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

/** The file of each tensor. @throws UserError if two files hold the same tensor */
export function holdersOf<F extends { file: string; header: { tensors: ReadonlyMap<string, unknown> } }>(
  files: readonly F[],
  remedy: (file: string) => string,
  ignored?: RegExp,
): Map<string, F> {
  const holders = new Map<string, F>();
  for (const file of files)
    for (const name of file.header.tensors.keys()) {
      if (ignored?.test(name)) continue;
      const found = `another copy in ${holders.get(name)?.file}`;
      if (holders.has(name))
        throw mismatch(tensorIn(file.file, name), "each tensor once", found, remedy(file.file));
      holders.set(name, file);
    }
  return holders;
}

/** Opens a folder's weights, hands the tensors by name to `use` (FP8 with its scales applied), and closes the files. */
export function withOpenWeights<T>(
  folder: string,
  use: (tensors: TensorSource, files: readonly string[]) => T,
  block = blockOf(folder),
): T {
  const files: SafetensorsFile[] = [];
  try {
    for (const file of weightFiles(folder)) files.push(new SafetensorsFile(file));
    const remedy = "Remove the shard that does not belong to this model.";
    const holders = holdersOf(files, () => remedy, DERIVED);
    const scales = takeScales(holders, block);
    const tensors = new Map<string, StoredTensor>();
    for (const [name, file] of holders) {
      const { shape } = file.info(name);
      const size = sizeOf(shape);
      const read: StoredTensor["read"] = (start = 0, count = size, target) => {
        const data = target?.subarray(0, count) ?? new Float32Array(count);
        file.readRange(name, start, data);
        const scale = scales.get(name)?.readFloat32(name + SCALE_SUFFIX);
        if (scale === undefined) return data;
        const columns = shape[1]!;
        applyScales({ shape: [count / columns, columns], data }, scale, block, start / columns);
        return data;
      };
      tensors.set(name, { shape, read });
    }
    const paths = files.map(({ file }) => file);
    return use(tensors, paths);
  } finally {
    for (const file of files) file.close();
  }
}

/**
 * Rows and columns of one scale of DeepSeek-V3's weights in FP8 (arXiv 2412.19437, section 3.3): `X.weight` in E4M3 and
 * `X.weight_scale_inv` with one scale per block of 128 x 128. Despite its name the scale is multiplied: w = fp8 · scale_inv.
 */
export type Block = readonly [number, number];

const V3_BLOCK: Block = [128, 128];
const SCALE_SUFFIX = "_scale_inv";

/**
 * The blocks that `config.json` declares.
 * @throws UserError for quantised weights of another kind (GPTQ, AWQ, bitsandbytes), which would need other code
 */
export function blockSize(file: string, modelConfig: unknown): Block {
  const quantization = (modelConfig as { quantization_config?: Record<string, unknown> | null })
    .quantization_config;
  if (quantization === undefined || quantization === null) return V3_BLOCK;
  const { quant_method: method, weight_block_size: block = V3_BLOCK } = quantization;
  const sizes = Array.isArray(block) ? block : [];
  if (method === "fp8" && sizes.length === 2 && sizes.every((size) => Number.isSafeInteger(size) && size > 0))
    return [sizes[0], sizes[1]];
  throw mismatch(
    file,
    'quantization_config with quant_method "fp8" and blocks such as [128, 128]',
    JSON.stringify(quantization).slice(0, 200),
    "Take the same model in bf16, or as GGUF.",
  );
}

function blockOf(folder: string): Block {
  const file = join(folder, "config.json");
  return blockSize(file, readJson(file, { optional: true }) ?? {});
}

/**
 * Takes the scales out of `holders` and returns their files by the weight's name.
 * @throws UserError for an FP8 weight without scales, or with scales of another shape
 */
function takeScales(holders: Map<string, SafetensorsFile>, block: Block): Map<string, SafetensorsFile> {
  const scales = new Map<string, SafetensorsFile>();
  for (const [name, file] of holders) {
    const { dtype, shape } = file.info(name);
    if (dtype !== "F8_E4M3") continue;
    const holder = holders.get(name + SCALE_SUFFIX);
    const expected = shape.map((size, axis) => Math.ceil(size / block[axis]!));
    const found = holder?.info(name + SCALE_SUFFIX).shape;
    if (holder === undefined || shape.length !== 2 || String(found) !== String(expected))
      throw mismatch(
        tensorIn((holder ?? file).file, name + SCALE_SUFFIX),
        `scales [${expected.join(", ")}] for F8_E4M3 [${shape.join(", ")}] in blocks of ${block.join(" x ")}`,
        found === undefined ? "none" : `[${found.join(", ")}]`,
        "Download every shard of the model, or take it in bf16.",
      );
    scales.set(name, holder);
  }
  for (const name of scales.keys()) holders.delete(name + SCALE_SUFFIX);
  return scales;
}

/** Multiplies each block of rows from `firstRow` on, [rows, columns], by its scale, in place. */
export function applyScales({ shape, data }: Parameter, scales: Parameter, block: Block, firstRow = 0): void {
  const [rows, columns] = shape as [number, number];
  const perRow = scales.shape[1]!;
  for (let row = 0; row < rows; row++) {
    const scaleRow = Math.floor((firstRow + row) / block[0]) * perRow;
    for (let first = 0, i = 0; first < columns; first += block[1], i++) {
      const scale = scales.data[scaleRow + i]!;
      const end = row * columns + Math.min(first + block[1], columns);
      for (let at = row * columns + first; at < end; at++) data[at]! *= scale;
    }
  }
}

/** Elements of the tied pair that are compared at once, at least one row of them. */
const COMPARE_ELEMENTS = 1 << 20;

/**
 * A tied model's tensors, in memory or stored, with one copy of the pair, under the embedding's name.
 * @throws UserError if both are given and differ
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
  const untied = (found: string): Error =>
    mismatch(
      tensorIn(file, HEAD),
      `the values of ${EMBEDDING}, since the config ties the two`,
      found,
      "Set tie_word_embeddings to false to keep both, or delete the one that is not wanted.",
    );
  const { shape } = embedding;
  if (String(head.shape) !== String(shape)) throw untied(`shape [${head.shape.join(", ")}]`);
  // Compared in pieces, so that memory never holds a stored pair.
  const [rows = 1, width = 1] = shape;
  const step = Math.max(1, Math.floor(COMPARE_ELEMENTS / width)) * width;
  for (let start = 0; start < rows * width; start += step) {
    const [own, other] = [head, embedding].map((tensor) => part(tensor, start, step));
    const different = own!.findIndex((value, i) => !Object.is(value, other![i]));
    if (different >= 0) throw untied(`others, first at element ${start + different}`);
  }
  return result;
}

/** At most `count` elements from `start` on. */
function part(tensor: Parameter | StoredTensor, start: number, count: number): Float32Array {
  if ("data" in tensor) return tensor.data.subarray(start, start + count);
  return tensor.read(start, Math.min(count, sizeOf(tensor.shape) - start));
}

/**
 * Compares a model's tensors with the wanted shapes, and drops the second copy of a tied pair.
 * @param searched the files, for messages
 * @param folder of safetensors that an index may list
 * @throws UserError naming tensors that are missing, left over or mis-shaped, and for a tied pair that differs
 */
export function checkedWeights(
  tensors: TensorSource,
  { tied, expected }: { tied: boolean; expected?: Shapes },
  searched: string,
  folder?: string,
): TensorSource {
  if (expected !== undefined) compare(tensors, tied, expected, searched, folder);
  return tied ? withoutTiedHead(searched, tensors) : tensors;
}

function compare(
  tensors: TensorSource,
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
  const remedy =
    "The config does not describe these weights: take both from the same model, with all its files.";
  const missing = [...wanted.keys()].filter((name) => !found.has(name));
  if (missing.length > 0) {
    const lost = folder === undefined ? null : lostTensors(folder, missing);
    const untied = missing.length === 1 && missing[0] === HEAD;
    throw mismatch(
      tensorIn(searched, listed(missing, 5)),
      "it to be stored",
      lost?.found ?? `${found.size} others`,
      lost?.remedy ??
        (untied
          ? "Set tie_word_embeddings to true in config.json if the output matrix is the embedding, or store the matrix."
          : remedy),
    );
  }
  const extra = [...found.keys()].filter((name) => !wanted.has(name));
  if (extra.length > 0)
    throw mismatch(
      tensorIn(searched, listed(extra, 5)),
      `only the ${wanted.size} tensors of the config`,
      `${extra.length} more`,
      remedy,
    );
  for (const [name, shape] of found) {
    const want = wanted.get(name)!;
    if (String(shape) !== String(want))
      throw mismatch(tensorIn(searched, name), `shape [${want.join(", ")}]`, `[${shape.join(", ")}]`, remedy);
  }
}
