/**
 * What leaves the machine, and what stays on it: every kind of command in a network namespace with a fresh home, and
 * starts that are killed at random instants.
 */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { DecoderConfig } from "../src/models/config.ts";
import type { Row } from "./rows.ts";
import { writeSynthetic } from "./synthetic.ts";

const MAIN = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const MODEL = fileURLToPath(new URL("../models/tiny-r1-zero", import.meta.url));
const NAMESPACE = fileURLToPath(new URL("./namespace.mjs", import.meta.url));

/** Whether this user may make network and mount namespaces with a cable in them (Linux). */
export const canIsolate = (): boolean =>
  spawnSync("unshare", ["-rnm", "ip", "link", "add", "out", "type", "veth", "peer", "name", "nowhere"])
    .status === 0;

export interface Command {
  args: string[];
  input?: string;
  /** A page: it is opened, asked `input`, and interrupted. */
  serve?: boolean;
}

export interface Leaks {
  /** Bytes sent out of the namespace. */
  bytes: number;
  /** Names that were looked up. */
  names: string[];
  /** Files and folders in HOME and in the temporary folder, and in the working folder those not in `expected`. */
  files: string[];
  results: { args: string[]; code: number | null; output: string }[];
}

/** A home, a temporary folder and a working folder, all new. */
function fresh(): { root: string; cwd: string; env: Record<string, string> } {
  const root = realpathSync(mkdtempSync(join(tmpdir(), "sputnik-leaks-")));
  const [home, temporary, cwd] = ["home", "tmp", "work"].map((name) => join(root, name));
  for (const folder of [home, temporary, cwd]) mkdirSync(folder);
  // Without CI's variables: some programs are silent there alone.
  return { root, cwd, env: { PATH: process.env.PATH ?? "", HOME: home, TMPDIR: temporary } };
}

const everything = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: "utf8" }).map((path) => join(folder, path));

/**
 * Runs the commands one after another in a namespace of their own. Names of `files` that are written into the working
 * folder first, and those in `expected` (folders with all they hold), are no leaks. A command is held for `holdSeconds`.
 */
export function leaksOf(
  commands: readonly Command[],
  options: {
    files?: Record<string, string>;
    expected?: readonly string[];
    env?: Record<string, string>;
    holdSeconds?: number;
  } = {},
): Leaks {
  const { files = {}, expected = [], env = {}, holdSeconds = 0 } = options;
  const place = fresh();
  const { cwd } = place;
  try {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(cwd, name), text);
    const spec = {
      ...{ cwd, env: { ...place.env, ...env }, hold: 1000 * holdSeconds, resolv: join(place.root, "resolv") },
      commands: commands.map((command) => ({ ...command, args: [MAIN, ...command.args] })),
    };
    const printed = execFileSync("unshare", ["-rnm", process.execPath, NAMESPACE, JSON.stringify(spec)]);
    const known = [...expected, ...Object.keys(files)].map((name) => join(cwd, name));
    const mine = (path: string): boolean => known.some((k) => path === k || path.startsWith(`${k}/`));
    const left = [place.env.HOME, place.env.TMPDIR, cwd]
      .flatMap(everything)
      .filter((path) => !mine(path))
      .map((path) => relative(place.root, path));
    return { ...(JSON.parse(printed.toString()) as Omit<Leaks, "files">), files: left };
  } finally {
    rmSync(place.root, { recursive: true, force: true });
  }
}

/** A run of seconds. */
export const TINY_RUN = `name: tiny
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
    steps: 20
    optimizer: { kind: adamw, lr: 0.002 }
    schedule: { kind: constant }
  - { name: evaluation, kind: evaluate, label: evaluation, problems: 4, samples: 1, temperature: 0.6, maxNewTokens: 40 }
checkpoint: { everySteps: 10, keep: 2 }
`;

/** Training, a chat, an evaluation, an export, and the page. */
export const EVERY_COMMAND: readonly Command[] = [
  { args: ["train", "tiny.yaml", "--quiet"] },
  { args: ["chat", MODEL], input: "82 27 11 = 44\n" },
  { args: ["eval", MODEL, "--task", "countdown", "--problems", "2", "--samples", "1"] },
  { args: ["export", "tiny", "exported"] },
  { args: ["chat", MODEL, "--serve", "--port", "0"], input: "82 27 11 = 44", serve: true },
];
export const EVERY_OPTION = { files: { "tiny.yaml": TINY_RUN }, expected: ["runs", "exported"] };

const KILLS = 40;
/** 28 million parameters: its weights lie on the disk for a second, where those of the shipped model do for 3 ms. */
export const LOADS_A_WHILE: DecoderConfig = {
  ...{
    vocabSize: 29,
    hiddenSize: 768,
    layers: 4,
    heads: 12,
    kvHeads: 12,
    headDim: 64,
    intermediateSize: 2048,
  },
  ...{ maxPositions: 256, ropeTheta: 10_000, normEps: 1e-6, tieEmbeddings: true },
};

/** Starts of a chat that are killed after some milliseconds, then one that is not: what lies outside its folders. */
export async function leftBehind(
  kills = KILLS,
  signals: readonly NodeJS.Signals[] = ["SIGKILL"],
): Promise<string[]> {
  const { root, cwd, env } = fresh();
  const model = join(root, "model");
  mkdirSync(model);
  writeSynthetic(model, LOADS_A_WHILE);
  const start = () => spawn(process.execPath, [MAIN, "chat", model], { cwd, env, stdio: "pipe" });
  try {
    const whole = async (): Promise<number> => {
      const began = performance.now();
      const child = start();
      child.stdin.end("82 27 11 = 44\n");
      const [code] = await once(child, "close");
      if (code !== 0) throw new Error(`sputnik chat ended with ${code}`);
      return performance.now() - began;
    };
    const usual = await whole();
    for (let i = 0; i < kills; i++) {
      const child = start();
      await sleep((usual * (i + 0.5)) / kills);
      child.kill(signals[i % signals.length]);
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    }
    await whole();
    return [env.HOME, env.TMPDIR, cwd].flatMap(everything).map((path) => relative(root, path));
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

/** A telemetry upload was seen 8 seconds after a process began. */
const HOLD_SECONDS = 20;

export async function benchLeaks(): Promise<Row[]> {
  const { bytes, names, files, results } = leaksOf(EVERY_COMMAND, {
    ...EVERY_OPTION,
    holdSeconds: HOLD_SECONDS,
  });
  for (const { args, code, output } of results)
    if (code !== 0) throw new Error(`sputnik ${args.slice(1).join(" ")} ended with ${code}: ${output}`);
  // The same probe must see what is there to be seen.
  const control = leaksOf([EVERY_COMMAND[1]], {
    env: { ORT_DISABLE_TELEMETRY: "0" },
    holdSeconds: HOLD_SECONDS,
  });
  if (control.names.length === 0 || control.files.length === 0)
    throw new Error("with telemetry on, the probe sees nothing: it proves nothing");
  const left = await leftBehind();
  return [
    {
      ...{
        name: "trust/bytes-sent",
        value: bytes + names.length + files.length,
        unit: "bytes, look-ups, files",
      },
      atMost: 0,
      note: `with telemetry on the same probe sees ${control.names.length} look-ups, ${control.bytes} bytes, ${control.files.length} files`,
    },
    {
      name: "trust/left-behind",
      value: left.length,
      unit: `files after ${KILLS} kills and a start`,
      atMost: 0,
    },
  ];
}
