/**
 * GRPO with LoRA on SmolLM2-135M-Instruct against TRL: 16 prompts x 8 completions of 64 tokens, one update on all of them,
 * on the same cores; steps alternate, and each side is a process of its own.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { saveModel } from "../src/checkpoint/folder.ts";
import { loadGguf } from "../src/checkpoint/gguf/model.ts";
import { expectedShapes } from "../src/checkpoint/weights.ts";
import { threadCount } from "../src/runtime/device.ts";
import { taskFrom } from "../src/tasks/registry.ts";
import { type Chat, chatOf, renderChat } from "../src/tokenizer/chat.ts";
import { Peer } from "./peer.ts";
import { median, type Row } from "./rows.ts";
import { CACHE, fetchSmolLm2 } from "./smollm2.ts";

/** What both sides are told. */
export interface Work {
  /** A Hugging Face folder. */
  model: string;
  prompts: string[];
  groupSize: number;
  newTokens: number;
  temperature: number;
  rank: number;
  alpha: number;
  lr: number;
  threads: number;
}

// Each takes four to five minutes.
const ROUNDS = 2;

export async function benchGrpo(): Promise<Row[]> {
  const model = loadGguf(fetchSmolLm2(), expectedShapes);
  const folder = join(CACHE, "folder");
  mkdirSync(folder, { recursive: true });
  saveModel(folder, model);
  const task = taskFrom({ kind: "word-problems", steps: [1, 2], size: 12, template: "chat" });
  const prompt = (index: number): string => {
    const { messages = [] } = task.generate({ seed: 1, split: "train", index });
    return renderChat(chatOf(model.tokenizerConfig) as Chat, messages, { addGenerationPrompt: true });
  };
  const work: Work = {
    model: resolve(folder),
    prompts: Array.from({ length: 16 }, (_, index) => prompt(index)),
    groupSize: 8,
    newTokens: 64,
    temperature: 0.8,
    rank: 16,
    alpha: 32,
    lr: 1e-4,
    threads: threadCount(),
  };
  const file = join(CACHE, "grpo-work.json");
  writeFileSync(file, JSON.stringify(work));
  const trl = await Peer.python("trl_grpo.py", ["--work", file]);
  const ours = await Peer.script("grpo-ours.ts", [file]);
  if (trl === null || ours === null)
    throw new Error("both sides are needed; peers/README.md says how to install TRL");
  const [mine, theirs]: number[][] = [[], []];
  for (let round = 0; round < ROUNDS; round++) {
    mine.push(...(await ours.steps(1)));
    theirs.push(...(await trl.steps(1)));
  }
  const [myPeak, theirPeak] = [await ours.peakBytes(), await trl.peakBytes()];
  const ratios = mine.map((ms, i) => theirs[i] / ms);
  const hour = (ms: readonly number[]): string => (3_600_000 / median(ms)).toFixed(0);
  const gibibytes = (bytes: number): string => (bytes / 2 ** 30).toFixed(2);
  return [
    {
      name: "grpo/vs-trl",
      value: median(ratios),
      spread: [Math.min(...ratios), Math.max(...ratios)],
      unit: "x TRL's steps an hour",
      atLeast: 3,
      note: `${hour(mine)} against ${hour(theirs)} steps an hour`,
    },
    {
      name: "grpo/memory-vs-trl",
      value: myPeak / theirPeak,
      unit: "of TRL's peak",
      atMost: 0.7,
      note: `${gibibytes(myPeak)} against ${gibibytes(theirPeak)} GiB`,
    },
  ];
}
