/**
 * A server for clients of Tinker, with SmolLM2-135M-Instruct: tinker-cookbook's own loops train on it, and an RL step by the
 * protocol takes about as long as the same step in this process. `SPUTNIK_PEER_PYTHON` names a Python that has the package
 * tinker-cookbook; peers/README.md says how to install it.
 */
import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { saveModel } from "../src/checkpoint/folder.ts";
import { loadGguf } from "../src/checkpoint/gguf/model.ts";
import { expectedShapes } from "../src/checkpoint/weights.ts";
import { Random } from "../src/lib/random.ts";
import { startTinker } from "../src/server/tinker/serve.ts";
import { Peer } from "./peer.ts";
import { median, type Row } from "./rows.ts";
import { CACHE, fetchSmolLm2 } from "./smollm2.ts";

const NAME = "HuggingFaceTB/SmolLM2-135M-Instruct";
const STEPS = { sl_loop: 12, rl_loop: 24 };
/** Rounds of the comparison of steps. */
const ROUNDS = 3;

type Loop = keyof typeof STEPS;
type Metrics = Record<string, number>;

/** Updates of sl_loop from which rl_loop goes on: before, the model hardly ever writes an answer in the form that is asked for. */
const WARM = 6;

/** A question that a model of this size answers now and then, and how to write the answer. */
function sum(random: Random): { question: string; answer: number } {
  const [a, b] = [random.integer(1, 20), random.integer(1, 20)];
  return { question: `What is ${a} + ${b}?`, answer: a + b };
}

/** What rl_loop adds to each question. */
const SUFFIX = " Provide a numerical answer without units, written inside \\boxed{}.";

const rows: Record<Loop, (random: Random) => unknown> = {
  sl_loop: (random) => {
    const { question, answer } = sum(random);
    const reply = `I add the two numbers. \\boxed{${answer}}`;
    return {
      messages: [
        { role: "user", content: `${question}${SUFFIX}` },
        { role: "assistant", content: reply },
      ],
    };
  },
  rl_loop: (random) => {
    const { question, answer } = sum(random);
    return { question, answer: `#### ${answer}` };
  },
};

const configs: Record<Loop, Metrics & { batch_size: number }> = {
  sl_loop: { batch_size: 16, learning_rate: 5e-4, max_length: 256, lora_rank: 16, save_every: WARM },
  rl_loop: {
    batch_size: 8,
    group_size: 4,
    learning_rate: 2e-4,
    max_tokens: 24,
    lora_rank: 16,
    save_every: 12,
  },
};

export async function benchTinker(flags: readonly string[]): Promise<Row[]> {
  const folder = join(CACHE, "folder");
  mkdirSync(folder, { recursive: true });
  saveModel(folder, loadGguf(fetchSmolLm2(), expectedShapes));
  const saved = join(CACHE, "tinker");
  rmSync(saved, { recursive: true, force: true });
  const server = await startTinker({
    ...{ models: new Map([[NAME, resolve(folder)]]), folder: join(saved, "weights") },
    ...{ host: "127.0.0.1", port: 0 },
  });
  try {
    const loops = flags.includes("--overhead") ? [] : await recipes(server.url, folder, saved);
    return flags.includes("--loops") ? loops : [...loops, await overhead(server.url, folder, saved)];
  } finally {
    await server.close();
  }
}

/** Runs a recipe of the cookbook; returns what it logged of each step. */
async function run(
  loop: Loop,
  url: string,
  folder: string,
  saved: string,
  state: string | null = null,
): Promise<Metrics[]> {
  const random = new Random(1, "tinker", loop);
  const config = { ...configs[loop], max_steps: STEPS[loop] };
  // sl_loop's learning rate falls to 0 over all rows.
  const count = STEPS[loop] * configs[loop].batch_size * 2;
  const work = {
    ...{ baseUrl: url, modelName: NAME, folder: resolve(folder), loop, config, state },
    ...{ log: join(resolve(saved), loop), rows: Array.from({ length: count }, () => rows[loop](random)) },
  };
  mkdirSync(saved, { recursive: true });
  const file = join(saved, `${loop}.json`);
  writeFileSync(file, JSON.stringify(work));
  const script = fileURLToPath(new URL("peers/tinker_loops.py", import.meta.url));
  const python = process.env.SPUTNIK_PEER_PYTHON ?? "python3";
  const { stdout } = await promisify(execFile)(python, [script, "--work", file], { maxBuffer: 2 ** 28 });
  const { steps } = JSON.parse(stdout.trim().split("\n").at(-1) as string) as { steps: Metrics[] };
  return steps;
}

