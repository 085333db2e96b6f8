/** A V3 of a few thousand parameters with lively weights. */

import { Random } from "../../src/lib/random.ts";
import { allParameters, modelOf } from "../../src/models/architectures.ts";
import { countParameters, initialise } from "../../src/models/layers.ts";
import type { V3Config } from "../../src/models/v3-config.ts";
import type { HostValue } from "../../src/runtime/session.ts";

export const tinyV3: V3Config = {
  architecture: "deepseek_v3",
  vocabSize: 29,
  layers: 2,
  hiddenSize: 16,
  heads: 2,
  queryLoraRank: 12,
  kvLoraRank: 10,
  nopeDim: 6,
  ropeDim: 4,
  valueDim: 8,
  intermediateSize: 24,
  denseLayers: 1,
  moeIntermediateSize: 6,
  experts: 8,
  activeExperts: 2,
  sharedExperts: 1,
  groups: 4,
  activeGroups: 2,
  normaliseWeights: true,
  routedScale: 2.5,
  maxPositions: 64,
  ropeTheta: 50,
  yarn: { factor: 4, originalPositions: 16, betaFast: 32, betaSlow: 1, mscale: 1, mscaleAllDim: 1 },
  normEps: 1e-6,
  mtpLayers: 1,
  tieEmbeddings: false,
};

/** Parameters that one token uses (a token reads one row of the embedding, which counts in full). */
export function activeParameters(config: V3Config): number {
  const idle = (config.experts - config.activeExperts) * 3 * config.hiddenSize * config.moeIntermediateSize;
  return countParameters(modelOf(config).parameters) - idle * (config.layers - config.denseLayers);
}

/** Far from a fresh initialisation: matrices N(0, 0.3²), norms near 1, biases of routers around -0.6. */
export function livelyV3(config: V3Config, seed: number): Map<string, HostValue> {
  const specs = allParameters(config);
  const parameters = initialise(specs, seed);
  for (const { name, init, role } of specs) {
    const { data } = parameters.get(name) as HostValue;
    const random = new Random(seed, "lively", name);
    for (let i = 0; i < data.length; i++)
      (data as Float32Array)[i] =
        (role === "routerBias" ? -0.6 : init === "ones" ? 1 : 0) + 0.3 * random.normal();
  }
  return parameters;
}
