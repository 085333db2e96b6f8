/** A limit of time for work that a stranger's file steers: regular expressions, templates. */
import vm from "node:vm";

/** Only a script can be stopped by the clock; it calls back into our code. */
const script = new vm.Script("run()");
let job: (() => unknown) | null = null;
const context = vm.createContext({ run: () => job?.() });
let running = 0;

export class OutOfTime extends Error {}

/**
 * What `run` returns. @throws OutOfTime where it takes longer than `milliseconds`; inside another clock, that one alone
 * counts for `shared` work
 */
export function clocked<T>(run: () => T, milliseconds: number, shared = false): T {
  if (shared && running > 0) return run();
  const outer = job;
  job = run;
  running++;
  try {
    return script.runInContext(context, { timeout: Math.ceil(milliseconds) }) as T;
  } catch (error) {
    // It belongs to another context and is no `Error` of ours.
    const { code } = (error ?? {}) as { code?: unknown };
    if (code === "ERR_SCRIPT_EXECUTION_TIMEOUT") throw new OutOfTime(`it took more than ${milliseconds} ms`);
    throw error;
  } finally {
    job = outer;
    running--;
  }
}
