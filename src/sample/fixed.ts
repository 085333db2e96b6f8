/**
 * Weights that are part of the graph, at a precision of their own: matrices in blocks of 8 or 4 bits, as graphs that
 * ONNX Runtime maps from a file. They are quantised a few rows at a time, so that the f32 model is never in memory.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CheckpointError, systemCode } from "../checkpoint/errors.ts";
import type { StoredTensor, TensorSource } from "../checkpoint/weights.ts";
import { lower } from "../graph/lower.ts";
import type { Quantised } from "../graph/ops/quantised.ts";
import { weight } from "../graph/ops/source.ts";
import { dequantised } from "../graph/ops.ts";
import type { Graph, Tensor } from "../graph/tensor.ts";
import type { ParameterSpec } from "../models/layers.ts";
import { saveModelFile } from "../runtime/model-file.ts";
import { RuntimeError, Session, type SessionOptions } from "../runtime/session.ts";
import {
  allocateCodes,
  BLOCKS,
  type BlockSize,
  bitsOf,
  type Codes,
  type Precision,
  quantise,
} from "./quantise.ts";

/** Elements that are quantised at once. */
const CHUNK = 1 << 20;

/** Whether products alone read it, so that blocks of 32 in a row can stand for it. */
export function isQuantised({ name, shape }: ParameterSpec): boolean {
  // A router chooses experts by small differences; kv_b_proj is cut into parts before it is used (arXiv 2405.04434).
  return shape.length === 2 && shape[1] % BLOCKS[0] === 0 && !/(mlp\.gate|kv_b_proj)\.weight$/.test(name);
}

/**
 * The embedding and the head, often one matrix, stay at 8 bits where the others have 4, as in llama.cpp's files: at 4 bits
 * they alone cost 4 % of perplexity.
 */
export const precisionOf = (name: string, precision: Precision): Precision =>
  precision !== "f32" && /embed_tokens|lm_head/.test(name) ? "int8" : precision;

export interface FixedOptions {
  precision: Precision;
  /** The largest that a row is whole blocks of is taken, this at most; 32, as in GGUF files, unless said. */
  block?: BlockSize;
  /** See `Quantised`; "int8" unless said. */
  activations?: Quantised["activations"];
}

/** The parameters as weights of the graph, read when the graph is saved. */
export function fixedParameters(
  graph: Graph,
  specs: readonly ParameterSpec[],
  source: TensorSource,
  { precision: wanted, block: largest = 32, activations = "int8" }: FixedOptions,
): Map<string, Tensor> {
  return new Map(
    specs.map((spec) => {
      const { name, shape } = spec;
      const precision = precisionOf(name, wanted);
      if (precision === "f32" || !isQuantised(spec))
        return [name, weight(graph, name, "f32", shape, () => bytesOf(tensorOf(source, name).read()))];
      const block = BLOCKS.findLast((size) => size <= largest && shape[1] % size === 0) as BlockSize;
      const make = () => quantiseTensor(tensorOf(source, name), precision, block);
      return [name, quantisedWeight(graph, spec, { precision, block, activations }, make)];
    }),
  );
}

function quantisedWeight(
  graph: Graph,
  { name, shape: [rows, width] }: ParameterSpec,
  { precision, block, activations }: Required<FixedOptions> & { precision: Exclude<Precision, "f32"> },
  make: () => Codes,
): Tensor {
  const bits = bitsOf(precision);
  const perBlock = [rows, width / block];
  // The parts are asked for one after the other, so the last one lets go of all.
  let held: Codes | null = null;
  const codes = (): Codes => {
    held ??= make();
    return held;
  };
  const lastOf = (part: Float32Array): Uint8Array => {
    held = null;
    return bytesOf(part);
  };
  const packed = weight(
    graph,
    `${name}.packed`,
    "u8",
    [...perBlock, (block * bits) / 8],
    () => codes().packed,
  );
  const shifted = precision === "int4-offset";
  const scales = weight(graph, `${name}.scales`, "f32", perBlock, () =>
    shifted ? bytesOf(codes().scales) : lastOf(codes().scales),
  );
  const offsets = shifted
    ? weight(graph, `${name}.offsets`, "f32", perBlock, () => lastOf(codes().offsets as Float32Array))
    : undefined;
  return graph.scopeAt(name, () => dequantised(packed, scales, { bits, activations }, offsets));
}

function quantiseTensor(
  { shape: [rows, width], read }: StoredTensor,
  precision: Exclude<Precision, "f32">,
  block: BlockSize,
): Codes {
  const codes = allocateCodes(rows * width, precision, block);
  const step = Math.max(1, Math.floor(CHUNK / width)) * width;
  for (let start = 0; start < rows * width; start += step)
    quantise(read(start, Math.min(step, rows * width - start)), precision, codes, start / block);
  return codes;
}

function tensorOf(source: TensorSource, name: string): StoredTensor {
  const tensor = source.get(name);
  if (tensor === undefined) throw new RuntimeError(`there is no weight "${name}" in the model`);
  return tensor;
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

/** Saves the graph beside its weights and maps both; on disk they stay as long as the session at most. */
export function openFixed(graph: Graph, options: SessionOptions): Promise<Session> {
  const folder = mkdtempSync(join(tmpdir(), "sputnik-model-"));
  const remove = () => rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  try {
    saveModelFile(lower(graph, options), join(folder, "model.onnx"));
  } catch (error) {
    remove();
    if (systemCode(error) !== "ENOSPC") throw error;
    throw new CheckpointError({
      ...{
        file: folder,
        expected: "room for the weights while they run",
        found: "a full disk",
        cause: error,
      },
      remedy: "Free some space there, or name a folder on another disk in TMPDIR.",
    });
  }
  // An open mapping outlives the file's name (on Windows the name stays until the temporary folder is cleaned).
  return Session.load(join(folder, "model.onnx"), options).finally(() => {
    try {
      remove();
    } catch {
      // Still mapped.
    }
  });
}
