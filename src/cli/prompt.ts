/** Reads lines from a terminal or a pipe. */
import * as readline from "node:readline/promises";
import { outputLost } from "./terminal.ts";

const LEAVE = new Set(["/exit", "/quit", "exit", "quit"]);

export const isTerminal = (): boolean => process.stdin.isTTY === true && process.stdout.isTTY === true;

/** Handles lines until the person leaves. Ctrl-C stops the work of a line; at the prompt it ends the loop, as Ctrl-D does. */
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
  // Lines that are typed meanwhile wait.
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

/** Handles every line of a pipe. The exit code is 1 if one of them was not answered (`handle` returned false). */
export async function pipedLines(
  handle: (line: string, signal: AbortSignal) => Promise<boolean>,
): Promise<void> {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    // Nobody would read the answers.
    if (outputLost.aborted) break;
    if (line.trim() !== "" && !(await handle(line.trim(), outputLost))) process.exitCode = 1;
  }
}

/** The number after a command; if it is not valid, `null`, and the allowed range is printed. */
export function setting(name: string, text: string, now: number | undefined): number | null {
  const value = Number(text);
  if (text !== "" && value >= 0 && value <= 2) return value;
  console.log(`The ${name} is ${now ?? "the model's own"}; it may be 0 to 2.`);
  return null;
}
