/** The step of `tinker_step.py` in this process: no HTTP, no protocol. Answers "step N" as peers do. */
import "../src/runtime/no-telemetry.ts";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { Engine } from "../src/runtime/engine.ts";
import { Studio } from "../src/server/tinker/studio.ts";
import type { StepWork } from "./tinker.ts";

const work = JSON.parse(readFileSync(process.argv[2], "utf8")) as StepWork;
const { modelName: base, folder, prompts, count, newTokens, rank } = work;
const studio = new Studio(new Map([[base, folder]]), new Engine());
const model = "model";
await studio.create({
  ...{ type: "create", model, base, seed: 1 },
  adapter: { rank, attention: true, mlp: true, head: false },
});

async function step(seed: number): Promise<void> {
  await studio.keep({ type: "keep", model, adapter: "newest" });
  const answers = await studio.sample({
    ...{ type: "sample", weights: { base, adapter: "newest" }, sampling: { temperature: 1 } },
    stop: { own: false, ids: [], texts: [] },
    prompts: prompts.map((prompt) => ({ prompt, count, maxNewTokens: newTokens, seed, scored: 0 })),
  });
  const data = answers.flatMap(({ sequences }, p) =>
    sequences.map(({ ids, logProbs }, i) => {
      const prompt = prompts[p];
      const zeros = prompt.slice(1).map(() => 0);
      const advantages = [...zeros, ...ids.map(() => (i % 2 === 0 ? 1 : -1))];
      return {
        tokens: [...prompt, ...ids.slice(0, -1)],
        targets: [...zeros, ...ids],
        inputs: { sampled: [...zeros, ...logProbs], advantages },
      };
    }),
  );
  await studio.pass({ type: "pass", model, data, loss: "importance_sampling", settings: {}, backward: true });
  const settings = {
    lr: 1e-5,
    betas: [0.9, 0.95] as [number, number],
    epsilon: 1e-8,
    weightDecay: 0,
    clip: null,
  };
  await studio.update({ type: "update", model, step: settings });
}

let steps = 0;
await step(steps++);
console.log(JSON.stringify({ ready: true }));
for await (const line of createInterface({ input: process.stdin })) {
  const [word, value] = line.split(/\s+/);
  if (word === "quit") break;
  const times: number[] = [];
  for (let i = 0; i < Number(value); i++) {
    const start = performance.now();
    await step(steps++);
    times.push(performance.now() - start);
  }
  console.log(JSON.stringify({ ms_per_step: times }));
}
await studio.release();
process.exit(0);
