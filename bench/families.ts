/**
 * How many problems of each generated kind a small model solves before it is trained: SmolLM2-135M-Instruct, greedily, at the
 * easiest difficulty. Writes the table of recipes/tasks.md. `--only KIND` measures one kind and writes nothing.
 */
import { writeFileSync } from "node:fs";
import { loadModel } from "../src/library/model.ts";
import { evaluate } from "../src/library/run.ts";
import { NAMED_KINDS, type TaskInput, taskFrom } from "../src/tasks/registry.ts";
import type { Row } from "./rows.ts";
import { fetchSmolLm2 } from "./smollm2.ts";

const PROBLEMS = 80;
const NEW_TOKENS = 64;
const PAGE = "recipes/tasks.md";

/** The easiest problems of a kind, asked in the model's chat template. */
const easiest = (kind: string): TaskInput =>
  ({
    ...{ kind, template: "chat" },
    ...(kind === "countdown" && { numbers: [2] }),
    ...(kind === "word-problems" && { steps: [1] }),
  }) as TaskInput;

interface Rate {
  kind: string;
  question: string;
  passed: number;
  interval: readonly [number, number];
}

export async function benchFamilies(flags: readonly string[]): Promise<Row[]> {
  const only = flags.includes("--only") ? flags[flags.indexOf("--only") + 1] : undefined;
  const model = await loadModel(fetchSmolLm2());
  const rates: Rate[] = [];
  const start = performance.now();
  for (const kind of NAMED_KINDS.filter((name) => only === undefined || name === only)) {
    const task = taskFrom(easiest(kind));
    const { passAt1, interval } = await evaluate(model, task, {
      ...{ problems: PROBLEMS, maxNewTokens: NEW_TOKENS, temperature: 0, seed: 1 },
    });
    const { messages, prompt } = task.generate({ seed: 1, split: "test", index: 0 });
    rates.push({ kind, question: messages?.at(-1)?.content ?? prompt, passed: passAt1, interval });
    console.error(`${kind}: ${percent(passAt1)}, ${Math.round((performance.now() - start) / 1000)} s`);
  }
  await model.release();
  if (only === undefined) writeFileSync(PAGE, page(rates));
  return rates.map(({ kind, passed, interval }) => ({
    ...{ name: `families/${kind}`, value: passed, spread: [interval[0], interval[1]], unit: "pass@1" },
  }));
}

const percent = (share: number): string => `${(100 * share).toFixed(0)} %`;
const cell = (text: string): string => text.replaceAll("|", "\\|").replaceAll(/\s*\n\s*/g, "<br>");

const page = (rates: readonly Rate[]): string => `<!-- Written by \`npm run bench -- families\`. -->

# Generated tasks

Each kind needs no file: \`task: { kind: calendar, difficulty: [1, 2] }\` in a recipe, \`eval --task calendar\` on the command line.
[README.md](README.md) has their options. The last column is what SmolLM2-135M-Instruct solves of ${PROBLEMS} test problems before any
training: at the easiest difficulty, in its chat template with one example, greedily, in ${NEW_TOKENS} tokens at most, with the
95 % interval. RL has something to begin with where this is not 0.

| kind | a problem of the easiest level | SmolLM2-135M |
| --- | --- | --- |
${rates.map(({ kind, question, passed, interval }) => `| \`${kind}\` | ${cell(question)} | ${percent(passed)} (${interval.map(percent).join(" to ")}) |`).join("\n")}
`;
