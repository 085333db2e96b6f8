/**
 * Peak memory of a model of 1.5 billion parameters with random weights, opened and run in a process of its own, over the
 * bytes of its weights as they run.
 */
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { designOf } from "../src/models/architecture.ts";
import type { DecoderConfig } from "../src/models/config.ts";
import type { Precision } from "../src/sample/quantise.ts";
import { weightBytes } from "../test/sample/memory-model.ts";
import type { Row } from "./rows.ts";
import { writeSynthetic } from "./synthetic.ts";

/** DeepSeek-R1-Distill-Qwen-1.5B, but for the head, which is the embedding as in Qwen2.5-1.5B. */
const SHAPE: DecoderConfig = {
  vocabSize: 151_936,
  layers: 28,
  width: 1536,
  heads: 12,
  kvHeads: 2,
  headDim: 128,
  ffn: 8960,
  maxPositions: 131_072,
  ropeTheta: 10_000,
  normEps: 1e-6,
  tieEmbeddings: true,
  qkvBias: true,
};
const [PROMPT, TOKENS] = [32, 64];
const CHILD = fileURLToPath(new URL("memory-child.mjs", import.meta.url));
const SAMPLE_MS = 20;

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

function measure(args: readonly string[]): Promise<Measured> {
  const child = spawn(process.execPath, [CHILD, ...args], { stdio: ["ignore", "pipe", "inherit"] });
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
      else reject(new Error(`${CHILD} ${args.join(" ")} ended with ${code}`));
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
    return rows;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function rowsOf(folder: string, precision: Precision, bare: number): Promise<Row[]> {
  const { parameters, planes } = designOf(SHAPE);
  const cache = planes.reduce((total, { heads, width }) => total + 4 * heads * width * (PROMPT + TOKENS), 0);
  const weights = weightBytes(parameters, { precision });
  const measured = await measure([folder, precision, String(PROMPT), String(TOKENS)]);
  const { peak, parts, openSeconds, tokensPerSecond } = measured;
  const mb = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`;
  const said = [
    `${mb(peak)} of ${mb(weights)} and a cache of ${mb(cache)}`,
    ...(parts === null
      ? []
      : [`${mb(parts.own)} of its own and ${mb(parts.files)} of mapped files at the peak`]),
    `${mb(bare)} for Node.js and ONNX Runtime alone`,
    `opened in ${openSeconds.toFixed(1)} s`,
  ];
  const ratio: Row = {
    name: `memory/${precision}-peak-over-weights`,
    value: peak / (weights + cache),
    unit: "x the weights as they run",
    atMost: 1.3,
    note: said.join("; "),
  };
  const rate: Row = {
    name: `memory/${precision}-tokens-per-second`,
    value: tokensPerSecond,
    unit: "tokens/s",
  };
  return [ratio, rate];
}
