/**
 * What a run says while it goes on: one line of `events` for the page, the terminal and `--json`.
 * The engine's worker posts these; metrics and samples are also appended to the run folder.
 */
import type { Verdict } from "./tasks/problem.ts";

/** A metric that could not be computed is `null`, never NaN: every line stays valid JSON. */
export type Metrics = Record<string, number | null>;

export interface SampleRecord {
  /** The whole completion as text. */
  completion: string;
  tokens: number;
  verdict: Verdict;
  /** `null`: unscored, it took no part in the group. */
  reward: number | null;
  advantage: number;
}

/** The completions of one problem side by side: GRPO's group. */
export interface GroupRecord {
  problem: string;
  prompt: string;
  samples: SampleRecord[];
}

export interface EvaluationRecord {
  /** "base" before RL, "final" after it, or a checkpoint's name. */
  label: string;
  task: string;
  problems: number;
  samplesPerProblem: number;
  temperature: number;
  passAt1: number;
  /** 95 % interval of passAt1. */
  interval: [number, number];
  majAtK: number | null;
  /** Share of the equations in the thoughts that are true; `null` where the task has none. */
  thoughtValidity: number | null;
  /** The same by position: `[from, to)` in tokens, share of true equations, how many equations. */
  validityByPosition: { from: number; to: number; share: number; equations: number }[];
  meanTokens: number;
  truncated: number;
  /** The first problems with their answers: the same ones in every evaluation of a task and split. */
  examples?: GroupRecord[];
}

export interface StageInfo {
  name: string;
  kind: "pretrain" | "sft" | "grpo" | "evaluate";
  totalSteps: number;
}

/** What a run has cost so far; `null` is an unknown cost, which is not zero. */
export interface Bill {
  flops: number;
  seconds: number;
  wattHours: number | null;
  dollars: number | null;
  lines: {
    stage: string;
    flops: number;
    seconds: number;
    tokens: number;
    wattHours: number | null;
    dollars: number | null;
  }[];
  method: string;
}

export type RunEvent =
  | {
      type: "run";
      name: string;
      folder: string;
      seed: number;
      parameters: number;
      stages: StageInfo[];
      startedAt: string;
      resumedAt: number | null;
    }
  | { type: "stage"; index: number; stage: StageInfo }
  | {
      type: "metrics";
      stage: string;
      step: number;
      totalSteps: number;
      secondsLeft: number | null;
      metrics: Metrics;
    }
  | { type: "samples"; stage: string; step: number; groups: GroupRecord[] }
  | { type: "evaluation"; evaluation: EvaluationRecord }
  | { type: "bill"; bill: Bill }
  | { type: "notice"; level: "info" | "warning"; message: string }
  /** Whether another program takes a core: at each change. */
  | { type: "cores"; taken: boolean }
  | { type: "done"; folder: string; report: string }
  | { type: "error"; message: string; remedy: string | null };
