/** Prints one completion, or several side by side. */
import color from "picocolors";
import type { ChatService } from "../server/chat.ts";
import type { Verdict } from "../tasks/problem.ts";
import { printable } from "./printable.ts";
import { table } from "./screen.ts";
import { whileLoading } from "./waiting.ts";

export interface AskOptions {
  temperature?: number;
  seed?: number;
  model?: string;
}

/** Streams the thought. Returns false where the problem could not be read or the model failed. */
export async function answer(
  service: ChatService,
  problem: string,
  options: AskOptions,
  signal: AbortSignal,
): Promise<boolean> {
  const out = process.stdout;
  let fine = true;
  for await (const event of whileLoading(service.ask({ problem, ...options }, signal))) {
    if (event.type === "prompt") out.write(color.dim(printable(event.text)));
    else if (event.type === "token") out.write(printable(event.text));
    else if (event.type === "verdict") out.write(`\n${showVerdict(event.verdict)}`);
    else if (event.type === "done")
      out.write(color.dim(`  ${event.tokens} tokens, ${event.seconds.toFixed(2)} s\n\n`));
    else if (event.type === "error") {
      fine = false;
      showError(event);
    }
  }
  if (signal.aborted) out.write(color.dim("\nstopped\n\n"));
  return fine;
}

export function showError({ message, remedy }: { message: string; remedy: string | null }): void {
  console.error(
    `${color.red("error")} ${printable(message)}${remedy === null ? "" : `\n${printable(remedy)}`}`,
  );
}

function showVerdict({ value, reason }: Verdict): string {
  if (value === null) return color.yellow(`not verified: ${printable(reason)}`);
  return value === 1 ? color.green("\u2713 right") : color.red(`\u2717 wrong: ${printable(reason)}`);
}

/** The same problem several times, each with another seed. */
export async function tries(
  service: ChatService,
  problem: string,
  count: number,
  options: AskOptions,
  signal: AbortSignal,
): Promise<void> {
  const rows: string[][] = [];
  let right = 0;
  for (let i = 0; i < count && !signal.aborted; i++) {
    const seed = options.seed === undefined ? undefined : options.seed + i;
    let text = "";
    for await (const event of whileLoading(service.ask({ problem, ...options, seed }, signal))) {
      if (event.type === "token") text += event.text;
      if (event.type === "error") return showError(event);
      if (event.type !== "verdict") continue;
      const { value, extracted, reason } = event.verdict;
      if (value === 1) right++;
      rows.push([
        value === 1 ? color.green("\u2713") : color.red("\u2717"),
        printable(extracted ?? "-"),
        `${text.split("\n").length - 2} lines`,
        value === 1 ? "" : printable(reason),
      ]);
    }
  }
  console.log(table(["", "answer", "thought", ""], rows));
  console.log(`${right} of ${rows.length} right\n`);
}
