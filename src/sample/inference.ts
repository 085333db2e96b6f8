/** A model opened to answer: one that does not change, with its weights in the graph at a precision of their own. */
import type { LoadedShape, ModelShape } from "../checkpoint/folder.ts";
import { isGguf, readShape, withModel } from "../checkpoint/model.ts";
import { allParameters, isV3, type ModelConfig } from "../models/architectures.ts";
import { countParameters } from "../models/layers.ts";
import { usablePositions } from "../models/rope.ts";
import { threadCount } from "../runtime/device.ts";
import { Engine } from "../runtime/engine.ts";
import { type FixedSampler, type Generate, Sampler } from "./engine.ts";
import type { Precision } from "./quantise.ts";
import { SpeculativeSampler } from "./speculative.ts";

/** A model, and what samples from it. */
export interface InferenceModel extends ModelShape {
  generate: Generate;
}

export interface InferenceOptions {
  /** Of the weights while they run; f32 unless said. */
  precision?: Precision;
  /** One with as many threads as a model of its size makes use of, unless given. */
  engine?: Engine;
  /** For many sequences at once; one after another is decoded with drafts, where the model has a module for them. */
  batched?: boolean;
}

/**
 * Opens a folder or a GGUF file. The weights go from there into the graph one by one: the f32 model is never in memory as
 * a whole, but as the engine keeps it at "f32".
 * @throws what `withModel` throws
 */
export async function openForInference(
  path: string,
  { precision = "f32", engine, batched = false }: InferenceOptions = {},
): Promise<LoadedShape & FixedSampler> {
  const { shape, opening } = withModel(path, (stored, weights) => {
    const shape = usable(stored);
    const { config } = shape;
    const options = {
      precision,
      // The blocks of a GGUF file come back code by code.
      block: isGguf(path) ? (32 as const) : undefined,
    };
    const chosen = engine ?? new Engine({ threads: usefulThreads(config, batched ? ROWS : 1) });
    const opening: Promise<FixedSampler> =
      isV3(config) && !batched
        ? SpeculativeSampler.create(config, weights, chosen, options)
        : Sampler.fixed(config, weights, chosen, options);
    return { shape, opening };
  });
  const sampler = await opening;
  return {
    ...shape,
    generate: (requests, options) => sampler.generate(requests, options),
    release: () => sampler.release(),
  };
}

/** What `openForInference` says of a model, without its weights. */
export const shapeForInference = (path: string): LoadedShape => usable(readShape(path));

function usable(stored: LoadedShape): LoadedShape {
  const config: ModelConfig = {
    ...stored.config,
    maxPositions: usablePositions(stored.config.maxPositions),
  };
  return { ...stored, config };
}

/** Rows of a batch where many sequences wait. */
const ROWS = 128;

/**
 * Parameters times rows below which one thread computes. Alone on two cores, a second thread decodes one row 3 % slower at
 * 1 million parameters (f32), 24 % faster at 3, 50 % at 15; at int8, 13 % slower at 3 and 18 % faster at 15. Beside another
 * process that keeps the cores busy, as a training run does, it takes a small model 2 to 4 times as long.
 */
const SMALL = 10e6;

/** Threads that a step over `rows` rows makes use of. */
export function usefulThreads(config: ModelConfig, rows: number): number {
  return countParameters(allParameters(config)) * rows < SMALL ? 1 : threadCount();
}
