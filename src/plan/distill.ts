/** What joining models takes: on-policy distillation, and averages of weights. */
import type { ModelShape } from "../checkpoint/folder.ts";
import { readShape } from "../checkpoint/model.ts";
import { type ModelConfig, modelOf } from "../models/architectures.ts";
import { placeOf } from "../recipe/model.ts";
import type { ResolvedDistill } from "../recipe/resolve.ts";
import { teacherName } from "../recipe/schema.ts";
import { distillLoss, traceTeacher } from "../train/distill-loss.ts";
import { traceMean } from "../train/merge-stage.ts";
import { withAdapter } from "../train/policy.ts";
import { domainsOf } from "../train/teachers.ts";
import { traceAccumulation, traceOptimizer } from "../train/trace-step.ts";
import { forecastPasses } from "./forecast.ts";
import {
  COMPLETION_SHARE,
  completionsAssumed,
  type Expected,
  expectedLengths,
  mergePrograms,
  type Program,
  samplingPrograms,
  trainingPromptTokens,
} from "./programs.ts";

/** One model more in the average. */
export const averagePrograms = (config: ModelConfig): Program[] => [
  { name: "mean", graph: traceMean(config), sizes: {}, runsPerStep: 1 },
];

/** Of each task: rollouts, a forward pass of each judge, and gradients; then one update. */
export function distillPrograms(
  stage: ResolvedDistill,
  expected: Expected,
  shapeOf: (stage: string) => ModelShape,
): { programs: Program[]; assumptions: string[] } {
  const { shape, seed, estimate, recompute, lora, optimizer, maxNewTokens: limit, maxBatch } = stage;
  const { config } = shape;
  const whole = {
    specs: modelOf(config).parameters,
    loss: distillLoss(config, { estimate, recompute }),
  };
  const { specs, loss } = withAdapter(whole, lora);
  const teachers = stage.teachers.map((teacher) => ({
    name: teacherName(teacher),
    task: teacher.task ?? null,
    config: (teacher.model === undefined ? shapeOf(teacher.stage!) : readShape(placeOf(teacher.model.from)))
      .config,
  }));
  const answer = expected.answerTokens ?? Math.ceil(limit * COMPLETION_SHARE);
  const domains = domainsOf(teachers, { name: stage.task.kind, task: stage.task });
  const parts = domains.map(({ task, judges }) => {
    const setting = { ...expected, config, promptTokens: trainingPromptTokens(shape, task, seed) };
    const lengths = expectedLengths(setting, stage.problemsPerStep * stage.samples, limit);
    const rows = lengths.map((length) => ({
      length: setting.promptTokens + length - 1,
      completionTokens: length,
    }));
    const { runs, ...sizes } = forecastPasses(rows, 1, stage.microBatchTokens, config.maxPositions);
    const forward = (of: ModelConfig): Program => ({
      name: "teacher",
      graph: traceTeacher(of, estimate),
      ...{ sizes, runsPerStep: runs },
    });
    const programs = [
      ...samplingPrograms(setting, stage.problemsPerStep, { lengths, maxBatch }),
      ...judges.map((judge) => forward(judge.config)),
      {
        name: "gradients",
        graph: traceAccumulation(specs, loss),
        sizes: { ...sizes, judges: judges.length },
        runsPerStep: runs,
      },
    ];
    return { programs, assumption: completionsAssumed(setting, answer, limit) };
  });
  const update = { name: "optimizer", graph: traceOptimizer(specs, optimizer), sizes: {}, runsPerStep: 1 };
  return {
    programs: [
      ...parts.flatMap(({ programs }) => programs),
      update,
      ...mergePrograms(whole.specs, lora, stage.steps),
    ],
    assumptions: parts.map(({ assumption }) => assumption),
  };
}
