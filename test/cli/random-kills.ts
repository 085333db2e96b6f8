/**
 * Runs over all kinds of stages that are killed at a random instant and resumed, and what must be equal to a run that was
 * never disturbed: metrics, samples, evaluations, weights, adapters, and the bill but for the work that was done again.
 */
import fs from "node:fs";
import { join } from "node:path";
import type { BillEntry, BillFile } from "../../src/ledger/bill.ts";
import { Random } from "../../src/lib/random.ts";
import type { RunInfo } from "../../src/run/info.ts";
import { launch, sputnik, temporaryFolder, until, writeRecipe } from "./command.ts";

const DATA =
  "data: { kind: countdown-attempts, numbers: [2], hint: 0.3, singles: 0, maxAttempts: 1, goOn: 0.5, maxResult: 100 }";
const SAMPLING = "problemsPerStep: 2, groupSize: 4, maxNewTokens: 20, temperature: 1";
/** Completions of these models are never right, but of different lengths: groups carry a signal. */
const REWARDS =
  "rewards: { accuracy: 1, format: 0.2, validity: 0.5 }, overlong: { mode: soft, buffer: 19, penalty: 1 }";
const ADAMW = "optimizer: { kind: adamw, lr: 0.003 }";
const MUON = "optimizer: { kind: muon, lr: 0.01, adamLr: 0.01 }";
const CONSTANT = "schedule: { kind: constant }";
const EXAM = "problems: 4, samples: 2, temperature: 1, maxNewTokens: 10";
const LORA = "lora: { rank: 2, alpha: 4 }";

const head = (name: string, model: string): string => `name: ${name}
seed: 3
model: ${model}
tokenizer: { kind: compact }
task: { kind: countdown, numbers: [2] }
hardware: { watts: 10, dollarsPerHour: 1 }
checkpoint: { everySteps: 2, keep: 2 }
stages:
`;

/** Pretraining, SFT with accumulation, RL with reused rollouts and dynamic sampling, adapters, exams. */
const DENSE = `${head("dense", "{ layers: 1, hiddenSize: 16, heads: 2, intermediateSize: 24, maxPositions: 64 }")}
  - { name: base, kind: pretrain, ${DATA}, sequence: 32, batch: 2, steps: 5, ${MUON}, schedule: { kind: cosine, warmup: 1 } }
  - { name: exam, kind: evaluate, label: base, ${EXAM} }
  - { name: sft, kind: sft, data: { kind: jsonl, file: rows.jsonl }, sequence: 24, batch: 1, accumulate: 2, steps: 5, ${ADAMW}, ${CONSTANT} }
  - { name: rl, kind: grpo, steps: 5, ${SAMPLING}, ${REWARDS}, preset: grpo, kl: 0.05, referenceEvery: 2, epochs: 2, miniBatches: 2, dynamicSampling: { maxRounds: 2 }, importance: { level: token, cap: 2 }, ${MUON}, schedule: { kind: linear, warmup: 1 } }
  - { name: sft-lora, kind: sft, data: { kind: jsonl, file: rows.jsonl }, sequence: 24, batch: 2, steps: 3, ${LORA}, ${ADAMW}, ${CONSTANT} }
  - { name: rl-lora, kind: grpo, steps: 3, ${SAMPLING}, ${REWARDS}, preset: dapo, miniBatches: 2, ${LORA}, ${ADAMW}, ${CONSTANT} }
  - { name: last, kind: evaluate, label: final, ${EXAM} }
`;

const V3_MODEL =
  "{ architecture: deepseek_v3, layers: 2, hiddenSize: 16, heads: 2, queryLoraRank: 12, kvLoraRank: 10, nopeDim: 6, ropeDim: 4, valueDim: 8, intermediateSize: 24, denseLayers: 1, moeIntermediateSize: 6, experts: 8, activeExperts: 2, sharedExperts: 1, groups: 4, activeGroups: 2, maxPositions: 64, mtpLayers: 1 }";

/** DeepSeek-V3's design with an MTP module. */
const V3 = `${head("v3", V3_MODEL)}
  - { name: base, kind: pretrain, ${DATA}, sequence: 32, batch: 2, accumulate: 2, steps: 5, ${MUON}, ${CONSTANT} }
  - { name: rl, kind: grpo, steps: 5, ${SAMPLING}, ${REWARDS}, preset: grpo, sharedPrefix: true, ${ADAMW}, ${CONSTANT} }
  - { name: last, kind: evaluate, label: final, ${EXAM} }
`;

const RECIPES = { dense: DENSE, v3: V3 };
export type RecipeName = keyof typeof RECIPES;

const ROWS = [
  ["2, 3 make 5\n", "2 + 3 = 5\n"],
  ["7, 1 make 8\n", "7 + 1 = 8\n"],
  ["4, 4 make 8\n", "4 + 4 = 8\n"],
  ["9, 9 make 18\n", "9 - 9 = 0\n9 + 9 = 18\n"],
];

