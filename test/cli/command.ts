/** The built command as a person runs it, and recipes that take seconds. */
import { type ChildProcess, spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface Running {
  child: ChildProcess;
  ended: Promise<Ended>;
  /** Standard output and standard error so far. */
  output(): string;
}

interface Options {
  cwd: string;
  input?: string;
  env?: Record<string, string>;
  /** Words before `node`, such as a wrapper. */
  wrapper?: string[];
  nodeOptions?: string[];
}

export function launch(
  args: string[],
  { cwd, input, env, wrapper = [], nodeOptions = [] }: Options,
): Running {
  const [program, ...words] = [...wrapper, process.execPath, ...nodeOptions, MAIN, ...args] as [
    string,
    ...string[],
  ];
  // What npm and vitest set is not the person's.
  const foreign = /^(npm_|NODE_OPTIONS$|FORCE_COLOR$|VITEST|CI$)/;
  const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !foreign.test(name)));
  const child = spawn(program, words, { cwd, env: { ...clean, NO_COLOR: "1", ...env }, stdio: "pipe" });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (data: Buffer) => {
    stdout += data.toString();
  });
  child.stderr.on("data", (data: Buffer) => {
    stderr += data.toString();
  });
  // A command that ends at once may not have read its input.
  child.stdin.on("error", () => {});
  child.stdin.end(input ?? "");
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
  return { child, ended, output: () => stdout + stderr };
}

export const sputnik = (args: string[], options: Options): Promise<Ended> => launch(args, options).ended;

export function temporaryFolder(): string {
  return fs.mkdtempSync(join(os.tmpdir(), "sputnik-cli-"));
}

/** Waits until `condition` holds, looking every `everyMs`; fails after four minutes. */
export async function until(condition: () => boolean, everyMs = 5): Promise<void> {
  const start = performance.now();
  while (!condition()) {
    if (performance.now() - start > 240_000) throw new Error("waited for four minutes");
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

/** A whole way in seconds: too small to learn much, large enough that most groups differ within. */
export const TINY = `name: tiny
seed: 7
model: { layers: 1, hiddenSize: 32, heads: 2, intermediateSize: 64, maxPositions: 96 }
tokenizer: { kind: compact }
task: { kind: countdown, numbers: [2] }
stages:
  - name: base
    kind: pretrain
    data: { kind: countdown-attempts, numbers: [2], hint: 0.3, singles: 0, maxAttempts: 2, goOn: 0.5, maxResult: 100 }
    sequence: 64
    batch: 8
    steps: 120
    optimizer: { kind: muon, lr: 0.02, adamLr: 0.004 }
    schedule: { kind: constant }
  - { name: base-exam, kind: evaluate, label: base, problems: 12, samples: 2, temperature: 0.6, maxNewTokens: 60 }
  - name: r1-zero
    kind: grpo
    steps: 14
    problemsPerStep: 4
    groupSize: 6
    maxNewTokens: 60
    temperature: 1.0
    rewards: { accuracy: 1.0, format: 0.3, validity: 0.3 }
    preset: grpo
    optimizer: { kind: adamw, lr: 1.0e-3 }
    schedule: { kind: linear, warmup: 2 }
  - { name: final-exam, kind: evaluate, label: final, problems: 12, samples: 2, temperature: 0.6, maxNewTokens: 60 }
checkpoint: { everySteps: 10, keep: 2 }
`;

/** Writes a recipe into the folder and returns its name there. */
export function writeRecipe(folder: string, text: string = TINY, file = "tiny.yaml"): string {
  fs.writeFileSync(join(folder, file), text);
  return file;
}
