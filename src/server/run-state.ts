/**
 * A run so far, as one value: the fold of its events. The server folds to answer a page that has
 * just been opened, the page folds to stay current, so both see the same run by construction.
 */
import type { EvaluationRecord, GroupRecord, RunEvent, StageInfo } from "../events.ts";
import type { Bill } from "../ledger/bill.ts";

/** One stage's metrics by column; every column is as long as `steps`, absent values are `null`. */
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
  /** Index into `run.stages` of the stage under way, `null` before the first. */
  stageIndex: number | null;
  progress: { stage: string; step: number; totalSteps: number; secondsLeft: number | null } | null;
  curves: Record<string, Curves>;
  /** In the order of the run; thinned, see `thin`. */
  samples: KeptSamples[];
  evaluations: EvaluationRecord[];
  bill: Bill | null;
  /** The latest, oldest first. */
  notices: { level: "info" | "warning"; message: string }[];
  /** Another program takes a core now. */
  coresTaken: boolean;
  outcome: Extract<RunEvent, { type: "done" | "error" }> | null;
}

/** A step keeps this many groups, a stage this many steps with samples. */
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

/** Folds one event into `state`, in place: curves are long, and copying them each step is not free. */
export function apply(state: RunState, event: RunEvent): void {
  switch (event.type) {
    case "run":
      // The same run taken up again keeps what is known of it; another run starts from nothing.
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
      // A resumed run repeats steps: what it says now replaces what was said of them before.
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
  // A step at or before the last one comes from a resumed run: its values win, each step counts once.
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
 * Keeps a stage's first and latest samples, and among the others drops the one that leaves the
 * smallest gap: early thoughts stay at hand for comparison, evenly spread.
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
