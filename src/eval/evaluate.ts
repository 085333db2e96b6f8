/** An exam: problems of a split, k samples each, pass@1 with its interval, and the truth of the thoughts. */
import type { EvaluationRecord, GroupRecord } from "../events.ts";
import type { InferenceModel } from "../sample/inference.ts";
import type { StreamKey, Task } from "../tasks/problem.ts";
import { validityByPosition } from "../train/grpo-metrics.ts";
import { type Group, groupRecord, type RolloutOptions, rollout } from "../train/rollout.ts";
import { majorityAtK, passAt1, type Vote } from "./statistics.ts";

export interface ExamOptions {
  label: string;
  seed: number;
  split: StreamKey["split"];
  problems: number;
  samples: number;
  temperature: number;
  topP?: number;
  topK?: number;
  maxNewTokens: number;
  slots?: number;
  /** Throws when it is time to stop; what it throws reaches the caller. */
  signal?: RolloutOptions["signal"];
}

/** Problems whose samples are kept, to be read and to be compared between exams. */
const EXAMPLES = 6;

export async function exam(
  model: InferenceModel,
  task: Task,
  options: ExamOptions,
): Promise<{ record: EvaluationRecord; examples: GroupRecord[]; flops: number; tokens: number }> {
  const indices = Array.from({ length: options.problems }, (_, i) => i);
  const rewards = { accuracy: 1, format: 0, validity: 0, overlong: null };
  const { groups, flops, tokens } = await rollout(model, task, indices, {
    ...options,
    groupSize: options.samples,
    rewards,
  });
  const samples = groups.flatMap((g) => g.samples);
  const tallies = groups.map((group) => {
    const scored = group.samples.filter((s) => s.verdict.value !== null);
    return { samples: scored.length, right: scored.filter((s) => s.verdict.value === 1).length };
  });
  const { mean, interval } = passAt1(tallies.filter((tally) => tally.samples > 0));
  const equations = samples.flatMap((s) => s.equations);
  const examples = groups.slice(0, EXAMPLES).map((group) =>
    groupRecord(
      group,
      group.samples.map(() => 0),
    ),
  );
  return {
    record: {
      label: options.label,
      task: task.name,
      problems: options.problems,
      samplesPerProblem: options.samples,
      temperature: options.temperature,
      passAt1: mean,
      interval,
      majAtK:
        options.samples < 2
          ? null
          : groups.reduce((total, g) => total + majorityAtK(votes(g)), 0) / groups.length,
      thoughtValidity:
        equations.length === 0 ? null : equations.filter((e) => e.holds).length / equations.length,
      validityByPosition: validityByPosition(samples),
      meanTokens: samples.reduce((total, s) => total + s.ids.length, 0) / samples.length,
      truncated: samples.filter((s) => s.finish === "length").length / samples.length,
      examples,
    },
    examples,
    flops,
    tokens,
  };
}

function votes(group: Group): Vote[] {
  return group.samples.map(({ verdict }) => ({ answer: verdict.extracted, right: verdict.value === 1 }));
}
