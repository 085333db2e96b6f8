/** What a recipe will take, from the null device: its graphs are traced and counted, and nothing is computed. */

import type { EvaluatedProblem } from "../eval/problems.ts";
import { countFlops, estimateMemory, estimateSeconds, neededNodes, type Speeds } from "../graph/analyse.ts";
import type { Graph } from "../graph/tensor.ts";
import { designOf, type ModelConfig } from "../models/architecture.ts";
import { WINDOW_STEP } from "../sample/cache.ts";
import { traceDecode, tracePrefill } from "../sample/graphs.ts";
import { traceScore } from "../sample/logprobs.ts";
import { ladderSize } from "../sample/scheduler.ts";
import type { Problem } from "../tasks/problem.ts";
import { type TaskInput, taskFrom } from "../tasks/registry.ts";
import { grpoLoss } from "../train/grpo-loss.ts";
import { trainedOn } from "../train/language-model-stage.ts";
import { withAdapter } from "../train/policy.ts";
import { encodeProblem } from "../train/rollout.ts";
import { traceAccumulation, traceOptimizer, traceStep } from "../train/step.ts";
import { examProblems } from "./exam.ts";
import { languageModelOptions, optimizerOptions, recipeShape } from "./options.ts";
import { stageSteps } from "./run.ts";
import type { EvaluateStage, GrpoStage, PretrainStage, Recipe, SftStage } from "./schema.ts";

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

/** Answers are taken to be this share of their limit: a base that stops by itself is far below it. */
const ANSWER_SHARE = 0.25;
/** Prompts that are measured for their mean length. */
const PROMPTS = 32;
/** As the sampler has it, where a recipe says nothing. */
const SLOTS = 128;

interface Setting {
  config: ModelConfig;
  promptTokens: number;
}

export function planRecipe(recipe: Recipe): { config: ModelConfig; stages: StagePlan[] } {
  const shape = recipeShape(recipe);
  const { config } = shape;
  const stages = recipe.stages.map((stage): StagePlan => {
    const { name, kind } = stage;
    const base = { name, kind, steps: stageSteps(stage) };
    if (stage.kind === "pretrain" || stage.kind === "sft")
      return { ...base, programs: languageModelPrograms(stage, config), assumptions: [] };
    const task = taskFrom(((stage.kind === "evaluate" ? stage.task : undefined) ?? recipe.task) as TaskInput);
    const promptTokens = (problems: readonly Problem[]): number =>
      Math.ceil(
        problems.reduce((sum, problem) => sum + encodeProblem(shape, problem).length, 0) / problems.length,
      );
    if (stage.kind === "evaluate") {
      const chosen = examProblems(recipe, stage, task);
      const measured = promptTokens(chosen.slice(0, PROMPTS).map(({ problem }) => problem));
      return { ...base, ...examPrograms(stage, chosen, { config, promptTokens: measured }) };
    }
    const measured = promptTokens(
      Array.from({ length: PROMPTS }, (_, index) =>
        task.generate({ seed: recipe.seed, split: "train", index }),
      ),
    );
    return { ...base, ...grpoPrograms(stage, { config, promptTokens: measured }) };
  });
  return { config, stages };
}

function languageModelPrograms(stage: PretrainStage | SftStage, config: ModelConfig): Program[] {
  const options = languageModelOptions(stage, 0);
  const { accumulate, optimizer } = options;
  const { specs, loss } = withAdapter(trainedOn(config, options), options.lora);
  const program = { sizes: {} };
  if (accumulate === 1)
    return [{ ...program, name: "training step", graph: traceStep(specs, loss, optimizer), runsPerStep: 1 }];
  return [
    { ...program, name: "gradients", graph: traceAccumulation(specs, loss), runsPerStep: accumulate },
    { ...program, name: "optimizer", graph: traceOptimizer(specs, optimizer), runsPerStep: 1 },
  ];
}

/**
 * Lengths of `samples` answers, spread evenly over the exponential distribution, which is how long a text is that may stop
 * at any token. It fits the exams in bench/RESULTS.md: answers of 88 and 165 tokens in the mean, of which 1 and 7 % reach
 * limits of 384 and 480.
 */
export function answerLengths(samples: number, mean: number, limit: number): number[] {
  // Multiples of the golden ratio put the quantiles in an order without a trend.
  const quantile = (sample: number): number => (0.5 + sample * ((Math.sqrt(5) - 1) / 2)) % 1;
  return Array.from({ length: samples }, (_, sample) =>
    Math.min(limit, Math.ceil(-mean * Math.log(1 - quantile(sample)))),
  );
}

/**
 * The decode steps that the scheduler makes of answers: how many, and their mean rows and window. A batch goes on until
 * its longest answer ends, and all its rows read a window as long as the longest of them needed.
 */
