/** Bytes on each GPU, where weights, gradients and moments are spread evenly over all of them. */
import { type UserError, usageError } from "../../lib/errors.ts";
import type { ModelCounts } from "./counts.ts";
import type { Gpu } from "./gpus.ts";

/** Bytes a parameter in mixed precision with Adam (ZeRO, arXiv 1910.02054, section 3.1), spread over all GPUs (its stage 3). */
export const STATE_BYTES = { weights: 2, gradients: 2, optimizer: 12 };
/** Bytes of an activation or of a number of the KV cache, in BF16, and of a logit with its gradient. */
const [HALF, LOGIT] = [2, 6];

export interface Memory {
  weights: number;
  gradients: number;
  optimizer: number;
  /**
   * Of the sequences that a GPU trains on at once: the input of each block, one block while it is computed again (Chen et al.
   * 2016, arXiv 1604.06174), and the logits. `null`: the shape is not known, or nothing says how long a sequence is.
   */
  activations: number | null;
  /** The same where nothing is computed again. */
  kept: number | null;
  /** Of the rollouts of one GPU at their full length. 0 without RL. */
  cache: number | null;
  /** Training and rollouts take turns, so the larger of activations and cache counts. */
  total: number;
}

export interface MemoryInput {
  /** Sequences that a GPU trains on at once, and their tokens; `null` is unknown. */
  sequences: number;
  context: number | null;
  /** Completions of a step of RL, and tokens of each with its prompt. */
  rollouts: { samples: number; tokens: number } | null;
}

export function memoryPerGpu(model: ModelCounts, gpus: number, input: MemoryInput): Memory {
  const { details, parameters } = model;
  const [weights, gradients, optimizer] = Object.values(STATE_BYTES).map(
    (bytes) => (bytes * parameters) / gpus,
  );
  const { sequences, context, rollouts } = input;
  const [activations, kept] =
    details === null || context === null
      ? [null, null]
      : [
          HALF * (details.layers * details.hiddenSize + details.block) + LOGIT * details.vocabSize,
          HALF * details.layers * details.block + LOGIT * details.vocabSize,
        ].map((bytes) => bytes * sequences * context);
  const rows = rollouts === null ? 0 : Math.ceil(rollouts.samples / gpus);
  const cache =
    rollouts === null ? 0 : details === null ? null : HALF * details.cache * rollouts.tokens * rows;
  const total = weights + gradients + optimizer + Math.max(activations ?? 0, cache ?? 0);
  return { weights, gradients, optimizer, activations, kept, cache, total };
}

/** 1, 2, 4, then whole servers of 8. */
const rounded = (gpus: number): number => [1, 2, 4].find((count) => count >= gpus) ?? 8 * Math.ceil(gpus / 8);

/** The fewest GPUs that hold the model. @throws UserError where no number of them does */
export function fewestGpus(model: ModelCounts, gpu: Gpu, input: MemoryInput): number {
  const states = memoryPerGpu(model, 1, { ...input, context: null, rollouts: null }).total;
  const free = gpu.memory - (memoryPerGpu(model, 1, { ...input, rollouts: null }).activations ?? 0);
  // Each GPU keeps the cache of one completion at least.
  const least = input.rollouts === null ? 0 : (memoryPerGpu(model, input.rollouts.samples, input).cache ?? 0);
  if (free <= 0 || least >= gpu.memory) throw tooLarge(model, gpu, 1, input);
  let gpus = rounded(states / free);
  while (memoryPerGpu(model, gpus, input).total > gpu.memory) gpus = rounded(gpus + 1);
  return gpus;
}

/** @throws UserError with the bytes that are needed and those that there are */
export function checkMemory(model: ModelCounts, gpu: Gpu, gpus: number, input: MemoryInput): Memory {
  const memory = memoryPerGpu(model, gpus, input);
  if (memory.total > gpu.memory) throw tooLarge(model, gpu, gpus, input);
  return memory;
}

/** 0.67 GB, 47.9 GB, 1,340 GB. */
export const gigabytes = (bytes: number): string => {
  const value = bytes / 1e9;
  return `${Number(value.toPrecision(value < 1 ? 2 : 3)).toLocaleString("en-US", { maximumFractionDigits: 6 })} GB`;
};

function tooLarge(model: ModelCounts, gpu: Gpu, gpus: number, input: MemoryInput): UserError {
  const { weights, gradients, optimizer, activations, cache, total } = memoryPerGpu(model, gpus, input);
  const parts = [
    `${gigabytes(weights + gradients + optimizer)} of weights, gradients and moments`,
    ...(activations === null ? [] : [`${gigabytes(activations)} of activations`]),
    ...(cache ? [`${gigabytes(cache)} of KV cache`] : []),
  ];
  return usageError(
    `The model needs ${gigabytes(total)} on each of ${gpus} x ${gpu.title}, which has ${gigabytes(gpu.memory)}: ${parts.join(", ")}.`,
    (activations ?? 0) >= gpu.memory
      ? "One sequence is too long for one GPU: give a smaller --context, or plan the longer ones by their hours."
      : `Give more GPUs (--gpus), or leave --gpus out to get the fewest.`,
  );
}
