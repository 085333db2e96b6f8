import { bitsOf } from "../../src/checkpoint/quantise.ts";
import type { DecoderConfig } from "../../src/models/config.ts";
import type { ParameterSpec } from "../../src/models/layers.ts";
import { type BakedOptions, roundingOf } from "../../src/sample/weights.ts";

/** 238 million parameters, 952 MB in f32. */
export const config: DecoderConfig = {
  vocabSize: 48_000,
  layers: 16,
  hiddenSize: 1024,
  heads: 8,
  kvHeads: 4,
  headDim: 128,
  intermediateSize: 2816,
  maxPositions: 64,
  ropeTheta: 10_000,
  normEps: 1e-6,
  tieEmbeddings: true,
};

/** Bytes of the weights as they run, each once: codes, scales and offsets, and what stays f32. */
export function weightBytes(
  specs: readonly ParameterSpec[],
  options: Pick<BakedOptions, "precision" | "block">,
): number {
  return specs.reduce((total, spec) => {
    const elements = spec.shape.reduce((size, dim) => size * dim, 1);
    const rounding = roundingOf(spec, options);
    if (rounding === null) return total + 4 * elements;
    const { precision, block } = rounding;
    const perBlock = precision === "int4-offset" ? 8 : 4;
    return total + (elements * bitsOf(precision)) / 8 + (elements / block) * perBlock;
  }, 0);
}
