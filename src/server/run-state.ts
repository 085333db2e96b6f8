/**
 * The state of a run: the fold of its events. The server folds them for a page that opens, and the page folds the events
 * that follow, so both have the same state.
 */
import type { EvaluationRecord, GroupRecord, RunEvent, StageInfo } from "../events.ts";
import type { Bill } from "../ledger/bill.ts";

/** A stage's metrics by column; every column is as long as `steps`, a missing value is `null`. */
export interface Curves {
  steps: number[];
  columns: Record<string, (number | null)[]>;
}

export interface KeptSamples {
  stage: string;
  step: number;
  groups: GroupRecord[];
}

export interface RunState {
  run: Extract<RunEvent, { type: "run" }> | null;
  /** Index into `run.stages` of the current stage, `null` before the first. */
  stageIndex: number | null;
  progress: { stage: string; step: number; totalSteps: number; secondsLeft: number | null } | null;
  curves: Record<string, Curves>;
  /** In the order of the run; thinned, see `thin`. */
  samples: KeptSamples[];
  evaluations: EvaluationRecord[];
  bill: Bill | null;
  /** The latest, oldest first. */
  notices: { level: "info" | "warning"; message: string }[];
  /** Whether another program takes a core now. */
  coresTaken: boolean;
  outcome: Extract<RunEvent, { type: "done" | "error" }> | null;
}

/** Groups kept of a step, and steps with samples kept of a stage. */
export const GROUPS_KEPT = 4;
export const SAMPLED_STEPS_KEPT = 24;
const LATEST_KEPT = 6;
const NOTICES_KEPT = 20;

export function emptyRun(): RunState {
  return {
    run: null,
    stageIndex: null,
    progress: null,
    curves: {},
    samples: [],
    evaluations: [],
    bill: null,
    notices: [],
    coresTaken: false,
    outcome: null,
  };
}

/** Folds one event into `state` in place, since copying long curves at each step is slow. */
export function apply(state: RunState, event: RunEvent): void {
  switch (event.type) {
    case "run":
      // A resumed run keeps its state; another run starts from an empty one.
      if (event.resumedAt === null || state.run?.folder !== event.folder) Object.assign(state, emptyRun());
      state.run = event;
      state.outcome = null;
      state.coresTaken = false;
      break;
    case "stage":
      state.stageIndex = event.index;
      state.progress = {
        stage: event.stage.name,
        step: 0,
        totalSteps: event.stage.totalSteps,
        secondsLeft: null,
      };
      break;
    case "metrics": {
      const { stage, step, totalSteps, secondsLeft } = event;
      state.progress = { stage, step, totalSteps, secondsLeft };
      // A stage may be called "constructor".
      if (!Object.hasOwn(state.curves, stage)) state.curves[stage] = { steps: [], columns: {} };
      addPoint(state.curves[stage], step, event.metrics);
      break;
    }
    case "samples": {
      const { stage, step, groups } = event;
      // A resumed run repeats steps: new samples replace the old ones.
      const others = state.samples.filter((kept) => kept.stage !== stage || kept.step < step);
      state.samples = thin([...others, { stage, step, groups: groups.slice(0, GROUPS_KEPT) }], stage);
      break;
    }
    case "evaluation": {
      const { label, task } = event.evaluation;
      const others = state.evaluations.filter((known) => known.label !== label || known.task !== task);
      state.evaluations = [...others, event.evaluation];
      break;
    }
    case "bill":
      state.bill = event.bill;
      break;
    case "notice":
      state.notices = [...state.notices, { level: event.level, message: event.message }].slice(-NOTICES_KEPT);
      break;
    case "cores":
      state.coresTaken = event.taken;
      break;
    case "done":
    case "error":
      state.coresTaken = false;
      state.outcome = event;
  }
}

export function currentStage(state: RunState): StageInfo | null {
  return state.stageIndex === null ? null : (state.run?.stages[state.stageIndex] ?? null);
}

function addPoint(curves: Curves, step: number, metrics: Record<string, number | null>): void {
  // A resumed run repeats steps: its values replace the old ones from this step on.
  let known = curves.steps.length;
  while (known > 0 && curves.steps[known - 1]! >= step) known--;
  curves.steps.length = known;
  curves.steps.push(step);
  for (const name of Object.keys(metrics))
    if (!Object.hasOwn(curves.columns, name)) curves.columns[name] = [];
  for (const [name, column] of Object.entries(curves.columns)) {
    const length = Math.min(column.length, known);
    column.length = length;
    for (let missing = length; missing < known; missing++) column.push(null);
    const value = (Object.hasOwn(metrics, name) ? metrics[name] : null) ?? null;
    column.push(value === null ? null : Number(value.toPrecision(6)));
  }
}

/**
 * Keeps a stage's first and latest samples, and drops the step between them that leaves the smallest gap, so that the
 * steps kept are spread evenly.
 */
function thin(samples: KeptSamples[], stage: string): KeptSamples[] {
  const own = samples.filter((kept) => kept.stage === stage);
  if (own.length <= SAMPLED_STEPS_KEPT) return samples;
  let dropped = own[1]!;
  let smallest = Number.POSITIVE_INFINITY;
  for (let index = 1; index < own.length - LATEST_KEPT; index++) {
    const gap = own[index + 1]!.step - own[index - 1]!.step;
    if (gap < smallest) [smallest, dropped] = [gap, own[index]!];
  }
  return samples.filter((kept) => kept !== dropped);
}
