/** What each peer in Node is told, and how it is talked to: the same work and the same clock for every side. */
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";

export interface Task {
  /** A file or a folder. */
  model: string;
  prompts: number[][];
  /** New ids after each prompt. */
  count: number;
  threads: number;
  /** The peer's own option. */
  extra: string;
}

/** `--model PATH --prompts JSON --tokens N [--threads N]`, and one option more with a default. */
export function readTask(extra: { name: string; usual: string }): Task {
  const text = (usual?: string) => ({ type: "string" as const, default: usual });
  const { values } = parseArgs({
    options: {
      ...{ model: text(), prompts: text("[]"), tokens: text(), threads: text("2") },
      [extra.name]: text(extra.usual),
    },
  });
  const given = values as Record<string, string>;
  return {
    model: given.model,
    prompts: JSON.parse(given.prompts) as number[][],
    count: Number(given.tokens),
    threads: Number(given.threads),
    extra: given[extra.name],
  };
}

export interface Decoded {
  /** Tokens a second. */
  rate: number;
  /** New ids of each row. */
  ids: number[][];
}

/** Prints `{"ready": true}`, answers each line `decode ROWS` with what was decoded, and ends at `quit`. */
export async function serve(decode: (rows: number) => Promise<Decoded>): Promise<void> {
  console.log(JSON.stringify({ ready: true }));
  for await (const line of createInterface({ input: process.stdin })) {
    const [command, rows] = line.split(" ");
    if (command === "quit") process.exit(0);
    console.log(JSON.stringify(await decode(Number(rows))));
  }
}
