/**
 * Events of a run: one line of `events` for the page, the terminal and `--json`.
 * The engine's worker posts these; metrics and samples are also appended to the run folder.
 */
import type { Bill } from "./ledger/bill.ts";
import type { Verdict } from "./tasks/problem.ts";

/** A metric that could not be computed is `null`, never NaN: every line stays valid JSON. */
export type Metrics = Record<string, number | null>;

/** A completion as the page and the journal show it. */
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

/** How one problem's completions came out. */
export interface ProblemTally {
  /** A digest of the problem's content: equal for equal problems, whatever their ids and the form of the prompt. */
  key: string;
  right: number;
  wrong: number;
  /** No single answer could be read; they count as 0. */
  unparsed: number;
  /** The verifier failed; they are in no mean. */
  unscored: number;
  /** The value that most completions gave, the one that came first of several; `null` where none could be read. */
  answer: string | null;
}

/** The result of an evaluation, as a run stores it. */
export interface EvaluationRecord {
  /** "base" before RL, "final" after it, or a checkpoint's name. */
  label: string;
  task: string;
  problems: number;
  samplesPerProblem: number;
  temperature: number;
  /** The thinking effort that the problems were asked at; absent: none. */
  effort?: number;
  passAt1: number;
  /** 95 % interval of passAt1. */
  interval: [number, number];
  /** Votes go to values; see `majority`. `null` for one sample per problem. */
  majAtK: number | null;
  /** 95 % interval of majAtK. */
  majInterval?: [number, number] | null;
  /** pass@k, the unbiased estimator averaged over problems, with 95 % intervals. */
  passAtK?: { k: number; value: number; interval: [number, number] }[];
  /** All completions by verdict; the scores' denominator is all but the unscored. */
  counts?: { right: number; wrong: number; unparsed: number; unscored: number };
  /** Every problem in the order of the evaluation; records of older versions have none. */
  tallies?: ProblemTally[];
  /** What the steps are called that the task checks in the thoughts, such as "equations"; `null`: none. Absent in records of older versions. */
  stepName?: string | null;
  /** Share of these steps that hold; `null` where there are none. */
  thoughtValidity: number | null;
  /** The same by position: `[from, to)` in tokens, and the number of steps. */
  validityByPosition: { from: number; to: number; share: number; steps: number }[];
  /** Share of completions that are readable: see tasks/readable.ts. Absent in records of older versions. */
  readable?: number;
  /** Share of the thoughts' words in the prompt's language, the mean over thoughts with words; `null`: none has any. */
  language?: number | null;
  meanTokens: number;
  truncated: number;
  /** The first problems with their answers: the same ones in every evaluation of a task and split. */
  examples?: GroupRecord[];
}

/** Names of metrics in older versions, and today's. */
const RENAMED: Record<string, string> = {
  rate: "lr",
  pass1: "pass@1",
  "groups/informative": "groups/signal",
};

/** Metrics under the names of this version; they may come from an older run. */
export const currentMetrics = (stored: Metrics): Metrics =>
  Object.fromEntries(Object.entries(stored).map(([name, value]) => [RENAMED[name] ?? name, value]));

/** A record under the names of this version; one of an older version has checked equations. */
export function currentEvaluation(record: EvaluationRecord): EvaluationRecord {
  if (record.stepName !== undefined) return record;
  const old = record.validityByPosition as { equations?: number }[];
  return {
    ...record,
    stepName: "equations",
    validityByPosition: record.validityByPosition.map((bucket, i) => ({
      ...{ from: bucket.from, to: bucket.to, share: bucket.share },
      steps: old[i].equations ?? bucket.steps,
    })),
  };
}

/** A stage of a run before it begins. */
export interface StageInfo {
  name: string;
  kind: "pretrain" | "sft" | "grpo" | "sample" | "distill" | "merge" | "evaluate";
  totalSteps: number;
  /** Of a stage that asks problems: what the task calls the steps of a thought, such as "equations". */
  stepName?: string;
}

/** What happens in a run, by `type`. */
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
