/**
 * Peak memory of a model of 1.5 billion parameters with random weights, opened and run in a process of its own, over the
 * bytes of its weights as they run; and of an evaluation of a thousand prompts over one of sixteen.
 */
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Precision } from "../src/checkpoint/quantise.ts";
import { modelOf } from "../src/models/architectures.ts";
import type { DecoderConfig } from "../src/models/config.ts";
import { weightBytes } from "../test/sample/memory-model.ts";
import { median, type Row } from "./rows.ts";
import { writeSynthetic } from "./synthetic.ts";

/** DeepSeek-R1-Distill-Qwen-1.5B, but for the head, which is the embedding as in Qwen2.5-1.5B. */
const SHAPE: DecoderConfig = {
  vocabSize: 151_936,
  layers: 28,
  hiddenSize: 1536,
  heads: 12,
  kvHeads: 2,
  headDim: 128,
  intermediateSize: 8960,
  maxPositions: 131_072,
  ropeTheta: 10_000,
  normEps: 1e-6,
  tieEmbeddings: true,
  qkvBias: true,
};
const [PROMPT, TOKENS] = [32, 64];
const CHILD = fileURLToPath(new URL("memory-child.mjs", import.meta.url));

/** SmolLM2-135M, random. */
const EXAMINED: DecoderConfig = {
  ...SHAPE,
  ...{
    vocabSize: 49_152,
    layers: 30,
    hiddenSize: 576,
    heads: 9,
    kvHeads: 3,
    headDim: 64,
    intermediateSize: 1536,
  },
  ...{ maxPositions: 8192, qkvBias: false },
};
/** Prompts, tokens of each, new tokens, and sequences decoded together in both evaluations. */
const [MANY, FEW, EXAM_PROMPT, EXAM_TOKENS, SLOTS] = [1000, 16, 130, 4, 16];
const EVALUATION_CHILD = fileURLToPath(new URL("evaluation-memory-child.mjs", import.meta.url));
const SAMPLE_MS = 20;
/** What V8 keeps for young objects differs by 30 MB from run to run. */
const ROUNDS = 3;

interface Measured {
  /** Most that was resident at once, in bytes. */
  peak: number;
  openSeconds: number;
  tokensPerSecond: number;
  /** Memory of its own and mapped files when most was resident, in bytes, sampled; null where the system does not say. */
  parts: { own: number; files: number } | null;
}

/** Linux only. */
function residentParts(pid: number): Measured["parts"] {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const bytes = (name: string) =>
      1024 * Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1]);
    return { own: bytes("RssAnon"), files: bytes("RssFile") };
  } catch {
    return null;
  }
}

function measure(args: readonly string[], script = CHILD): Promise<Measured> {
  const child = spawn(process.execPath, [script, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.on("data", (text) => {
    output += text;
  });
  let parts: Measured["parts"] = null;
  const watch = setInterval(() => {
    const now = residentParts(child.pid as number);
    if (now !== null && (parts === null || now.own + now.files > parts.own + parts.files)) parts = now;
  }, SAMPLE_MS);
  return new Promise((resolve, reject) => {
    child.on("exit", (code) => {
      clearInterval(watch);
      if (code === 0) resolve({ ...(JSON.parse(output) as Omit<Measured, "parts">), parts });
      else reject(new Error(`${script} ${args.join(" ")} ended with ${code}`));
    });
  });
}

export async function benchMemory(): Promise<Row[]> {
  // What runs is what `npm run build` makes.
  const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
  execFileSync(process.execPath, [tsc, "-p", "tsconfig.build.json"], { stdio: "inherit" });
  const folder = mkdtempSync(join(tmpdir(), "sputnik-memory-"));
  try {
    writeSynthetic(folder, SHAPE);
    const bare = await measure([]);
    const rows: Row[] = [];
    for (const precision of ["int4", "int8", "f32"] as const)
      rows.push(...(await rowsOf(folder, precision, bare.peak)));
    rows.push(await examRow());
    return rows;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function rowsOf(folder: string, precision: Precision, bare: number): Promise<Row[]> {
  const { parameters, cacheLayers } = modelOf(SHAPE);
  const cache = cacheLayers.reduce(
    (total, { heads, width }) => total + 4 * heads * width * (PROMPT + TOKENS),
    0,
  );
  const weights = weightBytes(parameters, { precision });
  const rounds: Measured[] = [];
  for (let round = 0; round < ROUNDS; round++)
    rounds.push(await measure([folder, precision, String(PROMPT), String(TOKENS)]));
  rounds.sort((a, b) => a.peak - b.peak);
  const { peak, parts } = rounds[ROUNDS >> 1];
  const ratios = rounds.map((round) => round.peak / (weights + cache));
  const rates = rounds.map(({ tokensPerSecond }) => tokensPerSecond);
  const spread = (values: readonly number[]): [number, number] => [Math.min(...values), Math.max(...values)];
  const mb = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`;
  const said = [
    `${mb(peak)} of ${mb(weights)} and a cache of ${mb(cache)}`,
    ...(parts === null
      ? []
      : [`${mb(parts.own)} of its own and ${mb(parts.files)} of mapped files at the peak`]),
    `${mb(bare)} for Node.js and ONNX Runtime alone`,
    `opened in ${median(rounds.map(({ openSeconds }) => openSeconds)).toFixed(1)} s`,
  ];
  const ratio: Row = {
    name: `memory/${precision}-peak-over-weights`,
    value: median(ratios),
    spread: spread(ratios),
    unit: "x the weights as they run",
    atMost: 1.3,
    note: said.join("; "),
  };
  const rate: Row = {
    name: `memory/${precision}-tokens-per-second`,
    value: median(rates),
    spread: spread(rates),
    unit: "tokens/s",
  };
  return [ratio, rate];
}

async function examRow(): Promise<Row> {
  const peakOf = async (count: number) => {
    const order = JSON.stringify([count, EXAMINED, EXAM_PROMPT, EXAM_TOKENS, SLOTS]);
    return (await measure([order], EVALUATION_CHILD)).peak;
  };
  const few: number[] = [];
  for (let round = 0; round < ROUNDS; round++) few.push(await peakOf(FEW));
  const many = await peakOf(MANY);
  return {
    name: `memory/evaluation-${MANY}-prompts`,
    value: many / median(few),
    spread: [many / Math.max(...few), many / Math.min(...few)],
    unit: `x the peak of ${FEW} prompts`,
    atMost: 1.2,
    note: `${(many / 1e6).toFixed(0)} MB of ${(median(few) / 1e6).toFixed(0)} MB, ${SLOTS} rows`,
  };
}
