import type { DecoderConfig } from "../../src/models/config.ts";

/** The default recipe's model. */
export const shippedShape: DecoderConfig = {
  vocabSize: 29,
  layers: 4,
  hiddenSize: 128,
  heads: 4,
  kvHeads: 4,
  headDim: 32,
  intermediateSize: 344,
  maxPositions: 512,
  ropeTheta: 10000,
  normEps: 1e-6,
  tieEmbeddings: false,
};
