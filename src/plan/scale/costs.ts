/** From FLOPs to hours, dollars and energy: each formula with its source and its constants. */
import type { ModelCounts, TokenFlops } from "./counts.ts";
import type { Gpu } from "./gpus.ts";

/**
 * What counts as the work of a training token: six times the active parameters (Kaplan et al. 2020, arXiv 2001.08361, section 2.1);
 * or three times the forward pass's products, attention over the tokens before (causal) or over the full square; each also
 * with the MTP module.
 */
export const NUMERATORS = ["6nd", "causal", "full", "causal+mtp", "full+mtp"] as const;
export type Numerator = (typeof NUMERATORS)[number];

/** MFU: FLOPs by this numerator over the peak (Chowdhery et al. 2022, arXiv 2204.02311, appendix B). */
export interface Utilisation {
  /** From 0 to 1. */
  value: number;
  numerator: Numerator;
}

/** The backward pass makes two products of each one of the forward pass. */
const PASSES = 3;

const atContext = ({ fixed, perKey }: TokenFlops, keys: number): number => fixed + perKey * keys;

/** FLOPs of a token of a sequence that is read from its beginning. */
export const forwardFlops = ({ forward }: ModelCounts, context: number): number =>
  atContext(forward, context / 2);

/** FLOPs of training on one token, in a sequence of `context` tokens. */
export function trainingFlops(model: ModelCounts, context: number, numerator: Numerator): number {
  if (numerator === "6nd") return 6 * model.active;
  const keys = numerator.startsWith("causal") ? context / 2 : context;
  const mtp = numerator.endsWith("+mtp") && model.mtp !== null ? atContext(model.mtp, keys) : 0;
  return PASSES * (atContext(model.forward, keys) + mtp);
}

export const SECONDS = 3600;

/** @param peak FLOP/s, @param uptime share of the hours in which the training moves on */
export const gpuHours = (flop: number, peak: number, mfu: number, uptime = 1): number =>
  flop / (peak * mfu * uptime * SECONDS);

/** FLOPs over what the peak gives in these hours. */
export const utilisation = (flop: number, hours: number, peak: number): number =>
  flop / (hours * SECONDS * peak);

// ── RL ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Steps of GRPO: problems a step, completions of each, mean tokens of a prompt and of a completion. */
export interface RlShape {
  steps: number;
  problems: number;
  group: number;
  prompt: number;
  completion: number;
  /** Passes that only score: the old policy, and a reference. */
  scores: number;
}

export interface RlFlops {
  rollout: number;
  scores: number;
  training: number;
}

/** FLOPs of all steps: prompts are read once a problem, completions decoded over the cache, scored, and trained on. */
export function rlFlops(model: ModelCounts, rl: RlShape): RlFlops {
  const { steps, problems, group, prompt, completion, scores } = rl;
  const samples = steps * problems * group;
  const sequence = prompt + completion;
  const prefill = steps * problems * prompt * forwardFlops(model, prompt);
  const decode = model.details?.decode ?? model.forward;
  return {
    rollout: prefill + samples * completion * atContext(decode, prompt + completion / 2),
    scores: scores * samples * sequence * forwardFlops(model, sequence),
    training: PASSES * samples * sequence * forwardFlops(model, sequence),
  };
}

/** Bytes of a weight or of a number of the KV cache while a model samples, in BF16. */
const SAMPLING_BYTES = 2;

/**
 * Tokens a second that one GPU could sample at the most, where all GPUs share one copy of the weights: a step reads the weights
 * that its tokens need and their caches, and computes their products (the roofline, Williams et al. 2009). A cluster stays
 * far below it. `null`: there is no shape to count.
 */
export function rolloutBound(model: ModelCounts, gpu: Gpu, rl: RlShape): number | null {
  const { details } = model;
  if (details === null) return null;
  const rows = rl.problems * rl.group;
  const keys = rl.prompt + rl.completion / 2;
  const { parameters, experts, active } = details.routed;
  // The share of experts that at least one of the rows chooses.
  const touched = 1 - (1 - active / experts) ** rows;
  const weights = model.parameters - parameters * (1 - touched);
  const bytes = SAMPLING_BYTES * (weights + rows * details.cache * keys);
  const flops = rows * atContext(details.decode, keys);
  return rows / Math.max(bytes / gpu.bandwidth, flops / gpu.peak.bf16);
}

// ── dollars and energy ───────────────────────────────────────────────────────────────────────────────────────────────

/** Epoch AI's constants (arXiv 2405.21015, section 2 and its code). */
export const EPOCH = {
  /** Price of a server over that of its GPUs, and the network's share of a cluster's price. */
  server: 1.64,
  network: 0.19,
  /** Power of a server over that of its GPUs, and the share of it that training draws. */
  serverPower: 1.82,
  load: 0.75,
  /** Median of 33 models whose utilisation is known; FLOPs are 6ND there. */
  mfu: 0.375,
};
/** Years over which a purchase is written off; Epoch AI has servers live for 4 to 5. */
export const LIFE_YEARS = 4;
const HOURS_A_YEAR = 8760;
/** Power usage effectiveness: 1.1 in the halls of a hyperscaler, 1.25 elsewhere (the same source). */
export const PUE = 1.25;
/** Dollars of a kWh, US industry in 2024 (the same source). */
export const KWH_DOLLARS = 0.077;
/** Compute of all experiments over that of the final run: V3's disclosed floor, a middle, and what OpenAI spent in 2024. */
export const EXPERIMENTS = [1.15, 3, 10] as const;

export const kilowattHours = (hours: number, watts: number, pue: number): number =>
  ((hours * watts) / 1000) * EPOCH.serverPower * EPOCH.load * pue;

/** Dollars of a cluster: GPUs, the servers around them, the network between. */
export const clusterPrice = (gpus: number, gpuPrice: number): number =>
  (gpus * gpuPrice * EPOCH.server) / (1 - EPOCH.network);

/** The hours' share of a purchase that is used day and night for its life, with electricity. */
export const amortised = (hours: number, gpuPrice: number, kwh: number): number =>
  (hours * clusterPrice(1, gpuPrice)) / (LIFE_YEARS * HOURS_A_YEAR) + kwh * KWH_DOLLARS;
