/**
 * Our side of the benchmark `grpo`, as a process of its own, so that its peak memory is seen: the words of
 * peers/trl_grpo.py, whose work it does.
 */
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { openModel } from "../src/recipe/model.ts";
import type { Task } from "../src/tasks/problem.ts";
import { GrpoStage } from "../src/train/grpo.ts";
import type { Work } from "./grpo.ts";

const STEPS = 1000;

const work = JSON.parse(readFileSync(process.argv[2], "utf8")) as Work;

/** The prompts in turn; the reward is the share of digits in the text. */
const digits: Task = {
  name: "digits",
  generate: ({ split, index }) => ({
    id: `digits/${split}/${index}`,
    prompt: work.prompts[index % work.prompts.length],
  }),
  verify: (_, completion) => {
    const characters = [...completion];
    const value = characters.filter((c) => /[0-9]/.test(c)).length / Math.max(1, characters.length);
    return {
      value,
      kind: "right",
      extracted: null,
      canonical: null,
      format: false,
      reason: "share of digits",
    };
  },
};

const model = openModel(work.model);
const stage = await GrpoStage.create(
  // Without a stop every completion has the same length.
  { ...model, tokenizer: Object.assign(Object.create(model.tokenizer), { stopIds: new Set() }) },
  digits,
  {
    kind: "grpo",
    steps: STEPS,
    problemsPerStep: work.prompts.length,
    groupSize: work.groupSize,
    maxNewTokens: work.newTokens,
    temperature: work.temperature,
    rewards: { accuracy: 1, format: 0, validity: 0 },
    advantage: "grpo",
    ratio: "token",
    aggregation: "token-mean",
    aggregationLength: work.newTokens,
    clip: { low: 0.2, high: 0.2 },
    kl: 0,
    referenceEvery: 0,
    epochs: 1,
    miniBatches: 1,
    recompute: false,
    maxBatch: 128,
    microBatchTokens: 1024,
    sharedPrefix: true,
    optimizer: {
      kind: "adamw",
      lr: work.lr,
      betas: [0.9, 0.999],
      epsilon: 1e-8,
      weightDecay: 0,
      clip: 1,
    },
    schedule: { kind: "constant", warmup: 0 },
    lora: { rank: work.rank, alpha: work.alpha, targets: [] },
  },
  { seed: 1, threads: work.threads },
);

async function steps(count: number): Promise<{ ms_per_step: number[]; tokens: number; loss: number | null }> {
  const times: number[] = [];
  let [tokens, loss] = [0, null as number | null];
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    const report = await stage.advance();
    times.push(performance.now() - start);
    tokens = report.generated;
    loss = report.metrics.loss as number | null;
  }
  return { ms_per_step: times, tokens, loss };
}

await steps(1);
console.log(JSON.stringify({ ready: true }));
for await (const line of createInterface({ input: process.stdin })) {
  const [word, count] = line.split(" ");
  if (word === "step") console.log(JSON.stringify(await steps(Number(count))));
  else break;
}
console.log(JSON.stringify({ peak_bytes: process.resourceUsage().maxRSS * 1024 }));
process.exit(0);
