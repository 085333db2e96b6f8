/** What a recipe will take, from the null device: its graphs are traced and counted, and nothing is computed. */

import type { ModelShape } from "../checkpoint/folder.ts";
import type { EvaluatedProblem } from "../eval/problems.ts";
import { countFlops, estimateMemory, estimateSeconds, neededNodes, type Speeds } from "../graph/analyse.ts";
import { type ModelConfig, modelOf } from "../models/architectures.ts";
import {
  evaluationProblems,
  type ResolvedEvaluate,
  type ResolvedPretrain,
  type ResolvedSample,
  type ResolvedSft,
  resolve,
} from "../recipe/resolve.ts";
import type { GrpoStage, Recipe } from "../recipe/schema.ts";
import { traceScore } from "../sample/scorer.ts";
import { grpoLoss } from "../train/grpo-loss.ts";
import { trainedOn } from "../train/language-model-stage.ts";
import { FEW_SIGNALS, percent, signalRemedy, signalShare } from "../train/learning.ts";
import { packByPrefix, packedLength } from "../train/microbatch.ts";
import { withAdapter } from "../train/policy.ts";
import { traceAccumulation, traceOptimizer, traceStep } from "../train/trace-step.ts";
import { averagePrograms, distillPrograms } from "./distill.ts";
import { forecastGroups, forecastPasses, type Passes } from "./forecast.ts";
import {
  COMPLETION_SHARE,
  completionsAssumed,
  type Expected,
  expectedLengths,
  mergePrograms,
  PROMPTS,
  type Program,
  promptTokens,
  type Setting,
  samplingPrograms,
  trainingPromptTokens,
} from "./programs.ts";

export interface StagePlan {
  name: string;
  kind: string;
  steps: number;
  programs: Program[];
  /** What was taken for granted, in sentences. */
  assumptions: string[];
}

export function planRecipe(
  recipe: Recipe,
  expected: Expected = {},
): { config: ModelConfig; stages: StagePlan[] } {
  const { shape: start, stages: resolved } = resolve(recipe);
  const shapeOf = (name: string): ModelShape => resolved.find((stage) => stage.name === name)?.shape ?? start;
  const stages = resolved.map((stage): StagePlan => {
    const { name, kind, steps, shape } = stage;
    const { config } = shape;
    const base = { name, kind, steps };
    if (stage.kind === "pretrain" || stage.kind === "sft")
      return { ...base, programs: languageModelPrograms(stage, config), assumptions: [] };
    if (stage.kind === "merge") return { ...base, programs: averagePrograms(config), assumptions: [] };
    if (stage.kind === "distill") return { ...base, ...distillPrograms(stage, expected, shapeOf) };
    if (stage.kind === "evaluate") {
      const chosen = evaluationProblems(stage);
      const measured = promptTokens(
        shape,
        chosen.slice(0, PROMPTS).map(({ problem }) => problem),
      );
      return {
        ...base,
        ...evaluationPrograms(stage, chosen, { ...expected, config, promptTokens: measured }),
      };
    }
    if (stage.kind === "sample" && stage.teacher !== undefined)
      return {
        ...base,
        programs: [],
        assumptions: [`${stage.teacher.model} at ${stage.teacher.url} answers`],
      };
    const efforts = stage.kind === "grpo" ? stage.effort?.levels : undefined;
    const measured = trainingPromptTokens(shape, stage.task, stage.seed, efforts);
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
