/**
 * Rotary positions (Su et al. 2021, arXiv 2104.09864, eq. 15) and the ways to stretch them beyond the trained length,
 * each as transformers computes it: its models are what our logits are compared with.
 */
import { z } from "zod";
import { weight } from "../graph/ops/source.ts";
import type { Graph, Tensor } from "../graph/tensor.ts";
import { count, positive } from "../lib/schema.ts";

const factor = z.number().min(1).describe("How many times longer the sequences are than in training.");
const originalPositions = count.describe("Positions in training.");

/** How rotary positions reach beyond the `originalPositions` of training. */
export const ropeScaling = z.discriminatedUnion("kind", [
  /** All frequencies divided by `factor` (Chen et al. 2023, arXiv 2306.15595); DeepSeek-Coder has factor 4. */
  z.strictObject({ kind: z.literal("linear"), factor }),
  /**
   * A larger base for longer sequences (YaRN, arXiv 2309.00071, section 3.3). A position gets the frequencies of a
   * sequence that ends with it, which is what transformers computes token by token over its cache. Given several tokens
   * at once, transformers rotates every position by the frequencies of the longest row of the batch, so that its own
   * cached and uncached forms differ beyond `originalPositions`; ours are one.
   */
  z.strictObject({ kind: z.literal("dynamic"), factor, originalPositions }),
  /** Llama 3.1: low frequencies divided by `factor`, high ones kept, a blend between. */
  z.strictObject({
    kind: z.literal("llama3"),
    factor,
    originalPositions,
    lowFrequencyFactor: positive
      .default(1)
      .describe("Dimensions with longer wavelengths are scaled in full."),
    highFrequencyFactor: positive.default(4).describe("Dimensions with shorter wavelengths are not scaled."),
  }),
  /** YaRN (arXiv 2309.00071, section 3.2 and eq. 22). */
  z.strictObject({
    kind: z.literal("yarn"),
    factor,
    originalPositions,
    betaFast: positive.default(32).describe("Rotations above which a dimension is not scaled."),
    betaSlow: positive.default(1).describe("Rotations below which a dimension is scaled in full."),
    truncate: z.boolean().optional().describe("Round the bounds of that range to whole dimensions."),
    attentionFactor: positive.optional().describe("Factor of the attention's logits instead of YaRN's."),
    mscale: positive.optional().describe("Factor of YaRN's temperature, numerator."),
    mscaleAllDim: positive.optional().describe("Factor of YaRN's temperature, denominator."),
  }),
]);

export type RopeScaling = z.output<typeof ropeScaling>;

export interface FrequencySettings {
  /** Width of what is rotated. */
  headDim: number;
  ropeTheta: number;
  ropeScaling?: RopeScaling;
}

export interface RotarySettings extends FrequencySettings {
  maxPositions: number;
}

export interface RotaryTables {
  /** cos(position · frequency), [usable positions, headDim/2], and sin likewise. */
  cos: Tensor;
  sin: Tensor;
}

/**
 * Positions that are computed, whatever a config claims: 134 MB of tables at a head width of 128. A cache of so many
 * positions takes 15 GB in a model of 1.5 billion parameters.
 */
export const MOST_POSITIONS = 2 ** 18;

export const usablePositions = (maxPositions: number): number => Math.min(maxPositions, MOST_POSITIONS);

const tablesOf = new WeakMap<Graph, Map<string, RotaryTables>>();

/** Tables of the rotary angles, once a graph; at 131,072 positions they are 67 MB, so they are made when they are written. */
export function rotaryTables(graph: Graph, claimed: RotarySettings): RotaryTables {
  const { headDim, ropeTheta, ropeScaling } = claimed;
  const settings = { headDim, ropeTheta, ropeScaling, maxPositions: usablePositions(claimed.maxPositions) };
  const shape = [settings.maxPositions, headDim / 2];
  const table = (of: "cos" | "sin") =>
    weight(graph, `rotary.${of}`, "f32", shape, {
      length: 4 * shape[0] * shape[1],
      pieces: () => tablePieces(settings, Math[of]),
    });
  const known = tablesOf.get(graph) ?? new Map<string, RotaryTables>();
  tablesOf.set(graph, known);
  const key = JSON.stringify(settings);
  const tables = known.get(key) ?? { cos: table("cos"), sin: table("sin") };
  known.set(key, tables);
  return tables;
}

