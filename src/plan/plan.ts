/** What a recipe will take, from the null device: its graphs are traced and counted, and nothing is computed. */

import { encodeProblem } from "../data/prompt.ts";
import type { EvaluatedProblem } from "../eval/problems.ts";
import { countFlops, estimateMemory, estimateSeconds, neededNodes, type Speeds } from "../graph/analyse.ts";
import type { Graph } from "../graph/tensor.ts";
import { type ModelConfig, modelOf } from "../models/architectures.ts";
import type { ParameterSpec } from "../models/layers.ts";
import { type LoraOptions, traceMerge } from "../models/lora.ts";
import {
  evaluationProblems,
  type ResolvedEvaluate,
  type ResolvedPretrain,
  type ResolvedSample,
  type ResolvedSft,
  resolve,
} from "../recipe/resolve.ts";
import type { GrpoStage, Recipe } from "../recipe/schema.ts";
import { CAPACITY_STEP } from "../sample/cache.ts";
import { traceDecode, tracePrefill } from "../sample/graphs.ts";
import { ladderSize, MOST_ROWS } from "../sample/scheduler.ts";
import { traceScore } from "../sample/scorer.ts";
import { atEffort } from "../tasks/effort.ts";
import type { Problem } from "../tasks/problem.ts";
import { taskFrom } from "../tasks/registry.ts";
import { grpoLoss } from "../train/grpo-loss.ts";
import { trainedOn } from "../train/language-model-stage.ts";
import { FEW_SIGNALS, percent, signalRemedy, signalShare } from "../train/learning.ts";
import { packByPrefix, packedLength } from "../train/microbatch.ts";
import { withAdapter } from "../train/policy.ts";
import { traceAccumulation, traceOptimizer, traceStep } from "../train/trace-step.ts";
import { forecastGroups, forecastPasses, type Passes } from "./forecast.ts";

/** One graph of a stage, for sizes that it will (or, in RL, is assumed to) run with. */
export interface Program {
  name: string;
  graph: Graph;
  sizes: Record<string, number>;
  runsPerStep: number;
}

export interface StagePlan {
  name: string;
  kind: string;
  steps: number;
  programs: Program[];
  /** What was taken for granted, in sentences. */
  assumptions: string[];
}

/** Completions are taken to be this share of their limit: a base that stops by itself is far below it. */
export const COMPLETION_SHARE = 0.25;
/** Prompts that are measured for their mean length. */
const PROMPTS = 32;

/** Known values that replace assumptions. */
export interface Expected {
  /** Share of RL's samples that are right: which groups carry a signal follows from it. */
  passRate?: number;
  /** Mean tokens of a completion. */
  answerTokens?: number;
}

interface Setting extends Expected {
  config: ModelConfig;
  promptTokens: number;
}

export function planRecipe(
  recipe: Recipe,
  expected: Expected = {},
): { config: ModelConfig; stages: StagePlan[] } {
  const { shape: start, stages: resolved } = resolve(recipe);
  const stages = resolved.map((stage): StagePlan => {
    const { name, kind, steps, shape } = stage;
    const { config } = shape;
    const base = { name, kind, steps };
    if (stage.kind === "pretrain" || stage.kind === "sft")
      return { ...base, programs: languageModelPrograms(stage, config), assumptions: [] };
    const promptTokens = (problems: readonly Problem[]): number =>
      Math.ceil(
        problems.reduce((sum, problem) => sum + encodeProblem(shape, problem).length, 0) / problems.length,
      );
    if (stage.kind === "evaluate") {
      const chosen = evaluationProblems(stage);
      const measured = promptTokens(chosen.slice(0, PROMPTS).map(({ problem }) => problem));
      return {
        ...base,
        ...evaluationPrograms(stage, chosen, { ...expected, config, promptTokens: measured }),
      };
    }
    const task = taskFrom(stage.task);
    const measured = promptTokens(
      Array.from({ length: PROMPTS }, (_, index) =>
        atEffort(
          task.generate({ seed: stage.seed, split: "train", index }),
          stage.kind === "grpo" ? stage.effort?.levels[index % stage.effort.levels.length] : undefined,
        ),
      ),
    );
    const setting = { ...expected, config, promptTokens: measured };
    return {
      ...base,
      ...(stage.kind === "sample" ? samplePrograms(stage, setting) : grpoPrograms(stage, setting)),
    };
  });
  return { config: start.config, stages };
}

