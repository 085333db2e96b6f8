/** A model opened for inference: its weights do not change, and are baked into the graph at a precision. */
import type { LoadedShape, ModelShape } from "../checkpoint/folder.ts";
import { isGguf } from "../checkpoint/gguf/file.ts";
import { readShape, withModel } from "../checkpoint/model.ts";
import type { Precision } from "../checkpoint/quantise.ts";
import { allParameters, type ModelConfig, modelOf } from "../models/architectures.ts";
import { countParameters } from "../models/layers.ts";
import { usablePositions } from "../models/rope.ts";
import { threadCount } from "../runtime/device.ts";
import { Engine } from "../runtime/engine.ts";
import { MTP_DRAFTS } from "./drafter.ts";
import { type Generate, MAX_BATCH } from "./requests.ts";
import { Sampler } from "./sampler.ts";
import { baked } from "./weights.ts";

/** A model and a function that samples from it. */
export interface InferenceModel extends ModelShape {
  generate: Generate;
}

/** An inference session of a stored model. */
export interface InferenceSession extends LoadedShape {
  generate: Generate;
  /** Frees its memory. Nothing may be generated afterwards. */
  release(): Promise<void>;
}

/** How a model is opened to be sampled from. */
export interface InferenceOptions {
  /** Precision of the weights in memory; default f32. */
  precision?: Precision;
  /** Default: an engine with as many threads as a model of this size makes use of. */
  engine?: Engine;
  /** Many sequences are decoded at once. Otherwise the model's MTP module, where there is one, drafts tokens for one sequence. */
  batched?: boolean;
}

/**
 * Opens a folder or a GGUF file. The weights are written into the graph one by one, so that they are never in memory twice.
 * @throws what `withModel` throws
 */
export async function openForInference(
  path: string,
  { precision = "f32", engine, batched = false }: InferenceOptions = {},
): Promise<InferenceSession> {
  const { shape, opening } = withModel(path, (stored, weights) => {
    const shape = usable(stored);
    const { config } = shape;
    // With blocks of 32, the codes of a GGUF file come back as they were.
    const source = baked(weights, { precision, block: isGguf(path) ? 32 : undefined });
    const drafts = batched || modelOf(config).mtp === null ? 0 : MTP_DRAFTS;
    const chosen = engine ?? new Engine({ threads: usefulThreads(config, batched ? MAX_BATCH : 1) });
    return { shape, opening: Sampler.create(config, chosen, { weights: source, drafts }) };
  });
  const sampler = await opening;
  return {
    ...shape,
    generate: (requests, options) => sampler.generate(requests, options),
    release: () => sampler.release(),
  };
}

/** The shape of the model that `openForInference` opens, without its weights. */
export const shapeForInference = (path: string): LoadedShape => usable(readShape(path));

function usable(stored: LoadedShape): LoadedShape {
  const config: ModelConfig = {
    ...stored.config,
    maxPositions: usablePositions(stored.config.maxPositions),
  };
  return { ...stored, config };
}

/**
 * Parameters times rows below which one thread computes. On two idle cores, a second thread decodes one row 3 % slower at
 * 1 million parameters (f32), 24 % faster at 3 and 50 % faster at 15; at int8, 13 % slower at 3 and 18 % faster at 15. If
 * another process, such as a training run, keeps the cores busy, a second thread makes a small model 2 to 4 times slower.
 */
const SMALL = 10e6;

/** Threads that a step over `rows` rows makes use of. */
export function usefulThreads(config: ModelConfig, rows: number): number {
  return countParameters(allParameters(config)) * rows < SMALL ? 1 : threadCount();
}
