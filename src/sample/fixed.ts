/**
 * Weights that are part of the graph, at a precision of their own: matrices in blocks of 8 or 4 bits, as graphs that
 * ONNX Runtime maps from a file. They are quantised a few rows at a time, so that the f32 model is never in memory.
 */
import { statfsSync } from "node:fs";
import { join } from "node:path";
import type { TensorSource } from "../checkpoint/weights.ts";
import type { Quantised } from "../graph/ops/quantised.ts";
import { weight } from "../graph/ops/source.ts";
import { dequantised } from "../graph/ops.ts";
import type { Graph, Tensor } from "../graph/tensor.ts";
import { systemCode, UserError } from "../lib/errors.ts";
import { scratchFolder } from "../lib/scratch.ts";
import type { ParameterRole, ParameterSpec } from "../models/layers.ts";
import type { Engine } from "../runtime/engine.ts";
import { modelFileBytes, saveModelFile } from "../runtime/model-file.ts";
import type { Session } from "../runtime/session.ts";
import { BLOCKS, type BlockSize, bitsOf, type Precision, type Rounding } from "./quantise.ts";
import { type CodedBytes, WeightReader } from "./weight-bytes.ts";

export interface FixedOptions {
  precision: Precision;
  /** Numbers that share a scale, at most: the largest block that rows are whole ones of is taken. See `BLOCK`. */
  block?: BlockSize;
  /** See `Quantised`; "int8" unless said. */
  activations?: Quantised["activations"];
}

/** Whether the smallest noise in a sum may become a step of a rounded activation, so that sums must be the same to the bit. */
export const isExact = ({ precision, activations = "int8" }: FixedOptions): boolean =>
  precision !== "f32" && activations !== "f32";

/**
 * Blocks unless said. ONNX Runtime holds a scale three times, 12 bytes: for a block of 32 that is 3/4 of its 4-bit codes.
 * At 8 bits blocks of 128 round as well as those of 32; at 4 bits they cost 7 % of perplexity, see `EIGHT_BITS`.
 */
const BLOCK: Record<Rounding["precision"], BlockSize> = { int8: 128, int4: 128, "int4-offset": 32 };

/**
 * What has 8 bits where the rest has 4, as in llama.cpp's files: the embedding and the head, often one matrix, which cost
 * 4 % of perplexity at 4 bits, and with int4 the keys and values that several heads share, 5 % for a fiftieth of the
 * weights of a model of 1.5 billion.
 */
const EIGHT_BITS: Record<"int4" | "int4-offset", readonly ParameterRole[]> = {
  int4: ["embedding", "head", "kvProjection"],
  "int4-offset": ["embedding", "head"],
};

/** How a parameter is rounded; null: it stays f32. */
export function roundingOf(
  { role, shape }: Pick<ParameterSpec, "role" | "shape">,
  options: Pick<FixedOptions, "precision" | "block">,
): Rounding | null {
  // Only products read coded weights, and a kvUpProjection is cut into parts first (arXiv 2405.04434); a router chooses
  // experts by small differences.
  const plain = role === "router" || role === "kvUpProjection" || shape.length !== 2;
  if (options.precision === "f32" || plain) return null;
  const precision =
    options.precision !== "int8" && EIGHT_BITS[options.precision].includes(role) ? "int8" : options.precision;
  const most = options.block ?? BLOCK[precision];
  const block = BLOCKS.findLast((size) => size <= most && shape[1] % size === 0);
  return block === undefined ? null : { precision, block };
}

/** The parameters as weights of the graph, read when the graph is saved. */
export function fixedParameters(
  graph: Graph,
  specs: readonly ParameterSpec[],
  source: TensorSource,
  { activations = "int8", ...options }: FixedOptions,
): Map<string, Tensor> {
  const weights = new WeightReader(source);
  return new Map(
    specs.map((spec) => {
      const { name, shape } = spec;
      const rounding = roundingOf(spec, options);
      if (rounding === null) return [name, weight(graph, name, "f32", shape, weights.plain(name))];
      const bytes = weights.coded(name, rounding);
      const attrs = { bits: bitsOf(rounding.precision), activations };
      return [name, codedWeight(graph, spec, bytes, rounding.block, attrs)];
    }),
  );
}

function codedWeight(
  graph: Graph,
  { name, shape: [rows, width] }: ParameterSpec,
  bytes: CodedBytes,
  block: BlockSize,
  attrs: Quantised,
): Tensor {
  const perBlock = [rows, width / block];
  const packed = weight(graph, `${name}.packed`, "u8", [...perBlock, (block * attrs.bits) / 8], bytes.packed);
  const scales = weight(graph, `${name}.scales`, "f32", perBlock, bytes.scales);
  const offsets = bytes.offsets && weight(graph, `${name}.offsets`, "f32", perBlock, bytes.offsets);
  return graph.scopeAt(name, () => dequantised(packed, scales, attrs, offsets));
}

/** Saves the graph beside its weights and maps both; on disk they stay as long as the session at most. */
export function openFixed(graph: Graph, engine: Engine): Promise<Session> {
  const { path: folder, remove } = scratchFolder("model");
  const full = (found: string, cause?: unknown): UserError =>
    new UserError({
      ...{ kind: "checkpoint", where: folder, expected: "room for the weights while they run", found, cause },
      remedy: "Free some space there, or name a folder on another disk in TMPDIR.",
    });
  try {
    const lowered = engine.lower(graph, "model");
    const [needed, free] = [modelFileBytes(lowered), room(folder)];
    if (needed > free) throw full(`${giga(free)}, where ${giga(needed)} are needed`);
    saveModelFile(lowered, join(folder, "model.onnx"));
  } catch (error) {
    remove();
    throw systemCode(error) === "ENOSPC" ? full("a full disk", error) : error;
  }
  // An open mapping outlives the file's name (on Windows the name stays until the temporary folder is cleaned).
  return engine.load(join(folder, "model.onnx")).finally(() => {
    try {
      remove();
    } catch {
      // Still mapped.
    }
  });
}

const giga = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;

function room(folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}
