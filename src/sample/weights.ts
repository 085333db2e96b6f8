/**
 * How a sampler's graphs get the model's weights: as inputs at each call, or baked in. Baked weights are constants of the
 * graph, in f32 or in blocks of 8 or 4 bits, which ONNX Runtime maps from a file. They are quantised a few rows at a time,
 * so that the f32 model is never in memory.
 */
import { statfsSync } from "node:fs";
import { join } from "node:path";
import { BLOCKS, type BlockSize, bitsOf, type Precision, type Rounding } from "../checkpoint/quantise.ts";
import { type CodedBytes, WeightReader } from "../checkpoint/weight-bytes.ts";
import type { TensorSource } from "../checkpoint/weights.ts";
import type { Quantised } from "../graph/ops/quantised.ts";
import { weight } from "../graph/ops/source.ts";
import { dequantised } from "../graph/ops.ts";
import type { Graph, Tensor } from "../graph/tensor.ts";
import { systemCode, UserError } from "../lib/errors.ts";
import { scratchFolder } from "../lib/scratch.ts";
import {
  type ParameterMaker,
  type ParameterRole,
  type ParameterSpec,
  parameterInputs,
} from "../models/layers.ts";
import type { Engine } from "../runtime/engine.ts";
import { modelFileBytes, saveModelFile } from "../runtime/model-file.ts";
import type { Session } from "../runtime/session.ts";

export interface BakedOptions {
  precision: Precision;
  /** Numbers that share a scale, at most: the largest block size that divides a row is used. Default: `BLOCK`. */
  block?: BlockSize;
  /** See `Quantised`; default "int8". */
  activations?: Quantised["activations"];
}

export type Weights = { kind: "perCall" } | ({ kind: "baked"; source: TensorSource } & BakedOptions);

/** Fed at each call, since training changes them. */
export const perCall: Weights = { kind: "perCall" };

/** Constants of the graph, at a precision. */
export const baked = (source: TensorSource, options: BakedOptions): Weights => ({
  ...options,
  kind: "baked",
  source,
});

/** Whether activations are rounded: then the smallest difference in a sum may become a step, and sums must be equal bit for bit. */
export const roundsActivations = (weights: Weights): boolean =>
  weights.kind === "baked" && weights.precision !== "f32" && weights.activations !== "f32";

/** What gives a graph its parameters. */
export const parametersOf = (weights: Weights): ParameterMaker =>
  weights.kind === "perCall"
    ? parameterInputs
    : (graph, specs) => bakedParameters(graph, specs, weights.source, weights);

/** Makes a session of a graph. Baked weights are read before this returns its promise, so their file may be closed at once. */
export const openSession = (
  graph: Graph,
  name: string,
  engine: Engine,
  weights: Weights,
): Promise<Session> => (weights.kind === "perCall" ? engine.session(graph, name) : openBaked(graph, engine));

/**
 * Default block sizes. ONNX Runtime holds a scale three times, 12 bytes: for a block of 32 that is 3/4 of its 4-bit codes.
 * At 8 bits, blocks of 128 round as well as those of 32; at 4 bits they cost 7 % of perplexity, see `EIGHT_BITS`.
 */
const BLOCK: Record<Rounding["precision"], BlockSize> = { int8: 128, int4: 128, "int4-offset": 32 };

/**
 * What keeps 8 bits where other matrices get 4, as in llama.cpp's files: the embedding and the head, often one matrix, which
 * cost 4 % of perplexity at 4 bits, and with int4 the keys and values that several heads share, which cost 5 % for a
 * fiftieth of the weights of a model of 1.5 billion.
 */
const EIGHT_BITS: Record<"int4" | "int4-offset", readonly ParameterRole[]> = {
  int4: ["embedding", "head", "kvProjection"],
  "int4-offset": ["embedding", "head"],
};

/** How a parameter is rounded; `null` where it stays f32. */
export function roundingOf(
  { role, shape }: Pick<ParameterSpec, "role" | "shape">,
  options: Pick<BakedOptions, "precision" | "block">,
): Rounding | null {
  // Only a product can read coded weights, and a kvUpProjection is split before it is used (arXiv 2405.04434). A router
  // chooses experts by small differences.
  const plain = role === "router" || role === "kvUpProjection" || shape.length !== 2;
  if (options.precision === "f32" || plain) return null;
  const precision =
    options.precision !== "int8" && EIGHT_BITS[options.precision].includes(role) ? "int8" : options.precision;
  const most = options.block ?? BLOCK[precision];
  const block = BLOCKS.findLast((size) => size <= most && shape[1] % size === 0);
  return block === undefined ? null : { precision, block };
}

/** The parameters as constants of the graph, which are read when the graph is saved. */
export function bakedParameters(
  graph: Graph,
  specs: readonly ParameterSpec[],
  source: TensorSource,
  { activations = "int8", ...options }: BakedOptions,
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

/** Saves the graph and its weights, and maps both. The files are deleted at once, and at the latest with the session. */
export function openBaked(graph: Graph, engine: Engine): Promise<Session> {
  const { path: folder, remove } = scratchFolder("model");
  const full = (found: string, cause?: unknown): UserError =>
    new UserError({
      ...{
        kind: "checkpoint",
        where: folder,
        expected: "space for the weights while they run",
        found,
        cause,
      },
      remedy: "Free some space there, or name a folder on another disk in TMPDIR.",
    });
  try {
    const lowered = engine.lower(graph, "model");
    const [needed, free] = [modelFileBytes(lowered), freeBytes(folder)];
    if (needed > free) throw full(`${giga(free)}, where ${giga(needed)} are needed`);
    saveModelFile(lowered, join(folder, "model.onnx"));
  } catch (error) {
    remove();
    throw systemCode(error) === "ENOSPC" ? full("a full disk", error) : error;
  }
  // A mapping outlives the file's name (on Windows the name stays until the temporary folder is cleaned).
  return engine.load(join(folder, "model.onnx")).finally(() => {
    try {
      remove();
    } catch {
      // It is still mapped.
    }
  });
}

const giga = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;

function freeBytes(folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}