/** Positions of a table that are made at once. */
const PIECE = 4096;

function* tablePieces(settings: RotarySettings, of: (angle: number) => number): Iterable<Uint8Array> {
  const { maxPositions, headDim, ropeScaling: scaling } = settings;
  const half = headDim / 2;
  const magnitude = scaling?.kind === "yarn" ? yarnAttentionFactor(scaling) : 1;
  const piece = new Float32Array(Math.min(PIECE, maxPositions) * half);
  let frequencies = rotaryFrequencies(settings, 1);
  for (let start = 0; start < maxPositions; start += PIECE) {
    const count = Math.min(PIECE, maxPositions - start);
    for (let row = 0; row < count; row++) {
      const position = start + row;
      if (scaling?.kind === "dynamic" && position >= scaling.originalPositions)
        frequencies = rotaryFrequencies(settings, position + 1);
      for (let i = 0; i < half; i++) piece[row * half + i] = magnitude * of(position * frequencies[i]);
    }
    yield new Uint8Array(piece.buffer, 0, 4 * count * half);
  }
}

/** Radians a position, [headDim/2], in a sequence of `length` tokens (which only "dynamic" asks for). */
export function rotaryFrequencies(
  { headDim, ropeTheta, ropeScaling: scaling }: FrequencySettings,
  length: number,
): number[] {
  const plain = (theta: number): number[] =>
    Array.from({ length: headDim / 2 }, (_, i) => theta ** ((-2 * i) / headDim));
  switch (scaling?.kind) {
    case undefined:
      return plain(ropeTheta);
    case "linear":
      return plain(ropeTheta).map((frequency) => frequency / scaling.factor);
    case "dynamic": {
      const { factor, originalPositions } = scaling;
      const stretch = (factor * Math.max(length, originalPositions)) / originalPositions - (factor - 1);
      return plain(ropeTheta * stretch ** (headDim / (headDim - 2)));
    }
    case "llama3": {
      const { factor, originalPositions, lowFrequencyFactor: low, highFrequencyFactor: high } = scaling;
      return plain(ropeTheta).map((frequency) => {
        const turns = (originalPositions * frequency) / (2 * Math.PI);
        return blend(frequency, frequency / factor, (turns - low) / (high - low));
      });
    }
    case "yarn": {
      const [low, high] = yarnRange(scaling, headDim, ropeTheta);
      return plain(ropeTheta).map((frequency, i) =>
        blend(frequency, frequency / scaling.factor, 1 - (i - low) / (high - low)),
      );
    }
  }
}

/** `kept` at a share of 1 or more, `stretched` at 0 or less, and in proportion between. */
function blend(kept: number, stretched: number, share: number): number {
  const within = Math.min(Math.max(share, 0), 1);
  return within * kept + (1 - within) * stretched;
}

/** The dimensions between which YaRN blends: those that turn `betaFast` and `betaSlow` times in the trained length. */
function yarnRange(
  { betaFast, betaSlow, originalPositions, truncate = true }: RopeScaling & { kind: "yarn" },
  headDim: number,
  theta: number,
): [number, number] {
  const dimension = (turns: number): number =>
    (headDim * Math.log(originalPositions / (2 * Math.PI * turns))) / (2 * Math.log(theta));
  const round = (end: number, rounded: (x: number) => number): number => (truncate ? rounded(end) : end);
  const low = Math.max(round(dimension(betaFast), Math.floor), 0);
  const high = Math.min(round(dimension(betaSlow), Math.ceil), headDim - 1);
  // The reference's way around a division by zero.
  return [low, low === high ? high + 0.001 : high];
}

/** Factor of cos and sin: 0.1 ln(factor) + 1 (eq. 22), or the ratio of two such terms where both weights are given. */
export function yarnAttentionFactor({
  factor,
  attentionFactor,
  mscale,
  mscaleAllDim,
}: RopeScaling & { kind: "yarn" }): number {
  if (attentionFactor !== undefined) return attentionFactor;
  return mscale && mscaleAllDim
    ? yarnMagnitude(factor, mscale) / yarnMagnitude(factor, mscaleAllDim)
    : yarnMagnitude(factor, 1);
}

/** 0.1 · weight · ln(factor) + 1. */
export function yarnMagnitude(factor: number, weight: number): number {
  return factor <= 1 ? 1 : 0.1 * weight * Math.log(factor) + 1;
}
