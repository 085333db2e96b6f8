/** Programs that several kinds of stages run: sampling, with completions of forecast lengths, and the merges of an adapter. */
import type { ModelShape } from "../checkpoint/folder.ts";
import { encodeProblem } from "../data/prompt.ts";
import type { Graph } from "../graph/tensor.ts";
import type { ModelConfig } from "../models/architectures.ts";
import type { ParameterSpec } from "../models/layers.ts";
import { type LoraOptions, traceMerge } from "../models/lora.ts";
import { CAPACITY_STEP } from "../sample/cache.ts";
import { traceDecode, tracePrefill } from "../sample/graphs.ts";
import { ladderSize, MOST_ROWS } from "../sample/scheduler.ts";
import { atEffort } from "../tasks/effort.ts";
import type { Problem } from "../tasks/problem.ts";
import { type TaskOptions, taskFrom } from "../tasks/registry.ts";

/** One graph of a stage, for sizes that it will (or, in RL, is assumed to) run with. */
export interface Program {
  name: string;
  graph: Graph;
  sizes: Record<string, number>;
  runsPerStep: number;
}

/** Completions are taken to be this share of their limit: a base that stops by itself is far below it. */
export const COMPLETION_SHARE = 0.25;
/** Known values that replace assumptions. */
export interface Expected {
  /** Share of RL's samples that are right: which groups carry a signal follows from it. */
  passRate?: number;
  /** Mean tokens of a completion. */
  answerTokens?: number;
}

/** What a stage is planned for. */
export interface Setting extends Expected {
  config: ModelConfig;
  promptTokens: number;
}

/**
 * Lengths of `samples` completions, spread evenly over the exponential distribution, which is how long a text is that may stop
 * at any token. It fits the evaluations in bench/RESULTS.md: completions of 88 and 165 tokens in the mean, of which 1 and 7 % reach
 * limits of 384 and 480.
 */
export function completionLengths(samples: number, mean: number, limit: number): number[] {
  // Multiples of the golden ratio put the quantiles in an order without a trend.
  const quantile = (sample: number): number => (0.5 + sample * ((Math.sqrt(5) - 1) / 2)) % 1;
  return Array.from({ length: samples }, (_, sample) =>
    Math.min(limit, Math.ceil(-mean * Math.log(1 - quantile(sample)))),
  );
}

/** The same lengths, scaled so that their mean under the limit is `mean`, as it was measured. */
export function lengthsOfMean(samples: number, mean: number, limit: number): number[] {
  if (mean >= limit) return new Array<number>(samples).fill(limit);
  let [low, high] = [0, limit * samples];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    const found = completionLengths(samples, middle, limit).reduce((a, b) => a + b, 0) / samples;
    if (found < mean) low = middle;
    else high = middle;
  }
  return completionLengths(samples, high, limit);
}

/**
 * The decode steps that the scheduler makes of completions: how many, their mean rows and mean KV cache length. All rows of
 * a batch read as much of the cache as the longest of them needs.
 */
export function decodeSteps(
  lengths: readonly number[],
  maxBatch: number,
  promptTokens: number,
): { steps: number; batch: number; past: number } {
  let [waiting, steps, rows, read, capacity] = [0, 0, 0, 0, 0];
  let active: { done: number; length: number }[] = [];
  while (waiting < lengths.length || active.length > 0) {
    while (active.length < Math.min(maxBatch, MOST_ROWS) && waiting < lengths.length)
      active.push({ done: 0, length: lengths[waiting++] });
    const batch = ladderSize(active.length);
    const longest = promptTokens + Math.max(...active.map(({ done }) => done));
    capacity = Math.max(capacity, Math.ceil(longest / CAPACITY_STEP) * CAPACITY_STEP);
    steps++;
    rows += batch;
    read += batch * capacity;
    for (const row of active) row.done++;
    active = active.filter(({ done, length }) => done < length);
  }
  return { steps, batch: Math.round(rows / steps), past: Math.round(read / rows) };
}

/** Prefill once a problem, then decode steps of their mean size. */
export function samplingPrograms(
  { config, promptTokens }: Setting,
  problems: number,
  { lengths, maxBatch, rounds = 1 }: Sampling,
): Program[] {
  const { steps, batch, past } = decodeSteps(lengths, maxBatch, promptTokens);
  const chunk = Math.min(32, problems);
  return [
    {
      name: "prefill",
      graph: tracePrefill(config),
      // A prompt's last token is read by the first decode step.
      sizes: { batch: chunk, seq: Math.max(1, promptTokens - 1) },
      runsPerStep: (rounds * problems) / chunk,
    },
    {
      name: "decode",
      graph: traceDecode(config),
      sizes: { batch, past },
      runsPerStep: rounds * steps,
    },
  ];
}

export const expectedLengths = ({ answerTokens }: Setting, samples: number, limit: number): number[] =>
  answerTokens === undefined
    ? completionLengths(samples, Math.ceil(limit * COMPLETION_SHARE), limit)
    : lengthsOfMean(samples, answerTokens, limit);

export interface Sampling {
  /** Tokens of each completion of a round. */
  lengths: readonly number[];
  maxBatch: number;
  rounds?: number;
}

/** What is taken for granted of completions, in a sentence. */
export function completionsAssumed(
  { promptTokens, answerTokens }: Setting,
  answer: number,
  limit: number,
): string {
  const why = answerTokens === undefined ? `a quarter of the limit of ${limit}, ` : "";
  return `prompts of ${promptTokens} tokens (measured) and completions of ${answer} in the mean, ${why}few of them long; longer thoughts cost more (--answer-tokens)`;
}

/** Prompts that are measured for their mean length. */
export const PROMPTS = 32;

/** Mean tokens of problems' prompts. */
export const promptTokens = (shape: ModelShape, problems: readonly Problem[]): number =>
  Math.ceil(
    problems.reduce((sum, problem) => sum + encodeProblem(shape, problem).length, 0) / problems.length,
  );

/** The same of a task's first training problems. @param efforts at which they are asked in turn */
export function trainingPromptTokens(
  shape: ModelShape,
  options: TaskOptions,
  seed: number,
  efforts: readonly (number | undefined)[] = [undefined],
): number {
  const task = taskFrom(options);
  return promptTokens(
    shape,
    Array.from({ length: PROMPTS }, (_, index) =>
      atEffort(task.generate({ seed, split: "train", index }), efforts[index % efforts.length]),
    ),
  );
}

/** An adapter is merged when its stage begins, and after each update. */
export function mergePrograms(
  specs: readonly ParameterSpec[],
  lora: LoraOptions | undefined,
  steps: number,
): Program[] {
  if (lora === undefined) return [];
  return [{ name: "merge", graph: traceMerge(specs, lora), sizes: {}, runsPerStep: (steps + 1) / steps }];
}
