/**
 * SmolLM2-135M-Instruct: decoding against llama.cpp and transformers.js, greedily, with the same prompts, number of new
 * tokens, threads and precision, sides alternating; perplexity against llama.cpp's on the same file and text; and what
 * half an hour of GRPO with LoRA teaches it.
 */
import { readFileSync } from "node:fs";
import { loadGguf } from "../src/checkpoint/gguf/model.ts";
import { expectedShapes } from "../src/checkpoint/weights.ts";
import { threadCount } from "../src/runtime/device.ts";
import { perplexities, TEXT } from "./perplexity.ts";
import {
  ggufOf,
  llamaCpp,
  ours,
  type Precision,
  type Side,
  type Task,
  transformersJs,
} from "./real-model-sides.ts";
import { rewardGain } from "./reward-gain.ts";
import { median, type Row } from "./rows.ts";
import { fetchSmolLm2 } from "./smollm2.ts";

const PROMPT = 32;
const NEW_TOKENS = 128;
const ROUNDS = 5;
/** Batches, and what is wanted of them. */
const BATCHES = [
  { rows: 1, atLeast: 0.8 },
  { rows: 16, atLeast: 0.8 },
];
/** The first one's rows have the names alone, those of the others the precision in their names. */
const PRECISIONS: readonly Precision[] = ["Q8_0", "F32", "Q4_1"];

export async function benchRealModel(): Promise<Row[]> {
  const file = fetchSmolLm2();
  const model = loadGguf(file, expectedShapes);
  const ids = model.tokenizer.encode(readFileSync(TEXT, "utf8"));
  const most = Math.max(...BATCHES.map(({ rows }) => rows));
  const prompts = Array.from({ length: most }, (_, i) => ids.slice(PROMPT * i, PROMPT * (i + 1)));
  const task: Task = { prompts, tokens: NEW_TOKENS, threads: threadCount() };

  const rows: Row[] = [];
  for (const precision of PRECISIONS) {
    const mine = await ours(precision, model, task);
    const gguf = ggufOf(precision, model, file);
    const suffix = rows.length === 0 ? "" : `-${precision.toLowerCase()}`;
    for (const batch of BATCHES) {
      const name = `real-model/decode-${batch.rows}-vs-llama-cpp${suffix}`;
      rows.push(await compare(name, batch, mine, () => llamaCpp(gguf, task), precision));
    }
    await mine.close();
  }
  for (const [precision, dtype, suffix] of [
    ["Q8_0", "q8", ""],
    ["F32", "fp32", "-f32"],
  ] as const) {
    const mine = await ours(precision, model, task);
    const single = { rows: 1, atLeast: 1.5 };
    const name = `real-model/decode-1-vs-transformers-js${suffix}`;
    rows.push(await compare(name, single, mine, () => transformersJs(model, task, dtype), precision));
    await mine.close();
  }
  rows.push(...(await perplexities(file, model, ids)));
  rows.push(rewardGain(file));
  return rows;
}

/** Median of the ratios of neighbouring measurements; the first round warms both up. */
async function compare(
  name: string,
  { rows, atLeast }: { rows: number; atLeast: number },
  mine: Side,
  open: () => Promise<Side | null>,
  precision: Precision,
): Promise<Row> {
  const row = { name, unit: "x tokens/s", atLeast };
  const theirs = await open();
  if (theirs === null) return { ...row, value: Number.NaN, note: "the peer is not installed" };
  const [ratios, rates, agreed]: [number[], [number, number][], number[]] = [[], [], []];
  for (let round = 0; round <= ROUNDS; round++) {
    const [a, b] = [await mine.decode(rows), await theirs.decode(rows)];
    if (round === 0) {
      agreed.push(...a.ids.map((ids, i) => firstDifference(ids, b.ids[i])));
      continue;
    }
    ratios.push(a.rate / b.rate);
    rates.push([a.rate, b.rate]);
  }
  await theirs.close();
  const [own, other] = [0, 1].map((side) => median(rates.map((pair) => pair[side])).toFixed(0));
  return {
    ...row,
    value: median(ratios),
    spread: [Math.min(...ratios), Math.max(...ratios)],
    note: `${precision}: ${own} against ${other} tokens/s; the same ${median(agreed)} of ${NEW_TOKENS} tokens first`,
  };
}

const firstDifference = (a: readonly number[], b: readonly number[]): number => {
  const at = a.findIndex((id, i) => id !== b[i]);
  return at === -1 ? a.length : at;
};
