/** Watches a run from the terminal: its progress, its page, and Ctrl-C. */
import color from "picocolors";
import type { RunEvent } from "../events.ts";
import { toFailure } from "../lib/failure.ts";
import { launchRun, type RunOrder } from "../run/launch.ts";
import type { RunOutcome } from "../run/run.ts";
import type { Progress } from "./progress.ts";
import { onInterrupt, outliveTerminal } from "./terminal.ts";

export interface Watchers {
  progress: Progress;
  /** Also receives every event, such as the page. */
  publish?: (event: RunEvent) => void;
  /** The command that resumes the run, as a person would type it. */
  command: string;
}

/** By convention 128 + SIGINT. */
export const INTERRUPTED = 130;

/** Runs to the end, or to the step at which the person pressed Ctrl-C. @throws FailureError */
export async function supervise(
  order: RunOrder,
  { progress, publish, command }: Watchers,
): Promise<RunOutcome> {
  const handle = launchRun(order, (event) => {
    publish?.(event);
    progress.show(event);
  });
  const ignoreSignals = onInterrupt(() => {
    handle.stop();
    progress.say(
      `${color.bold("stopping")}: the step in flight ends and is saved. Ctrl-C again stops at once.`,
    );
  });
  const dieWithTerminal = outliveTerminal();
  try {
    const outcome = await handle.done;
    if (outcome === "stopped") progress.say(`Saved. To resume: ${color.bold(command)}`);
    return outcome;
  } catch (error) {
    const { message, remedy } = toFailure(error);
    publish?.({ type: "error", message, remedy });
    throw error;
  } finally {
    ignoreSignals();
    dieWithTerminal();
    progress.close();
  }
}
