/** What a thread that holds a task is told, and what it answers. */
import type { ErrorKind } from "../lib/errors.ts";
import type { Curriculum } from "./curriculum.ts";
import type { Outcome, Problem, Verdict } from "./problem.ts";

/** Where the thread finds its task: `(await import(module))[factory](options)`. */
export interface TaskSource {
  /** URL of a module, "file:///…". */
  module: string;
  /** Name of an exported function that takes the options and returns a `Task`, or a promise of one. */
  factory: string;
  /** Plain data. */
  options: unknown;
}

/** What a task has beside functions. */
export interface TaskOutline {
  name: string;
  rewards: string[];
  solves: boolean;
  thinks: boolean;
  curriculum?: Curriculum;
  /** Of an environment. */
  maxTurns?: number;
}

/** A method of the task with its arguments; `reward` takes a reward's name first. */
export interface TaskCall {
  method: "generate" | "content" | "verify" | "solve" | "thought" | "reward";
  args: unknown[];
}

export interface WorkerJob {
  problem: Problem;
  completion: string;
  /** What follows is wanted, not only the verdict: an environment's step. */
  step?: boolean;
}

/** An error that crosses threads. `kind` is `null` unless it is a `UserError`. */
export interface SentError {
  kind: ErrorKind | null;
  message: string;
  remedy: string | null;
  data: Readonly<Record<string, unknown>>;
}

export type WorkerReply = "ready" | { error: SentError } | Verdict | Outcome;
export type TaskAnswer = { value: unknown } | { error: SentError };
