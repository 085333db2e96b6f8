/** Writes the data of recipes/sft-lora.yaml and recipes/grpo-jsonl.yaml: npx tsx scripts/example-data.ts */
import { writeFileSync } from "node:fs";
import { Random } from "../src/lib/random.ts";
import { countdown, countdownOptions } from "../src/tasks/countdown.ts";

function write(name: string, rows: readonly unknown[]): void {
  writeFileSync(`recipes/data/${name}`, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
}

/** Countdown with two numbers, each with its solution; from the train split, so that an evaluation has other problems. */
const task = countdown(countdownOptions.parse({ kind: "countdown", numbers: [2] }));
const solved = new Map<string, { prompt: string; completion: string }>();
for (let index = 0; solved.size < 200; index++) {
  const { prompt, solution: dense, target } = task.generate({ seed: 1, split: "train", index });
  const solution = dense.replace(/[-+*/]/g, " $& ");
  const completion = `${solution} = ${target}, yes!\n</think>\n<answer>${solution}</answer>`;
  solved.set(prompt, { prompt, completion });
}
write("two-numbers.jsonl", [...solved.values()]);

/** Chains such as 27 + 35 - 14, all different, no result below 0. */
const random = new Random("example-data");
const chains = new Map<string, { steps: string; answer: number }>();
while (chains.size < 360) {
  const numbers = [random.integer(10, 60), random.integer(2, 40), random.integer(2, 40)];
  let [question, value, steps] = [String(numbers[0]), numbers[0]!, [] as string[]];
  for (const next of numbers.slice(1)) {
    const sign = random.uniform() < 0.5 ? "+" : "-";
    const result = sign === "+" ? value + next : value - next;
    steps.push(`${value} ${sign} ${next} = ${result}`);
    question += ` ${sign} ${next}`;
    value = result;
  }
  if (steps.every((step) => !step.includes("= -")))
    chains.set(question, { steps: steps.join(", "), answer: value });
}
const all = [...chains];
write(
  "chains-solved.jsonl",
  all.slice(0, 60).map(([question, { steps, answer }]) => ({
    prompt: `${question}\n<think>\n`,
    completion: `${steps}\n</think>\n<answer>${answer}</answer>`,
  })),
);
const asked = ([question, { answer }]: (typeof all)[number]) => ({ question, answer: String(answer) });
write("chains.jsonl", all.slice(60, 260).map(asked));
write("chains-test.jsonl", all.slice(260).map(asked));
