/** What passes between a run and its training stages: models, settings, snapshots and reports of steps. */

import type { ModelShape } from "../checkpoint/folder.ts";
import type { GroupRecord, Metrics } from "../events.ts";
import type { Work } from "../ledger/work.ts";
import type { LoraOptions } from "../models/lora.ts";
import type { Engine } from "../runtime/engine.ts";
import type { Value } from "../runtime/value.ts";

/** A model between stages, of any architecture. */
export interface Model extends ModelShape {
  parameters: ReadonlyMap<string, Value>;
}

/** What a stage needs beside its options. */
export interface StageContext {
  /** Seed of the stage's random streams: its problems or documents, its samples, its adapter. */
  seed: number;
  engine: Engine;
}

/** The result of a step. */
export interface StepResult {
  metrics: Metrics;
  groups: GroupRecord[];
  /** What the person should know: above all that, and why, a step could not learn. */
  notices: string[];
  /** Rows of training data, of a stage that makes some. */
  rows?: readonly object[];
}

/** The same with the step's work. */
export type StepReport = StepResult & Work;

/** Everything needed to continue as if the stage had never stopped. */
export interface StageSnapshot {
  tensors: Map<string, Value>;
  state: unknown;
}

/** A stage of a run that advances step by step, can be saved after each step, and is released. */
export interface Stage {
  readonly totalSteps: number;
  /** Steps done. */
  readonly done: number;
  /** One step. */
  advance(): Promise<StepReport>;
  /** The model's current parameters; valid until the next `advance`. */
  parameters(): ReadonlyMap<string, Value>;
  /** All that was computed so far, with the current step. */
  work(): Work;
  snapshot(): StageSnapshot;
  /** The trained adapter; `null` where there is none. */
  adapter(): TrainedAdapter | null;
  release(): Promise<void>;
}

/** A LoRA adapter, under PEFT's names. */
export interface TrainedAdapter {
  lora: LoraOptions;
  tensors: ReadonlyMap<string, Value>;
}

/** The tensors of a snapshot whose names begin with `prefix`, named without it. */
export function tensorsUnder(tensors: ReadonlyMap<string, Value>, prefix: string): Map<string, Value> {
  return new Map(
    [...tensors].flatMap(([name, value]) =>
      name.startsWith(prefix) ? [[name.slice(prefix.length), value]] : [],
    ),
  );
}