export function decodeSteps(
  lengths: readonly number[],
  slots: number,
  promptTokens: number,
): { steps: number; batch: number; past: number } {
  let [waiting, steps, rows, read, window] = [0, 0, 0, 0, 0];
  let active: { done: number; length: number }[] = [];
  while (waiting < lengths.length || active.length > 0) {
    while (active.length < slots && waiting < lengths.length)
      active.push({ done: 0, length: lengths[waiting++] });
    const batch = ladderSize(active.length);
    const longest = promptTokens + Math.max(...active.map(({ done }) => done));
    window = Math.max(window, Math.ceil(longest / WINDOW_STEP) * WINDOW_STEP);
    steps++;
    rows += batch;
    read += batch * window;
    for (const row of active) row.done++;
    active = active.filter(({ done, length }) => done < length);
  }
  return { steps, batch: Math.round(rows / steps), past: Math.round(read / rows) };
}

/** Prefill once a problem, then decode steps of their mean size. */
function samplingPrograms(
  { config, promptTokens }: Setting,
  problems: number,
  samples: number,
  { answer, limit, slots = SLOTS }: { answer: number; limit: number; slots?: number },
): Program[] {
  const { steps, batch, past } = decodeSteps(answerLengths(samples, answer, limit), slots, promptTokens);
  const chunk = Math.min(32, problems);
  return [
    {
      name: "prefill",
      graph: tracePrefill(config),
      sizes: { batch: chunk, seq: promptTokens },
      runsPerStep: problems / chunk,
    },
    {
      name: "decode",
      graph: traceDecode(config),
      sizes: { batch, past },
      runsPerStep: steps,
    },
  ];
}

function grpoPrograms(stage: GrpoStage, setting: Setting): Pick<StagePlan, "programs" | "assumptions"> {
  const { config, promptTokens } = setting;
  const { ratio, clip, kl, recompute, maxNewTokens: limit, slots } = stage;
  const mask = stage.sharePrompt ? "each" : "shared";
  const whole = {
    specs: designOf(config).parameters,
    loss: grpoLoss(config, { ratio, clip, kl, recompute, mask }),
  };
  const { specs, loss } = withAdapter(whole, stage.lora ?? null);
  const samples = stage.problemsPerStep * stage.groupSize;
  const answer = Math.ceil(limit * ANSWER_SHARE);
  // With a shared prompt a row holds a whole group.
  const rows = stage.sharePrompt ? stage.problemsPerStep : samples;
  const seq = promptTokens + (samples / rows) * answer;
  const batch = Math.max(1, Math.min(rows, Math.floor(stage.microBatchTokens / seq)));
  const passes = rows / batch;
  const optimizer = optimizerOptions(stage.optimizer);
  const scores = (stage.kl > 0 ? 1 : 0) + (stage.importance === undefined ? 0 : 1);
  const programs: Program[] = [
    ...samplingPrograms(setting, stage.problemsPerStep, samples, { answer, limit, slots }),
    {
      name: "gradients",
      graph: traceAccumulation(specs, loss),
      sizes: { batch, seq, chosen: batch * (samples / rows) * answer },
      runsPerStep: passes * stage.epochs,
    },
    {
      name: "optimizer",
      graph: traceOptimizer(specs, optimizer),
      sizes: {},
      runsPerStep: stage.epochs * stage.miniBatches,
    },
  ];
  if (scores > 0)
    programs.push({
      name: "score",
      graph: traceScore(config, mask),
      sizes: { batch, seq },
      runsPerStep: passes * scores,
    });
  const assumptions = [
    `prompts of ${promptTokens} tokens (measured) and answers of ${answer} in the mean, a quarter of the limit of ${limit}, few of them long; longer thoughts cost more`,
    "every group teaches; groups of equal rewards are not trained, which is cheaper",
  ];
  return { programs, assumptions };
}

function examPrograms(
  stage: EvaluateStage,
  problems: readonly EvaluatedProblem[],
  setting: Setting,
): Pick<StagePlan, "programs" | "assumptions"> {
  const limit = stage.maxNewTokens ?? Math.floor(setting.config.maxPositions * 0.75);
  const answer = Math.ceil(limit * ANSWER_SHARE);
  const samples = stage.samples * problems.reduce((sum, { copies }) => sum + copies, 0);
  const { slots } = stage;
  const programs = samplingPrograms(setting, problems.length, samples, { answer, limit, slots });
  return { programs, assumptions: [`answers of ${answer} tokens in the mean, a quarter of what fits`] };
}

export interface ProgramCost {
  nodes: number;
  flopsPerRun: number;
  /** Parameters, moments and batch, in and out: held all the time. */
  persistentBytes: number;
  /** Activations and gradients alive at once, at most. */
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
