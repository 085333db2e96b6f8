/** Trains by a recipe, in a thread of its own, and evaluates a model on a task. */
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { type EvaluateOptions, evaluate as evaluateModel } from "../eval/evaluate.ts";
import type { EvaluationRecord, RunEvent } from "../events.ts";
import { usageError } from "../lib/errors.ts";
import { largestCompletion } from "../recipe/resolve.ts";
import { launchRun } from "../run/launch.ts";
import { Engine, type EngineOptions } from "../runtime/engine.ts";
import { openForInference } from "../sample/inference.ts";
import type { Task } from "../tasks/problem.ts";
import { type TaskInput, taskFrom } from "../tasks/registry.ts";
import type { LanguageModel } from "./model.ts";

/** What `train` is told beside the recipe. */
export interface TrainOptions {
  /** Called with each event as it happens: metrics of a step, samples, evaluations, the bill. */
  onEvent?: (event: RunEvent) => void;
  /** Finishes the step in flight, saves a checkpoint and ends; the same call resumes. */
  signal?: AbortSignal;
  /** The folder of all runs; default "runs". */
  root?: string;
  /** The run's name, where the recipe has none. */
  name?: string;
  /** Starts over where a run of this name was not finished; the earlier one is kept under another name. */
  fresh?: boolean;
  /** Device and threads; default: the CPU and all cores that this process may use. */
  engine?: EngineOptions;
}

/** What a run has left. */
export interface TrainResult {
  /** The run's folder, which `loadModel` opens. */
  folder: string;
  /** "stopped": the signal ended it before its last step. */
  outcome: "finished" | "stopped";
  /** The evaluations of the recipe, in their order. */
  evaluations: EvaluationRecord[];
}

/**
 * Runs a recipe, or what is left of it, in a thread of its own.
 * @param recipe the path of a YAML file, or the recipe as an object; paths in the latter are relative to the working folder
 * @throws UserError for a recipe that can't be followed; FailureError for what went wrong in the run
 */
export async function train(recipe: string | object, options: TrainOptions = {}): Promise<TrainResult> {
  const { onEvent, signal, root, name, fresh, engine } = options;
  const isPath = typeof recipe === "string";
  const order = {
    recipeFile: isPath ? recipe : join(resolve(), "recipe.json"),
    recipeText: isPath ? readFileSync(recipe, "utf8") : JSON.stringify(recipe),
    ...{ root, name, fresh, engine },
  };
  let folder = "";
  const evaluations: EvaluationRecord[] = [];
  signal?.throwIfAborted();
  const run = launchRun(order, (event) => {
    if (event.type === "run") folder = event.folder;
    if (event.type === "evaluation") evaluations.push(event.evaluation);
    onEvent?.(event);
  });
  signal?.addEventListener("abort", run.stop);
  try {
    return { outcome: await run.done, folder, evaluations };
  } finally {
    signal?.removeEventListener("abort", run.stop);
  }
}

const MOST_TOKENS = 1024;

/** All that `evaluate` may be told; the rest has a default. */
export interface EvaluationOptions extends Partial<Omit<EvaluateOptions, "sampling">> {
  /** Default 0.6. */
  temperature?: number;
  topP?: number;
  topK?: number;
}

/**
 * Scores a model on problems of a task: pass@1 and pass@k with intervals, tallies and examples.
 * @param task a task, or a built-in one as a recipe describes it, such as `{ kind: "countdown" }`
 * @param options defaults: 200 problems of the test split, one sample each, temperature 0.6, and completions of 1,024 tokens or
 *   what the model's positions leave
 * @throws UserError if there are fewer problems than asked for, or none can be scored
 */
export async function evaluate(
  model: LanguageModel,
  task: Task | TaskInput,
  options: EvaluationOptions = {},
): Promise<EvaluationRecord> {
  const { temperature = 0.6, topP, topK, ...rest } = options;
  const { path } = model;
  const { precision, engine } = model.options;
  if (typeof task !== "object" || task === null)
    throw usageError("The task is no object.", 'Give a task, or one such as { kind: "countdown" }.');
  const chosen = "verify" in task ? task : await taskFrom(task);
  // Many sequences at once: no drafts, and threads for a batch.
  const session = await openForInference(path, {
    ...{ precision, batched: true },
    engine: engine && new Engine(engine),
  });
  try {
    const { record } = await evaluateModel(session, chosen, {
      ...{ label: "library", seed: 0, split: "test", problems: 200, samples: 1 },
      maxNewTokens: Math.min(MOST_TOKENS, largestCompletion(session)),
      ...rest,
      sampling: { temperature, topP, topK },
    });
    return record;
  } finally {
    await session.release();
  }
}
