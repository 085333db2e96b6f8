import type { DecoderConfig } from "../../src/models/config.ts";

/** 94 million parameters, 377 MB in f32. */
export const config: DecoderConfig = {
  vocabSize: 24_000,
  layers: 6,
  width: 1024,
  heads: 8,
  kvHeads: 4,
  headDim: 128,
  ffn: 2816,
  maxPositions: 64,
  ropeTheta: 10_000,
  normEps: 1e-6,
  tieEmbeddings: true,
};
