/**
 * Runs verifiers in worker threads that can be killed, for tasks whose code is not ours; our own verifiers are linear and
 * are called directly. A hung verifier blocks its thread only: the thread is terminated and replaced, and the completion
 * that hung it gets 0, since a policy could get rid of a bad sample that is unscored.
 */
import type { Worker } from "node:worker_threads";
import { UserError } from "../lib/errors.ts";
import { startThread } from "../runtime/thread.ts";
import type { Problem, Task, Verdict } from "./problem.ts";
import { checkedVerdict, exceeded, fault, oversized } from "./verdict.ts";
import type { TaskSource, WorkerJob, WorkerReply } from "./verifier-worker.ts";

export type { TaskSource } from "./verifier-worker.ts";

/** How many threads verify, and what each verdict may take. */
export interface PoolOptions {
  /** Threads. */
  size?: number;
  /** Milliseconds that one verdict may take, counted from the moment when its thread begins. */
  limitMs?: number;
  /** Milliseconds that a thread may take to load its task. */
  startMs?: number;
  /** MiB that a thread may take before it is ended. */
  heapMb?: number;
}

/**
 * Threads that load a task and verify completions. A verdict that takes too long is 0, and its thread is replaced.
 */
export class VerifierPool {
  /** Completions that hung their verifier: a metric. */
  timeouts = 0;
  /** Verdicts that failed and are unscored. */
  faults = 0;
  readonly #source: TaskSource;
  readonly #limits: Required<PoolOptions>;
  /** Loaded threads that wait for work, among those of all `verify` calls. */
  readonly #idle: Worker[] = [];
  readonly #all = new Set<Worker>();

  constructor(source: TaskSource, options: PoolOptions = {}) {
    this.#source = source;
    this.#limits = {
      size: options.size ?? 1,
      limitMs: options.limitMs ?? 2000,
      startMs: options.startMs ?? 30_000,
      heapMb: options.heapMb ?? 512,
    };
  }

  /** Verdicts in the order of the items. @throws UserError where the task cannot be loaded: wrong module, export or options, or too slow */
  async verify(items: WorkerJob[]): Promise<Verdict[]> {
    const verdicts: Verdict[] = items.map(() => fault("not reached"));
    let next = 0;
    const lane = async () => {
      while (next < items.length) {
        const at = next++;
        const { problem, completion } = items[at]!;
        verdicts[at] = oversized(completion) ?? (await this.#verify(problem, completion));
      }
    };
    await Promise.all(Array.from({ length: Math.min(this.#limits.size, items.length) }, lane));
    return verdicts;
  }

  /** Ends all threads. */
  async close(): Promise<void> {
    this.#idle.length = 0;
    await Promise.all([...this.#all].map((worker) => worker.terminate()));
  }

  async #verify(problem: Problem, completion: string): Promise<Verdict> {
    const worker = this.#idle.pop() ?? (await this.#start());
    worker.postMessage({ problem, completion } satisfies WorkerJob);
    const reply = await nextReply(worker, this.#limits.limitMs);
    if (reply instanceof Failure) {
      await worker.terminate();
      // A completion that takes too much time or memory gets 0; any other failure is the verifier's.
      if (reply.kind === "crash") {
        this.faults++;
        return fault(reply.message);
      }
      if (reply.kind === "timeout") this.timeouts++;
      return exceeded(reply.kind);
    }
    this.#idle.push(worker);
    const verdict = checkedVerdict(() => reply);
    if (verdict.value === null) this.faults++;
    return verdict;
  }

  async #start(): Promise<Worker> {
    const worker = startWorker(this.#source, this.#limits.heapMb);
    this.#all.add(worker);
    worker.once("exit", () => {
      this.#all.delete(worker);
      const at = this.#idle.indexOf(worker);
      if (at !== -1) this.#idle.splice(at, 1);
    });
    // An error between two verdicts ends the thread, not the process.
    worker.on("error", () => {});
    const reply = await nextReply(worker, this.#limits.startMs);
    if (reply === "ready") return worker;
    await worker.terminate();
    const { module, factory } = this.#source;
    const problem = reply instanceof Failure ? reply.message : "it sent no greeting";
    throw new UserError({
      kind: "verifier",
      what: `The task ${factory} of ${module} could not be started in a worker: ${problem}`,
      data: { source: this.#source },
    });
  }
}

/**
 * The task with its verifier in threads, for rollouts and evaluations of a task whose code is not ours. `source` says
 * how a thread makes the same task. `pool.close()` ends the threads.
 */
export function inThreads<P extends Problem>(
  task: Task<P>,
  source: TaskSource,
  options: PoolOptions = {},
): Task<P> & { pool: VerifierPool } {
  const pool = new VerifierPool(source, options);
  const verifyAll = (items: { problem: P; completion: string }[]) => pool.verify(items);
  // Everything else, methods of classes too, comes from the task.
  return Object.assign(Object.create(task) as Task<P>, { verifyAll, pool });
}

class Failure {
  readonly kind: "timeout" | "memory" | "crash";
  readonly message: string;

  constructor(kind: Failure["kind"], message: string) {
    this.kind = kind;
    this.message = message;
  }
}

/** The thread's next message, or why there is none. */
function nextReply(worker: Worker, limitMs: number): Promise<WorkerReply | Failure> {
  return new Promise((resolve) => {
    const settle = (reply: WorkerReply | Failure) => {
      clearTimeout(timer);
      worker.off("message", settle).off("error", onError).off("exit", onExit);
      resolve(reply);
    };
    const onError = (error: NodeJS.ErrnoException) => {
      settle(new Failure(error.code === "ERR_WORKER_OUT_OF_MEMORY" ? "memory" : "crash", error.message));
    };
    const onExit = () => settle(new Failure("crash", "the thread ended"));
    const timer = setTimeout(() => settle(new Failure("timeout", `no answer in ${limitMs} ms`)), limitMs);
    worker.on("message", settle).on("error", onError).on("exit", onExit);
  });
}

function startWorker(source: TaskSource, heapMb: number): Worker {
  const resourceLimits = { maxOldGenerationSizeMb: heapMb };
  const worker = startThread("verifier-worker", import.meta.url, { workerData: source, resourceLimits });
  // An idle verifier keeps no process alive.
  worker.unref();
  return worker;
}