/** What time measures differs from run to run; everything else must not. */
const TIMED = /per-second|^seconds\/|^mfu$/;

/** What must not depend on stops. */
export interface Outcome {
  metrics: unknown[];
  files: Record<string, string>;
  /** FLOPs, steps and tokens of each kind: all that was billed less what was done again. */
  bill: Record<string, number>;
}

export interface Trial {
  outcome: Outcome;
  /** How many charges were on the disk when the process died. */
  charges: number;
  /** The bill's sessions and the run's. */
  sessions: [number, number];
  /** FLOPs that the killed process had charged, and those that the bill has of it. */
  killed: [number, number];
}

const begin = (recipe: RecipeName) => {
  const cwd = temporaryFolder();
  writeRecipe(cwd, RECIPES[recipe], "all.yaml");
  const rows = ROWS.map(([prompt, completion]) => JSON.stringify({ prompt, completion }));
  fs.writeFileSync(join(cwd, "rows.jsonl"), `${rows.join("\n")}\n`);
  return { cwd, run: join(cwd, "runs", recipe), command: ["train", "all.yaml", "--quiet"] };
};

const jsonLines = (file: string): unknown[] =>
  fs
    .readFileSync(file, "utf8")
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line) as unknown);

const chargesOf = (run: string): BillEntry[] => {
  const file = join(run, "bill.jsonl");
  return fs.existsSync(file) ? (jsonLines(file) as BillEntry[]) : [];
};

const flopsOf = (list: readonly { flops: number }[]): number =>
  list.reduce((sum, { flops }) => sum + flops, 0);

const billOf = (run: string): BillFile =>
  JSON.parse(fs.readFileSync(join(run, "bill.json"), "utf8")) as BillFile;

function outcomeOf(run: string): Outcome {
  const metrics = jsonLines(join(run, "metrics.jsonl")).map((line) => {
    const entry = line as { metrics: Record<string, number> };
    const exact = Object.entries(entry.metrics).filter(([name]) => !TIMED.test(name));
    return { ...entry, metrics: Object.fromEntries(exact) };
  });
  const names = fs
    .readdirSync(run, { recursive: true, encoding: "utf8" })
    .filter((name) => /^(samples|evaluations)\.jsonl$|^(adapters|checkpoints).*\.safetensors$/.test(name));
  const files = names.sort().map((name) => [name, fs.readFileSync(join(run, name)).toString("base64")]);
  const bill = billOf(run);
  const counted = ["flops", "steps", "trained", "prefilled", "generated", "scored"] as const;
  const less = counted.map((kind) => [
    kind,
    bill.lines.reduce((sum, line) => sum + line[kind], 0) - (bill.redone?.[kind] ?? 0),
  ]);
  return { metrics, files: Object.fromEntries(files), bill: Object.fromEntries(less) };
}

async function finish(cwd: string, command: string[]): Promise<void> {
  const { code, stderr } = await sputnik(command, { cwd });
  if (code !== 0) throw new Error(`ended with ${code}: ${stderr}`);
}

/** A run that nobody disturbs. */
export async function undisturbed(recipe: RecipeName): Promise<Trial> {
  const { cwd, run, command } = begin(recipe);
  await finish(cwd, command);
  return concluded(cwd, run, chargesOf(run));
}

/**
 * One run that is killed once, and resumed. The instant is a point between two of its charges, all of which are equally
 * likely, whatever the machine's speed: drawn by (seed, recipe, number).
 * @param charges how many an undisturbed run makes
 */
export async function killedOnce(
  recipe: RecipeName,
  seed: number,
  number: number,
  charges: number,
): Promise<Trial> {
  const { cwd, run, command } = begin(recipe);
  const random = new Random(seed, "kill", recipe, number);
  const after = random.integer(0, charges);
  const between = random.uniform();
  const { child, ended } = launch(command, { cwd });
  const started = performance.now();
  let over = false;
  void ended.then(() => {
    over = true;
  });
  await until(() => over || chargesOf(run).length >= after, 1);
  // Until the first charge a process starts, which takes a second; then a charge comes every few milliseconds.
  const gap = after === 0 ? 1000 : Math.min(200, (performance.now() - started) / after);
  await new Promise((resolve) => setTimeout(resolve, between * gap));
  child.kill("SIGKILL");
  await ended;
  const before = chargesOf(run);
  await finish(cwd, command);
  return concluded(cwd, run, before);
}

function concluded(cwd: string, run: string, before: readonly BillEntry[]): Trial {
  const bill = billOf(run);
  const info = JSON.parse(fs.readFileSync(join(run, "run.json"), "utf8")) as RunInfo;
  const trial: Trial = {
    outcome: outcomeOf(run),
    charges: before.length,
    sessions: [bill.sessions.length, info.sessions.length],
    killed: [flopsOf(before), bill.sessions.length === 1 ? flopsOf(before) : flopsOf(bill.sessions[0].lines)],
  };
  fs.rmSync(cwd, { recursive: true });
  return trial;
}