function languageModelPrograms(stage: ResolvedPretrain | ResolvedSft, config: ModelConfig): Program[] {
  const { accumulate, optimizer } = stage;
  const lora = "lora" in stage ? stage.lora : undefined;
  const trained = trainedOn(config, stage);
  const { specs, loss } = withAdapter(trained, lora);
  const program = { sizes: {} };
  const merges = mergePrograms(trained.specs, lora, stage.steps);
  if (accumulate === 1)
    return [
      { ...program, name: "training step", graph: traceStep(specs, loss, optimizer), runsPerStep: 1 },
      ...merges,
    ];
  return [
    { ...program, name: "gradients", graph: traceAccumulation(specs, loss), runsPerStep: accumulate },
    { ...program, name: "optimizer", graph: traceOptimizer(specs, optimizer), runsPerStep: 1 },
    ...merges,
  ];
}

/** An adapter is merged when its stage begins, and after each update. */
function mergePrograms(
  specs: readonly ParameterSpec[],
  lora: LoraOptions | undefined,
  steps: number,
): Program[] {
  if (lora === undefined) return [];
  return [{ name: "merge", graph: traceMerge(specs, lora), sizes: {}, runsPerStep: (steps + 1) / steps }];
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
function samplingPrograms(
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

const expectedLengths = ({ answerTokens }: Setting, samples: number, limit: number): number[] =>
  answerTokens === undefined
    ? completionLengths(samples, Math.ceil(limit * COMPLETION_SHARE), limit)
    : lengthsOfMean(samples, answerTokens, limit);

interface Sampling {
  /** Tokens of each completion of a round. */
  lengths: readonly number[];
  maxBatch: number;
  rounds?: number;
}

function grpoPrograms(stage: GrpoStage, setting: Setting): Pick<StagePlan, "programs" | "assumptions"> {
  const { config, promptTokens } = setting;
  const { ratio, clip, kl, recompute, maxNewTokens: limit, maxBatch, lora } = stage;
  const mask = stage.sharedPrefix ? "each" : "shared";
  const whole = {
    specs: modelOf(config).parameters,
    loss: grpoLoss(config, { ratio, clip, kl, recompute, mask }),
  };
  const { specs, loss } = withAdapter(whole, lora);
  const { problemsPerStep, groupSize, microBatchTokens, sharedPrefix } = stage;
  const samples = problemsPerStep * groupSize;
  const answer = setting.answerTokens ?? Math.ceil(limit * COMPLETION_SHARE);
  const share = setting.passRate === undefined ? 1 : signalShare(setting.passRate, groupSize);
  const further = stage.dynamicSampling?.maxRounds ?? 0;
  const { rounds, kept } = forecastGroups(problemsPerStep, share, further);
  // With dynamic sampling the groups with a signal alone are kept; without it all are, and a KL term trains all of them.
  const scored = further > 0 ? kept : problemsPerStep;
  const trained = further > 0 || kl === 0 ? kept : problemsPerStep;
  const lengths = expectedLengths(setting, samples, limit);
  const passesOf = (groups: number, parts: number): Passes => {
    const count = Math.max(1, Math.round(groups));
    const sequences = lengths.slice(0, count * groupSize).map((length, sample) => ({
      // Only the completions of one group have equal prompts.
      prompt: new Array<number>(promptTokens).fill(Math.floor(sample / groupSize)),
      ids: new Array<number>(length),
    }));
    const packed = sharedPrefix
      ? packByPrefix(sequences, Math.min(microBatchTokens, config.maxPositions))
      : sequences.map((one) => [one]);
    const rows = packed.map((row) => ({
      length: packedLength(row),
      completionTokens: row.reduce((sum, { ids }) => sum + ids.length, 0),
    }));
    const passes = forecastPasses(rows, parts, microBatchTokens, config.maxPositions);
    return { ...passes, runs: (passes.runs * groups) / count };
  };
  const gradients = passesOf(trained, stage.miniBatches);
  const scores = (kl > 0 ? 1 : 0) + (stage.importance === undefined ? 0 : 1);
  const programs: Program[] = [
    ...samplingPrograms(setting, problemsPerStep, { lengths, maxBatch, rounds }),
    {
      name: "gradients",
      graph: traceAccumulation(specs, loss),
      sizes: { batch: gradients.batch, seq: gradients.seq, completionTokens: gradients.completionTokens },
      runsPerStep: gradients.runs * stage.epochs,
    },
    {
      name: "optimizer",
      graph: traceOptimizer(specs, stage.optimizer),
      sizes: {},
      runsPerStep: stage.epochs * stage.miniBatches,
    },
    ...mergePrograms(whole.specs, lora, stage.steps),
  ];
  if (scores > 0) {
    const { runs, batch, seq } = passesOf(scored, 1);
    programs.push({
      name: "score",
      graph: traceScore(config, mask),
      sizes: { batch, seq },
      runsPerStep: runs * scores,
    });
  }
  return {
    programs,
    assumptions: [completionsAssumed(setting, answer, limit), signalAssumed(stage, setting, rounds)],
  };
}

function completionsAssumed({ promptTokens, answerTokens }: Setting, answer: number, limit: number): string {
  const why = answerTokens === undefined ? `a quarter of the limit of ${limit}, ` : "";
  return `prompts of ${promptTokens} tokens (measured) and completions of ${answer} in the mean, ${why}few of them long; longer thoughts cost more (--answer-tokens)`;
}

function signalAssumed(
  { groupSize, dynamicSampling }: GrpoStage,
  { passRate }: Setting,
  rounds: number,
): string {
  const at = (rate: number): string =>
    `${percent(signalShare(rate, groupSize))} at a pass rate of ${percent(rate)}`;
  if (passRate === undefined)
    return `every group carries a signal; groups of ${groupSize} do so in ${[0.05, 0.2, 0.5].map(at).join(", ")} (--pass-rate): the others teach nothing${dynamicSampling === undefined ? ", and are cheaper" : ", and further rounds are drawn"}`;
  const drawn = dynamicSampling === undefined ? "" : `, so that ${rounds.toFixed(1)} rounds are drawn a step`;
  const few = signalShare(passRate, groupSize) < FEW_SIGNALS;
  const remedy = few ? `; ${signalRemedy(passRate, groupSize, 0, dynamicSampling !== undefined)}` : "";
  return `of groups of ${groupSize}, ${at(passRate)} carry a signal${drawn}${remedy}`;
}

function evaluationPrograms(
  stage: ResolvedEvaluate,
  problems: readonly EvaluatedProblem[],
  setting: Setting,
): Pick<StagePlan, "programs" | "assumptions"> {
  const limit = stage.maxNewTokens;
  const answer = setting.answerTokens ?? Math.ceil(limit * COMPLETION_SHARE);
  const samples = stage.samples * problems.reduce((sum, { copies }) => sum + copies, 0);
  const { maxBatch } = stage;
  const lengths = expectedLengths(setting, samples, limit);
  const programs = samplingPrograms(setting, problems.length, { lengths, maxBatch });
  const why = setting.answerTokens === undefined ? ", a quarter of what fits" : "";
  return { programs, assumptions: [`completions of ${answer} tokens in the mean${why}`] };
}

function samplePrograms(
  stage: ResolvedSample,
  setting: Setting,
): Pick<StagePlan, "programs" | "assumptions"> {
  const { maxNewTokens: limit, maxBatch, problems, samples, steps } = stage;
  const answer = setting.answerTokens ?? Math.ceil(limit * COMPLETION_SHARE);
  const perStep = problems / steps;
  const lengths = expectedLengths(setting, Math.ceil(perStep * samples), limit);
  return {
    programs: samplingPrograms(setting, perStep, { lengths, maxBatch }),
    assumptions: [completionsAssumed(setting, answer, limit)],
  };
}

export interface ProgramCost {
  nodes: number;
  flopsPerRun: number;
  /** Parameters, moments and batch, in and out: held all the time. */
  persistentBytes: number;
  /** Most bytes of activations and gradients that are alive together. */
  peakBytes: number;
  secondsPerRun: number;
}

export function costOf({ graph, sizes }: Program, speeds: Speeds): ProgramCost {
  const { persistent, peakIntermediate } = estimateMemory(graph, sizes);
  return {
    nodes: neededNodes(graph).length,
    flopsPerRun: countFlops(graph, sizes).total,
    persistentBytes: persistent,
    peakBytes: peakIntermediate,
    secondsPerRun: estimateSeconds(graph, speeds, sizes),
  };
}
