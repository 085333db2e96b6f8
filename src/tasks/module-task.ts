/** A task of one's own as a recipe names it: its file runs in threads, which are ended where it hangs. */

import { statSync } from "node:fs";
import { availableParallelism } from "node:os";
import { extname, resolve } from "node:path";
import { z } from "zod";
import { positive } from "../lib/schema.ts";
import { targetDifficulty } from "./curriculum.ts";
import { blameIn, fileError } from "./module-file.ts";
import type { CheckedCompletion, Problem, Reward, Task, Verdict } from "./problem.ts";
import { chatPromptTemplate } from "./prompt.ts";
import { ended, fault } from "./verdict.ts";
import { inThreads, type VerifierPool } from "./verifier-pool.ts";
import { NoAnswer, type TaskCall, type TaskOutline, TaskThread, THREAD_START_MS } from "./verifier-thread.ts";

export const moduleOptions = z.strictObject({
  kind: z.literal("module"),
  module: z
    .string()
    .min(1)
    .describe(
      "A file in TypeScript or JavaScript whose default export is `defineTask({ ... })` or `defineEnvironment({ ... })`: code that runs.",
    ),
  difficulty: z
    .union([z.number(), targetDifficulty])
    .default(1)
    .describe("What `generate` or `start` gets as its difficulty, or how the file's `levels` are followed."),
  options: z
    .record(z.string(), z.unknown())
    .optional()
    .describe("What the file's default export gets, where that is a function."),
  timeLimit: positive
    .default(2)
    .describe("Seconds that one verdict or step may take; it is unscored after that."),
  template: chatPromptTemplate,
});

export type ModuleOptions = z.output<typeof moduleOptions>;
export type ModuleInput = z.input<typeof moduleOptions>;

/** Whether a task's name is a file in TypeScript or JavaScript. */
export const isModuleFile = (name: string): boolean => /\.[cm]?[jt]sx?$/.test(name);

/** Milliseconds that a problem may take. */
const GENERATE_MS = 10_000;
/** Threads that verify. */
const MOST_THREADS = 4;

type ModuleTask = Task & { pool: VerifierPool; thread: TaskThread };

/** Tasks whose threads are there: what checks a recipe and the stages that run it share them. */
const open = new Map<string, ModuleTask>();

/** @throws UserError "task" where the file cannot be loaded, naming the line, and from `generate` where that is at fault */
export function moduleTask(options: ModuleOptions): Task {
  // A changed file is another task.
  const changed = statSync(options.module, { throwIfNoEntry: false })?.mtimeMs;
  if (changed === undefined)
    throw fileError(options.module, null, { what: "there is no such file", remedy: "Correct the path." });
  const key = JSON.stringify([resolve(options.module), changed, options]);
  const known = open.get(key);
  if (known !== undefined) return known;
  const task = start(options);
  open.set(key, task);
  return task;
}

/** Ends the threads of all tasks that are files. They keep no process alive: this is for one that goes on. */
export async function closeModules(): Promise<void> {
  const tasks = [...open.values()];
  open.clear();
  await Promise.all(tasks.flatMap(({ pool, thread }) => [pool.close(), thread.close()]));
}

function start(options: ModuleOptions): ModuleTask {
  const { module, timeLimit } = options;
  const source = {
    module: new URL(`./module-file${extname(import.meta.url)}`, import.meta.url).href,
    factory: "taskOfModule",
    options,
  };
  const thread = new TaskThread(source);
  const limitMs = 1000 * timeLimit;
  const blame = blameIn(module);
  const { name, rewards, solves, thinks, curriculum, maxTurns } = outlineOf(module, thread);
  const call = <T>(method: TaskCall["method"], args: unknown[], limit = limitMs): T => {
    try {
      return thread.call({ method, args }, limit) as T;
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      const at = method === "generate" ? ` for the seed ${error.seed}` : "";
      const part = maxTurns !== undefined && method === "generate" ? "start" : method;
      const did = error.why === "timeout" ? `gave nothing in ${limit / 1000} s` : "ended its thread";
      throw blame(part === "reward" ? "rewards" : part, did + at);
    }
  };
  const reward =
    (of: string): Reward =>
    (problem: Problem, completion: CheckedCompletion) =>
      call("reward", [of, problem, completion]);
  const task: Task = {
    name,
    curriculum,
    generate: (key) => call("generate", [key], Math.max(limitMs, GENERATE_MS)),
    content: (problem) => call("content", [problem]),
    verify: (problem, completion) => {
      try {
        return thread.call({ method: "verify", args: [problem, completion] }, limitMs) as Verdict;
      } catch (error) {
        if (!(error instanceof NoAnswer)) throw error;
        return error.why === "timeout" ? ended("timeout") : fault("the thread ended");
      }
    },
    ...(solves && { solve: (problem) => call<string>("solve", [problem]) }),
    ...(thinks && { thought: (problem) => call<string>("thought", [problem]) }),
    rewards: Object.fromEntries(rewards.map((of) => [of, reward(of)])),
  };
  const size = Math.min(MOST_THREADS, availableParallelism());
  return Object.assign(inThreads(task, source, { limitMs, size, maxTurns }), { thread });
}

function outlineOf(module: string, thread: TaskThread): TaskOutline {
  try {
    return thread.outline();
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error;
    const what =
      error.why === "timeout"
        ? `it was not loaded in ${THREAD_START_MS / 1000} s`
        : "it ended its thread while it was loaded";
    const remedy = "See its top level for a loop or a promise that never ends, and for process.exit.";
    throw fileError(module, null, { what, remedy });
  }
}
