/**
 * LoRA on rows of one's own, `{"prompt": "...", "completion": "..."}`, by a recipe that is an object:
 * `npx tsx examples/lora.ts ROWS.jsonl [MODEL]`
 */
import { loadModel, train } from "sputnik-r1";
import { SHIPPED } from "sputnik-r1/models";

const [file = "recipes/data/two-numbers.jsonl", from = SHIPPED] = process.argv.slice(2);
const score = { kind: "evaluate", problems: 50, samples: 1, temperature: 0, maxNewTokens: 120 };

const { folder, evaluations } = await train(
  {
    name: "my-lora",
    seed: 1,
    model: { from },
    task: { kind: "countdown", numbers: [2] },
    stages: [
      { ...score, name: "before", label: "before" },
      {
        ...{ name: "teach", kind: "sft", data: { kind: "jsonl", file } },
        ...{ sequence: 128, batch: 8, steps: 40 },
        lora: { rank: 16, alpha: 32 },
        optimizer: { kind: "adamw", lr: 2e-3 },
        schedule: { kind: "linear", warmup: 5, minLrRatio: 0.1 },
      },
      { ...score, name: "after", label: "after" },
    ],
  },
  {
    onEvent: (event) => {
      if (event.type === "metrics" && event.step % 10 === 0)
        console.log(`step ${event.step}: loss ${event.metrics.loss?.toFixed(3)}`);
    },
  },
);
for (const { label, passAt1 } of evaluations) console.log(`${label}: ${(100 * passAt1).toFixed(0)} %`);

const model = await loadModel(folder);
console.log((await model.generate("6, 7 make 42\n<think>\n", { temperature: 0 })).text);
await model.release();
