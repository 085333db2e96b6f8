/**
 * A run survives the loss of its terminal: a reader that stops (`| head`), a full disk after `>`, a closed window, a lost
 * SSH session. Its output is lost then, but the run's folder has all results.
 */
import fs from "node:fs";
import { isatty } from "node:tty";

const broken = new AbortController();
let hungUp = false;

/** Aborts when nobody can read standard output any more. */
export const outputLost: AbortSignal = broken.signal;

/** Whether the terminal was closed. */
export const terminalLost = (): boolean => hungUp;

/** Call once, before anything is written. */
export function survive(): void {
  let failure: NodeJS.ErrnoException | null = null;
  const terminals = [0, 1, 2].filter((fd) => isatty(fd));
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    broken.abort();
    if (!closedOnPurpose(error.code)) failure ??= error;
  });
  process.stderr.on("error", () => {});
  process.on("exit", () => {
    for (const fd of terminals) if (!isatty(fd)) close(fd);
    if (failure === null) return;
    process.exitCode ||= 1;
    const why = failure.code === "ENOSPC" ? "the disk is full" : failure.message;
    try {
      fs.writeSync(2, `error Standard output could not be written: ${why}.\n`);
    } catch {
      // Standard error cannot be written either.
    }
  });
}

/** At exit Node restores the settings of each open terminal, and aborts (134, a core dump) if that terminal is gone. */
function close(fd: number): void {
  try {
    fs.closeSync(fd);
  } catch {
    // It is closed already.
  }
}

/** Whether a person closed the pipe, the socket or the terminal; a full disk is not on purpose. */
const closedOnPurpose = (code: string | undefined): boolean =>
  code === "EPIPE" || code === "ECONNRESET" || (process.stdout.isTTY && (code === "EIO" || code === "ENXIO"));

/** npm passes a signal on in less time, and a person presses Ctrl-C again later. */
const ECHO_MS = 400;

/**
 * Calls `first` at the first Ctrl-C or SIGTERM; the second ends the process. A terminal sends Ctrl-C to all of its programs,
 * and npm and npx also pass it on, so a second signal right after the first is the same one.
 * @returns a function that stops listening
 */
export function onInterrupt(first: () => void): () => void {
  let asked: number | null = null;
  const interrupt = (signal: NodeJS.Signals): void => {
    if (asked === null) {
      asked = performance.now();
      first();
    } else if (process.env.npm_command === undefined || performance.now() - asked >= ECHO_MS)
      endAtOnce(signal);
  };
  process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
  return () => void process.off("SIGINT", interrupt).off("SIGTERM", interrupt);
}

/** An orderly exit would wait for the run's thread, which may be deep in ONNX Runtime. The disk is consistent at any moment. */
function endAtOnce(signal: NodeJS.Signals): void {
  if (process.stderr.isTTY) process.stderr.write("\x1b[?25h\n");
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
}

/** Until the function that is returned is called, a lost terminal does not end the process, as under `nohup`. */
export function outliveTerminal(): () => void {
  const hangUp = (): void => {
    hungUp = true;
  };
  process.on("SIGHUP", hangUp);
  return () => void process.off("SIGHUP", hangUp);
}
