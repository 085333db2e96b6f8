/**
 * Threads that hold a task whose code is not ours. `TaskThread` asks one and waits for it, as if the task were here: then a
 * generator that hangs ends with a message, whoever called it. Verdicts of many completions are the pool's (verifier-pool.ts).
 */
import { MessageChannel, type MessagePort, receiveMessageOnPort, type Worker } from "node:worker_threads";
import { UserError } from "../lib/errors.ts";
import { startThread } from "../runtime/thread.ts";
import type { SentError, TaskAnswer, TaskCall, TaskOutline, TaskSource } from "./verifier-messages.ts";
import type { ThreadData } from "./verifier-worker.ts";

export type { TaskCall, TaskOutline, TaskSource } from "./verifier-messages.ts";

/** MiB that a thread may take before it is ended. */
export const THREAD_HEAP_MB = 512;
/** Milliseconds that a thread may take to load its task. */
export const THREAD_START_MS = 30_000;

/** Starts a thread with the task of `source`. It keeps no process alive, and what it prints goes to standard error. */
export function startTaskThread(
  data: ThreadData,
  heapMb: number,
  ports: readonly MessagePort[] = [],
): Worker {
  const worker = startThread("verifier-worker", import.meta.url, {
    workerData: data,
    transferList: [...ports],
    // A flag of the process may keep a thread from starting, as --input-type does.
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: heapMb },
  });
  // An error between two answers ends the thread, not the process.
  worker.on("error", () => {});
  worker.unref();
  return worker;
}

/** A thread's error, here: a `UserError` as it was, any other under `kind: "verifier"`. */
export function received(
  { kind, message, remedy, data }: SentError,
  { module, factory }: TaskSource,
): UserError {
  if (kind !== null) return new UserError({ kind, what: message, remedy: remedy ?? undefined, data });
  const what = `The task ${factory} of ${module} could not be started in a thread: ${message}`;
  return new UserError({ kind: "verifier", what });
}

/** No answer came: "timeout", or "ended" where the thread is gone. `seed` is that of the last problem begun. */
export class NoAnswer extends Error {
  override name = "NoAnswer";
  readonly why: "timeout" | "ended";
  readonly seed: number;

  constructor(why: NoAnswer["why"], seed: number) {
    super(why);
    this.why = why;
    this.seed = seed;
  }
}

interface Started {
  worker: Worker;
  port: MessagePort;
  answered: Int32Array;
}

/** One thread, started when it is first asked, and again after it hung or ended. */
export class TaskThread {
  readonly #source: TaskSource;
  #started: Started | null = null;
  #outline: TaskOutline | null = null;

  constructor(source: TaskSource) {
    this.#source = source;
  }

  /** @throws UserError where the task cannot be made; NoAnswer */
  outline(): TaskOutline {
    if (this.#started === null) this.#start();
    return this.#outline!;
  }

  /** @throws UserError of the task; NoAnswer after this many milliseconds, or where the thread ends */
  call(call: TaskCall, limitMs: number): unknown {
    this.outline();
    const { port } = this.#started!;
    port.postMessage(call);
    return this.#answer(limitMs);
  }

  async close(): Promise<void> {
    const started = this.#started;
    this.#started = null;
    await started?.worker.terminate();
  }

  #start(): void {
    const { port1, port2 } = new MessageChannel();
    const answered = new Int32Array(new SharedArrayBuffer(8));
    const data = { source: this.#source, waiting: { port: port2, answered } };
    this.#started = { worker: startTaskThread(data, THREAD_HEAP_MB, [port2]), port: port1, answered };
    this.#outline = this.#answer(THREAD_START_MS) as TaskOutline;
  }

  #answer(limitMs: number): unknown {
    const { port, answered } = this.#started!;
    const waited = Atomics.wait(answered, 0, 0, limitMs);
    const reply = receiveMessageOnPort(port)?.message as TaskAnswer | undefined;
    Atomics.store(answered, 0, 0);
    if (reply === undefined || (this.#outline === null && "error" in reply)) void this.close();
    if (reply === undefined)
      throw new NoAnswer(waited === "timed-out" ? "timeout" : "ended", answered[1]! >>> 0);
    if ("error" in reply) throw received(reply.error, this.#source);
    return reply.value;
  }
}
