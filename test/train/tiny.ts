/** A decoder of a few hundred parameters, and what goes with it. */

import { Random } from "../../src/lib/random.ts";
import { allParameters } from "../../src/models/architectures.ts";
import type { DecoderConfig } from "../../src/models/config.ts";
import { initialise } from "../../src/models/layers.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { allocate, type HostValue, host, type Value } from "../../src/runtime/session.ts";
import type { Optimizer } from "../../src/train/optimizer.ts";
import type { GrpoOptions } from "../../src/train/options.ts";
import type { StageContext } from "../../src/train/stage.ts";
import type { Feeds, Rates, TrainStep } from "../../src/train/step.ts";

export const tinyConfig: DecoderConfig = {
  vocabSize: 29,
  layers: 2,
  hiddenSize: 16,
  heads: 4,
  kvHeads: 2,
  headDim: 4,
  intermediateSize: 24,
  maxPositions: 64,
  ropeTheta: 10000,
  normEps: 1e-6,
  tieEmbeddings: false,
};

/** Far from a fresh initialisation: every matrix is N(0, 0.3²), every norm near 1, so that no term is negligible. */
export function livelyParameters(config: DecoderConfig, seed: number, scale = 0.3): Map<string, HostValue> {
  const parameters = initialise(allParameters(config), seed);
  for (const [name, { data, shape }] of parameters) {
    const random = new Random(seed, "lively", name);
    for (let i = 0; i < data.length; i++)
      (data as Float32Array)[i] = (shape.length === 1 ? 1 : 0) + scale * random.normal();
  }
  return parameters;
}

export function copyValues(values: ReadonlyMap<string, Value>): Map<string, HostValue> {
  return new Map(
    [...values].map(([name, value]) => {
      const copy = allocate(value.dtype, value.shape);
      (copy.data as Float32Array).set(host(value).data as Float32Array);
      return [name, copy];
    }),
  );
}

/** Names of the tensors that are not equal bit for bit (0 and -0 apart), and of those that only one side has. */
export function differing(a: ReadonlyMap<string, Value>, b: ReadonlyMap<string, Value>): string[] {
  const equal = (name: string): boolean => {
    const [x, y] = [a.get(name), b.get(name)];
    return (
      x !== undefined &&
      y !== undefined &&
      furthest(host(x).data as Float32Array, host(y).data as Float32Array) === 0
    );
  };
  return [...new Set([...a.keys(), ...b.keys()])].filter((name) => !equal(name));
}

export const adamW = {
  kind: "adamw",
  lr: 3e-3,
  betas: [0.9, 0.95],
  epsilon: 1e-8,
  weightDecay: 0.1,
  clip: 1,
} satisfies Optimizer as Extract<Optimizer, { kind: "adamw" }>;
export const muon: Extract<Optimizer, { kind: "muon" }> = {
  ...adamW,
  ...{ kind: "muon", lr: 1e-2, adamLr: 2e-3, momentum: 0.95 },
};

/** The largest |a - b|, with a length check. */
export function furthest(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  let most = 0;
  for (let i = 0; i < a.length; i++) {
    const distance = Math.abs(a[i] - b[i]);
    if (!(distance <= most)) most = distance;
  }
  return most;
}

/** One update from one batch: what it measured, its norm among it. */
export async function updateBy(
  step: TrainStep,
  feeds: Feeds,
  rates: Rates,
): Promise<Readonly<Record<string, number>>> {
  const { norm, measured } = await step.update([feeds], rates);
  return { ...measured[0].scalars, norm };
}

/** Three groups of four short completions a step, on a fixed rate. */
export const tinyGrpo: GrpoOptions = {
  kind: "grpo",
  microBatchTokens: 4096,
  sharedPrefix: false,
  recompute: false,
  maxBatch: 128,
  steps: 8,
  problemsPerStep: 3,
  groupSize: 4,
  maxNewTokens: 10,
  temperature: 0.7,
  rewards: { accuracy: 1, format: 0 },
  advantage: "grpo",
  ratio: "token",
  aggregation: "token-mean",
  aggregationLength: 10,
  clip: { low: 0.2, high: 0.28 },
  kl: 0,
  referenceEvery: 0,
  epochs: 1,
  miniBatches: 1,
  optimizer: { ...adamW, lr: 3e-3, weightDecay: 0 },
  schedule: { kind: "constant", warmup: 0 },
};
export const tinyContext: StageContext = { seed: 5, engine: new Engine({ threads: 1 }) };