async function recipes(url: string, folder: string, saved: string): Promise<Row[]> {
  const losses = (await run("sl_loop", url, folder, saved)).map((step) => step.train_mean_nll);
  const checkpoints = readFileSync(join(saved, "sl_loop", "checkpoints.jsonl"), "utf8")
    .trim()
    .split("\n");
  const warm = JSON.parse(checkpoints[0]) as { batch: number; state_path: string };
  if (warm.batch !== WARM) throw new Error(`sl_loop saved its first state after ${warm.batch} updates`);
  const rewards = (await run("rl_loop", url, folder, saved, warm.state_path)).map(
    (step) => step["reward/total"],
  );
  const [fall, rise] = [change(losses.map((loss) => -loss)), change(rewards)];
  const finished = [
    losses.length === STEPS.sl_loop && fall.low > 0,
    rewards.length === STEPS.rl_loop && rise.low > 0,
  ];
  const shown = ({ first, last, low, high }: Change): string =>
    `${Math.abs(first).toFixed(2)} to ${Math.abs(last).toFixed(2)} (95 % interval of the change ${low.toFixed(2)} to ${high.toFixed(2)})`;
  return [
    {
      name: "library/tinker-recipes",
      value: finished.filter(Boolean).length,
      unit: "recipes",
      atLeast: 2,
      note: `sl_loop: loss ${shown(fall)}; rl_loop: reward ${shown(rise)}`,
    },
  ];
}

interface Change {
  first: number;
  last: number;
  low: number;
  high: number;
}

/** Student's t at 97.5 % for the freedom of two thirds of 12 and of 24 steps, rounded up. */
const T = 2.45;

/** From the first third of the steps to the last third, with the interval of the difference of means. */
function change(values: readonly number[]): Change {
  const third = Math.floor(values.length / 3);
  const of = (part: readonly number[]): { mean: number; variance: number } => {
    const mean = part.reduce((total, value) => total + value, 0) / part.length;
    const variance = part.reduce((total, value) => total + (value - mean) ** 2, 0) / (part.length - 1);
    return { mean, variance: variance / part.length };
  };
  const [first, last] = [of(values.slice(0, third)), of(values.slice(-third))];
  const half = T * Math.sqrt(first.variance + last.variance);
  const difference = last.mean - first.mean;
  return { first: first.mean, last: last.mean, low: difference - half, high: difference + half };
}

/** What both sides of the comparison are told: one update on `prompts` times `count` completions of `newTokens` tokens. */
export interface StepWork {
  baseUrl: string;
  modelName: string;
  folder: string;
  prompts: number[][];
  count: number;
  newTokens: number;
  rank: number;
}

async function overhead(url: string, folder: string, saved: string): Promise<Row> {
  const random = new Random(2, "tinker");
  const work: StepWork = {
    ...{ baseUrl: url, modelName: NAME, folder: resolve(folder) },
    ...{ count: 4, newTokens: 32, rank: 16 },
    prompts: Array.from({ length: 8 }, () => Array.from({ length: 64 }, () => random.integer(100, 40_000))),
  };
  mkdirSync(saved, { recursive: true });
  const file = join(saved, "step.json");
  writeFileSync(file, JSON.stringify(work));
  const theirs = await Peer.python("tinker_step.py", ["--work", file]);
  const ours = await Peer.script("tinker-ours.ts", [file]);
  if (theirs === null || ours === null)
    throw new Error("both sides are needed; peers/README.md says how to install tinker-cookbook");
  const [protocol, process]: number[][] = [[], []];
  for (let round = 0; round < ROUNDS; round++) {
    process.push(...(await ours.steps(1)));
    protocol.push(...(await theirs.steps(1)));
  }
  await ours.quit();
  await theirs.quit();
  const ratios = protocol.map((ms, i) => ms / process[i]);
  return {
    name: "library/tinker-overhead",
    value: median(ratios),
    spread: [Math.min(...ratios), Math.max(...ratios)],
    unit: "x the seconds in process",
    atMost: 1.3,
    note: `${(median(protocol) / 1000).toFixed(1)} s against ${(median(process) / 1000).toFixed(1)} s`,
  };
}
