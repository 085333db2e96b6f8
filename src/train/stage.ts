/** What a training stage is to the run around it: it advances step by step, can be saved at any step, and is released. */

import type { ModelShape } from "../checkpoint/folder.ts";
import type { GroupRecord, Metrics } from "../events.ts";
import type { Work } from "../ledger/work.ts";
import type { LoraOptions } from "../models/lora.ts";
import type { HostValue } from "../runtime/session.ts";

/** A model between stages, of any architecture. */
export interface Model extends ModelShape {
  parameters: ReadonlyMap<string, HostValue>;
}

/** What a stage needs beside its options. */
export interface StageContext {
  /** Of the stage's random streams: its problems or documents, its samples, its adapter. */
  seed: number;
  threads?: number;
}

/** A step's own work is part of it. */
export interface StepReport extends Work {
  metrics: Metrics;
  groups: GroupRecord[];
  /** What the person should know: above all that, and why, a step could not learn. */
  notices: string[];
}

/** Everything needed to go on as if the stage had never stopped. */
export interface StageSnapshot {
  tensors: Map<string, HostValue>;
  state: unknown;
}

/** A LoRA adapter, under PEFT's names. */
export interface TrainedAdapter {
  lora: LoraOptions;
  tensors: ReadonlyMap<string, HostValue>;
}

export interface TrainingStage {
  readonly totalSteps: number;
  /** Steps done. */
  readonly done: number;
  advance(): Promise<StepReport>;
  /** All that was computed so far, in the step under way too. */
  work(): Work;
  /** The current parameters; valid until the next `advance`. */
  parameters(): ReadonlyMap<string, HostValue>;
  snapshot(): StageSnapshot;
  /** What an adapter's stage trained; `null` where all parameters are. */
  adapter(): TrainedAdapter | null;
  release(): Promise<void>;
}

/** What lies under `prefix` in a snapshot, without the prefix. */
export function tensorsUnder(
  tensors: ReadonlyMap<string, HostValue>,
  prefix: string,
): Map<string, HostValue> {
  return new Map(
    [...tensors].flatMap(([name, value]) =>
      name.startsWith(prefix) ? [[name.slice(prefix.length), value]] : [],
    ),
  );
}
