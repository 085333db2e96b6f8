/**
 * Runs verifiers in worker threads that can be killed, for tasks whose code is not ours; our own verifiers are linear and
 * are called directly. A hung verifier blocks its thread only: the thread is terminated and replaced. The completion that
 * hung it is unscored, since nobody knows whether it is right. A policy could learn to get rid of bad samples that way, so
 * training counts such completions (`verifier/ended`) and says when they are more than a few.
 */
import type { Worker } from "node:worker_threads";
import type { Environment, Outcome, Problem, Task, Verdict } from "./problem.ts";
import { checkedVerdict, ended, fault, oversized, wasEnded } from "./verdict.ts";
import type { TaskSource, WorkerJob, WorkerReply } from "./verifier-messages.ts";
import { received, startTaskThread, THREAD_HEAP_MB, THREAD_START_MS } from "./verifier-thread.ts";

export type { TaskSource } from "./verifier-messages.ts";

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

/** A thread takes about this long to start: another one is started where the work lasts longer. */
const WORTH_A_THREAD_MS = 300;

/**
 * Threads that load a task and verify completions. A verdict that takes too long is unscored, and its thread is replaced.
 */
export class VerifierPool {
  /** Completions that took too much time or memory. */
  ended = 0;
  /** Verdicts that failed. */
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
      startMs: options.startMs ?? THREAD_START_MS,
      heapMb: options.heapMb ?? THREAD_HEAP_MB,
    };
  }

  /** Verdicts in the order of the items. @throws UserError where the task cannot be loaded: wrong module, export or options, or too slow */
  verify(items: readonly WorkerJob[]): Promise<Verdict[]> {
    return this.#each(items, (reply) => this.#verdict(reply));
  }

  /** The same for the steps of an environment. */
  step(items: readonly WorkerJob[]): Promise<Outcome[]> {
    const jobs = items.map((item) => ({ ...item, step: true }));
    return this.#each<Outcome>(jobs, (reply) => {
      if (typeof reply === "object" && "state" in reply) return reply;
      // A thread that failed has a verdict alone.
      return {
        verdict: this.#verdict(typeof reply === "object" && "verdict" in reply ? reply.verdict : reply),
      };
    });
  }

  #verdict(reply: unknown): Verdict {
    const verdict = checkedVerdict(() => reply);
    if (verdict.value === null && !wasEnded(verdict)) this.faults++;
    return verdict;
  }

  async #each<T>(items: readonly WorkerJob[], read: (reply: WorkerReply) => T): Promise<T[]> {
    const results: T[] = [];
    /** When the first verdict was there: before it, a thread was started. */
    let began: number | null = null;
    const lanes: Promise<void>[] = [];
    let next = 0;
    const lane = async () => {
      while (next < items.length) {
        const at = next++;
        const job = items[at]!;
        results[at] = read(oversized(job.completion) ?? (await this.#ask(job)));
        began ??= performance.now();
        const lasts = performance.now() - began > WORTH_A_THREAD_MS * lanes.length;
        if (lasts && lanes.length < this.#limits.size && next < items.length) begin();
      }
    };
    const begin = () => {
      const own = lane();
      // It is awaited below, perhaps only after it has failed.
      own.catch(() => {});
      lanes.push(own);
    };
    const atOnce = Math.min(this.#limits.size, Math.max(1, this.#idle.length), items.length);
    for (let i = 0; i < atOnce; i++) begin();
    // Lanes begin others: until none has.
    for (let all = 0; all < lanes.length; ) {
      all = lanes.length;
      await Promise.all(lanes);
    }
    return results;
  }

  /** Threads that there are now. */
  get threads(): number {
    return this.#all.size;
  }

  /** Ends all threads. */
  async close(): Promise<void> {
    this.#idle.length = 0;
    await Promise.all([...this.#all].map((worker) => worker.terminate()));
  }

  async #ask({ problem, completion, step }: WorkerJob): Promise<WorkerReply> {
    const worker = this.#idle.pop() ?? (await this.#start());
    worker.postMessage({ problem, completion, step } satisfies WorkerJob);
    const reply = await nextReply(worker, this.#limits.limitMs);
    if (reply instanceof Failure) {
      await worker.terminate();
      if (reply.kind !== "crash") this.ended++;
      return reply.kind === "crash" ? fault(reply.message) : ended(reply.kind);
    }
    this.#idle.push(worker);
    return reply;
  }

  async #start(): Promise<Worker> {
    const worker = startTaskThread({ source: this.#source }, this.#limits.heapMb);
    this.#all.add(worker);
    worker.once("exit", () => {
      this.#all.delete(worker);
      const at = this.#idle.indexOf(worker);
      if (at !== -1) this.#idle.splice(at, 1);
    });
    const reply = await nextReply(worker, this.#limits.startMs);
    if (reply === "ready") return worker;
    await worker.terminate();
    const message = reply instanceof Failure ? reply.message : "it sent no greeting";
    const error = "error" in reply ? reply.error : { kind: null, message, remedy: null, data: {} };
    throw received(error, this.#source);
  }
}

/**
 * The task with its verifier in threads, for rollouts and evaluations of a task whose code is not ours. `source` says
 * how a thread makes the same task; `maxTurns` is an environment's. `pool.close()` ends the threads.
 */
export function inThreads<P extends Problem>(
  task: Task<P>,
  source: TaskSource,
  {
    maxTurns = task.environment?.maxTurns,
    ...options
  }: PoolOptions & Partial<Pick<Environment, "maxTurns">> = {},
): Task<P> & { pool: VerifierPool } {
  const pool = new VerifierPool(source, options);
  const verifyAll = (items: { problem: P; completion: string }[]) => pool.verify(items);
  const environment: Environment | undefined =
    maxTurns === undefined ? undefined : { maxTurns, step: (items) => pool.step(items) };
  // Everything else, methods of classes too, comes from the task.
  return Object.assign(Object.create(task) as Task<P>, { verifyAll, environment, pool });
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
