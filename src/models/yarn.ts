/** Rotary angles of DeepSeek-V3, with or without YaRN (Peng et al. 2023, arXiv 2309.00071, sections 3.2 to 3.4). */
import { constant } from "../graph/ops/source.ts";
import type { Graph } from "../graph/tensor.ts";
import type { RotaryTables } from "./rope.ts";
import type { V3Config, Yarn } from "./v3-config.ts";

/** 0.1 · mscale · ln(factor) + 1. */
function magnitude(factor: number, mscale: number): number {
  return factor <= 1 ? 1 : 0.1 * mscale * Math.log(factor) + 1;
}

/** What the softmax scale of attention is multiplied by (DeepSeek applies the magnitude to queries and keys alike). */
export function scoreFactor(yarn: Yarn | null): number {
  return yarn === null || yarn.mscaleAllDim === 0 ? 1 : magnitude(yarn.factor, yarn.mscaleAllDim) ** 2;
}

/** What cosine and sine are multiplied by: 1 where both magnitudes are equal, as in V3. */
export function tableFactor(yarn: Yarn | null): number {
  if (yarn === null) return 1;
  return yarn.mscale !== 0 && yarn.mscaleAllDim !== 0
    ? magnitude(yarn.factor, yarn.mscale) / magnitude(yarn.factor, yarn.mscaleAllDim)
    : magnitude(yarn.factor, 1);
}

/**
 * Angle of one position for each pair: theta^(-2i/dim). With YaRN fast pairs keep it, slow pairs are slowed down by the
 * factor, and a linear ramp lies between the two: from the pair that turns `betaFast` times over the original positions
 * to the one that turns `betaSlow` times.
 */
export function rotaryFrequencies(dim: number, theta: number, yarn: Yarn | null): number[] {
  const plain = Array.from({ length: dim / 2 }, (_, i) => theta ** ((-2 * i) / dim));
  if (yarn === null) return plain;
  /** The pair that turns `rotations` times. */
  const pair = (rotations: number) =>
    (dim * Math.log(yarn.originalPositions / (rotations * 2 * Math.PI))) / (2 * Math.log(theta));
  const low = Math.max(Math.floor(pair(yarn.betaFast)), 0);
  const high = Math.min(Math.ceil(pair(yarn.betaSlow)), dim - 1);
  // Both ends may fall on one pair; the ramp is then a step.
  const span = high === low ? 0.001 : high - low;
  return plain.map((frequency, i) => {
    const ramp = Math.min(Math.max((i - low) / span, 0), 1);
    return frequency * (1 - ramp) + (frequency / yarn.factor) * ramp;
  });
}

/** Cosines and sines of all positions as constants, [maxPositions, ropeDim / 2]. */
export function v3RotaryTables(graph: Graph, config: V3Config): RotaryTables {
  const { maxPositions, ropeDim, ropeTheta, yarn } = config;
  const frequencies = rotaryFrequencies(ropeDim, ropeTheta, yarn);
  const factor = tableFactor(yarn);
  const table = (f: (angle: number) => number): Float32Array => {
    const data = new Float32Array(maxPositions * frequencies.length);
    for (let position = 0, at = 0; position < maxPositions; position++)
      for (const frequency of frequencies) data[at++] = factor * f(position * frequency);
    return data;
  };
  const shape = [maxPositions, ropeDim / 2];
  return {
    cos: graph.scopeAt("rotary.cos", () => constant(graph, table(Math.cos), shape)),
    sin: graph.scopeAt("rotary.sin", () => constant(graph, table(Math.sin), shape)),
  };
}
