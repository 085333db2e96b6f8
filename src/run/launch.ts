/** Starts a run in a separate thread, forwards its events, and can ask it to stop after the current step. */
import type { RunEvent } from "../events.ts";
import { type Failure, FailureError } from "../lib/failure.ts";
import type { EngineOptions } from "../runtime/engine.ts";
import { startThread } from "../runtime/thread.ts";
import type { RunOutcome } from "./run.ts";

/** What to run. */
export interface RunOrder {
  /** The recipe's file, for messages. */
  recipeFile: string;
  recipeText: string;
  /** The recipe's name where it is left out. */
  name?: string;
  fresh?: boolean;
  /** Take over stages that a run beside this one has finished, where nothing that they follow from differs. */
  reuse?: boolean;
  /** The folder of all runs, "runs" where it is left out. */
  root?: string;
  /** What computes; all that this process may use where it is left out. */
  engine?: EngineOptions;
}

export interface EngineData {
  order: RunOrder;
  /** Four bytes; 1 asks the run to save and stop. Shared, since a message would wait for the step to end. */
  stopFlag: SharedArrayBuffer;
}

export type EngineMessage =
  | { type: "event"; event: RunEvent }
  | { type: "ended"; outcome: RunOutcome }
  | { type: "failed"; failure: Failure };

export interface RunHandle {
  /** Rejects with a `FailureError`. */
  done: Promise<RunOutcome>;
  /** Finishes the step in flight, saves, and ends. */
  stop(): void;
}

/** Times that a thread is started which finds no file descriptor for its modules, and the pause before the next, in ms. */
const [STARTS, PAUSE_MS] = [20, 250];

export function launchRun(order: RunOrder, onEvent: (event: RunEvent) => void): RunHandle {
  const stopFlag = new SharedArrayBuffer(4);
  const attempt = (starts: number): Promise<RunOutcome> => {
    const worker = startThread("worker", import.meta.url, {
      workerData: { order, stopFlag } satisfies EngineData,
    });
    return new Promise<RunOutcome>((resolve, reject) => {
      let last: EngineMessage | null = null;
      worker.on("message", (message: EngineMessage) => {
        if (message.type === "event") onEvent(message.event);
        last = message;
      });
      let ended = false;
      worker.on("error", (error) => {
        ended = true;
        // Its modules are hundreds of files, and the page's visitors hold descriptors too: they may leave.
        if (last === null && starts < STARTS && /\bE[MN]FILE\b/.test(error.message))
          setTimeout(() => resolve(attempt(starts + 1)), PAUSE_MS);
        else reject(error);
      });
      // ONNX Runtime has released everything only when the thread has ended.
      worker.on("exit", (code) => {
        if (ended) return;
        if (last?.type === "ended") resolve(last.outcome);
        else if (last?.type === "failed") reject(new FailureError(last.failure));
        else reject(new FailureError(died(code)));
      });
    });
  };
  return { done: attempt(1), stop: () => void Atomics.store(new Int32Array(stopFlag), 0, 1) };
}

function died(code: number): Failure {
  return {
    kind: "EngineError",
    message: `The training thread ended by itself (code ${code}), most likely for want of memory.`,
    remedy:
      "Run the same command again: it resumes from the last checkpoint. A smaller batch needs less memory.",
    stack: null,
    unexpected: false,
  };
}
