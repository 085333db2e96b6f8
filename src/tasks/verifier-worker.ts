/** A thread of `VerifierPool`: makes the task, then verifies one completion a message. */
import { parentPort, workerData } from "node:worker_threads";
import type { Problem, Task, Verdict } from "./problem.ts";
import { fault } from "./verdict.ts";

/** Where the worker finds its task: `(await import(module))[factory](options)`. */
export interface TaskSource {
  /** URL of a module, "file:///…". */
  module: string;
  /** Name of an exported function that takes the options and returns a `Task`, or a promise of one. */
  factory: string;
  /** Plain data. */
  options: unknown;
}

export type WorkerReply = "ready" | Verdict;

export interface WorkerJob {
  problem: Problem;
  completion: string;
}

async function main(): Promise<void> {
  const port = parentPort;
  if (!port) return;
  const source = workerData as TaskSource;
  const module = (await import(source.module)) as Record<string, (options: unknown) => Task | Promise<Task>>;
  const factory = module[source.factory];
  if (typeof factory !== "function")
    throw new Error(`${source.module} exports no function ${source.factory}.`);
  const task = await factory(source.options);
  port.on("message", ({ problem, completion }: WorkerJob) => {
    let reply: WorkerReply;
    try {
      reply = task.verify(problem, completion);
    } catch (error) {
      reply = fault(error);
    }
    port.postMessage(reply);
  });
  port.postMessage("ready" satisfies WorkerReply);
}

await main();
