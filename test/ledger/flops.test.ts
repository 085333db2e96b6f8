/** FLOPs counted from the graphs against closed forms: 6 N for a trained token, 2 N for a read one, and attention (pitfall G5). */

import { expect, it } from "vitest";
import { countFlops } from "../../src/graph/analyse.ts";
import { allParameters } from "../../src/models/architectures.ts";
import { countParameters } from "../../src/models/layers.ts";
import { traceDecode } from "../../src/sample/graphs.ts";
import { trainedOn } from "../../src/train/language-model-stage.ts";
import { traceAccumulation } from "../../src/train/step.ts";
import { activeParameters, tinyV3 } from "../models/v3-tiny.ts";
import { tinyConfig } from "../train/tiny.ts";

const [VOCABULARY, WIDTH, LAYERS, HEADS, SEQUENCE] = [1000, 256, 4, 4, 256];
const dense = {
  ...tinyConfig,
  ...{
    vocabSize: VOCABULARY,
    layers: LAYERS,
    hiddenSize: WIDTH,
    heads: HEADS,
    kvHeads: 2,
    headDim: 64,
    intermediateSize: 704,
    maxPositions: 512,
  },
};
const perToken = (config: Parameters<typeof trainedOn>[0]): number => {
  const options = {
    batch: 4,
    sequence: SEQUENCE,
    documentMask: false,
    recompute: false,
    v3: { mtpFactor: 0, balanceFactor: 0 },
  };
  const { specs, loss } = trainedOn(config, options);
  return countFlops(traceAccumulation(specs, loss)).total / (4 * SEQUENCE);
};

it("a dense decoder: 6 N + 12 L d T, embeddings left out", () => {
  const parameters = countParameters(allParameters(dense)) - VOCABULARY * WIDTH;
  const expected = 6 * parameters + 12 * LAYERS * WIDTH * SEQUENCE;
  // Norms, softmax and activations are a few hundredths beside the products.
  expect(perToken(dense) / expected).toBeGreaterThan(0.97);
  expect(perToken(dense) / expected).toBeLessThan(1.06);
  const past = 128;
  const decoded = countFlops(traceDecode(dense), { batch: 8, past, seq: 1 }).total / 8;
  expect(decoded / (2 * parameters + 4 * LAYERS * WIDTH * (past + 1))).toBeGreaterThan(0.97);
  expect(decoded / (2 * parameters + 4 * LAYERS * WIDTH * (past + 1))).toBeLessThan(1.06);
});

it("a small mixture of experts: active parameters, not all of them", () => {
  const config = {
    ...tinyV3,
    ...{
      vocabSize: VOCABULARY,
      layers: LAYERS,
      hiddenSize: WIDTH,
      heads: HEADS,
      queryLoraRank: 96,
      kvLoraRank: 64,
      nopeDim: 32,
      ropeDim: 16,
    },
    ...{
      valueDim: 32,
      intermediateSize: 704,
      denseLayers: 1,
      moeIntermediateSize: 128,
      experts: 16,
      activeExperts: 2,
      sharedExperts: 1,
    },
    ...{ groups: 4, activeGroups: 2, maxPositions: 512, mtpLayers: 0 },
  };
  const active = activeParameters(config) - VOCABULARY * WIDTH;
  // Scores over 48 and values over 32 numbers of each head, in three passes.
  const attention = 6 * LAYERS * HEADS * (48 + 32) * SEQUENCE;
  expect(perToken(config) / (6 * active + attention)).toBeGreaterThan(0.95);
  expect(perToken(config) / (6 * active + attention)).toBeLessThan(1.1);
});
