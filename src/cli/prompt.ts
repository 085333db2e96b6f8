/** Lines that a person types, or a pipe holds. */
import * as readline from "node:readline/promises";
import { outputLost } from "./terminal.ts";

const LEAVE = new Set(["/exit", "/quit", "exit", "quit"]);

export const isTerminal = (): boolean => process.stdin.isTTY === true && process.stdout.isTTY === true;

/** Until the person leaves. Ctrl-C stops what a line began; at the prompt it ends, as Ctrl-D does. */
export async function atPrompt(
  prompt: string,
  handle: (line: string, signal: AbortSignal) => Promise<void> | void,
): Promise<void> {
  const terminal = readline.createInterface({ input: process.stdin, output: process.stdout, prompt });
  let work: AbortController | null = null;
  let open = true;
  terminal.on("close", () => {
    open = false;
    work?.abort();
  });
  terminal.on("SIGINT", () => (work === null ? terminal.close() : work.abort()));
  terminal.prompt();
  // What is typed meanwhile waits.
  for await (const typed of terminal) {
    const line = typed.trim();
    if (LEAVE.has(line)) break;
    work = new AbortController();
    if (line !== "") await handle(line, work.signal);
    work = null;
    if (!open) break;
    terminal.prompt();
  }
  terminal.close();
}

/** Every line of a pipe. One that is not answered (`handle` gives false) is told of at the end by the exit code. */
export async function pipedLines(
  handle: (line: string, signal: AbortSignal) => Promise<boolean>,
): Promise<void> {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    // Nobody would read the answers.
    if (outputLost.aborted) break;
    if (line.trim() !== "" && !(await handle(line.trim(), outputLost))) process.exitCode = 1;
  }
}

/** The number that a person typed after a command, or `null` after telling them what it may be. */
export function setting(name: string, text: string, now: number | undefined): number | null {
  const value = Number(text);
  if (text !== "" && value >= 0 && value <= 2) return value;
  console.log(`The ${name} is ${now ?? "the model's own"}; it may be 0 to 2.`);
  return null;
}
