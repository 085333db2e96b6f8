/** recipes/tiny-r1.yaml whole, and its reasoning RL once more without the language reward, by seed. */
import type { EvaluationRecord } from "../../src/events.ts";
import { median, type Row } from "../rows.ts";
import {
  extent,
  type FinishedRun,
  gain,
  mean,
  type RecipeYaml,
  recipeYaml,
  runRecipe,
  scratchRuns,
} from "./runs.ts";

interface Both {
  whole: FinishedRun;
  /** Reasoning RL without the language reward, from the same cold start. */
  off: FinishedRun;
}

export async function benchTinyR1(seeds: readonly number[]): Promise<Row[]> {
  const runs: Both[] = [];
  for (const seed of seeds) {
    const cwd = scratchRuns();
    const recipe = { ...recipeYaml("tiny-r1"), seed };
    runs.push({
      whole: await runRecipe(cwd, recipe),
      off: await runRecipe(cwd, withoutLanguageReward(recipe)),
    });
  }
  return rowsOf(runs);
}

/** The stages up to reasoning RL and its evaluation. */
function withoutLanguageReward(recipe: RecipeYaml): RecipeYaml {
  const end = recipe.stages.findIndex(({ name }) => name === "reasoning-rl");
  const stages = recipe.stages.filter(({ name }, i) => i <= end || name === "reasoning-countdown");
  return {
    ...recipe,
    name: `${recipe.name}-off`,
    stages: stages.map((stage, i) =>
      i === end ? { ...stage, rewards: { ...(stage.rewards as object), language: 0 } } : stage,
    ),
  };
}

const record = (run: FinishedRun, label: string): EvaluationRecord => run.evaluations.get(label)!;

function rowsOf(runs: readonly Both[]): Row[] {
  const wholes = runs.map(({ whole }) => whole);
  const of = (label: string) => wholes.map((run) => record(run, label));
  const passes = (label: string): Pick<Row, "value" | "spread"> => {
    const values = of(label).map(({ passAt1 }) => passAt1);
    return { value: mean(values), spread: extent(values) };
  };
  const gainOf = (first: string, second: string) =>
    gain(wholes.map((run) => [record(run, first), record(run, second)]));
  const language = (run: FinishedRun) => record(run, "reasoning-rl").language ?? 0;
  const gained = runs.map(({ whole, off }) => language(whole) - language(off));
  const cost = gain(
    runs.map(({ whole, off }) => [record(whole, "reasoning-rl"), record(off, "reasoning-rl")]),
  );
  const readable = (label: string) => of(label).map((one) => one.readable ?? 0);
  const flops = (stages: readonly string[]) =>
    mean(
      wholes.map(({ bill }) =>
        bill.lines.filter(({ stage }) => stages.includes(stage)).reduce((sum, line) => sum + line.flops, 0),
      ),
    );
  const [distilling, alone] = [flops(["teacher-samples", "distilled"]), flops(["student-rl"])];
  const distilled = gainOf("student-rl", "distilled");
  return [
    {
      name: "pipeline/minutes",
      value: median(wholes.map(({ seconds }) => seconds / 60)),
      spread: extent(wholes.map(({ seconds }) => seconds / 60)),
      unit: "min",
      atMost: 45,
    },
    {
      name: "pipeline/memory-gb",
      value: Math.max(...wholes.map(({ gigabytes }) => gigabytes)),
      unit: "GiB",
      atMost: 4,
    },
    { name: "pipeline/zero-pass1", ...passes("r1-zero"), unit: "pass@1", atLeast: 0.8 },
    { name: "pipeline/final-pass1", ...passes("final"), unit: "pass@1" },
    { name: "pipeline/final-minus-zero", ...gainOf("r1-zero", "final"), unit: "pass@1", atLeast: -0.03 },
    {
      name: "pipeline/language-gain",
      ...{ value: mean(gained), spread: extent(gained), unit: "share of words", atLeast: 0.2 },
      note: `with the reward ${mean(wholes.map(language)).toFixed(3)}`,
    },
    {
      name: "pipeline/language-cost",
      value: -cost.value,
      spread: [-cost.spread[1], -cost.spread[0]],
      unit: "pass@1",
      atMost: 0.03,
    },
    {
      name: "pipeline/readable",
      ...{ value: mean(readable("final")), spread: extent(readable("final")), unit: "share", atLeast: 0.95 },
      note: `R1-Zero ${mean(readable("r1-zero")).toFixed(3)}`,
    },
    {
      name: "pipeline/helpful-gain",
      ...gainOf("r1-zero-instructions", "final-instructions"),
      unit: "pass@1",
      atLeast: 0.3,
    },
    {
      name: "pipeline/distill-minus-rl",
      ...distilled,
      unit: "pass@1",
      atLeast: distilled.value - distilled.spread[0],
      note: `${(distilling / 1e12).toFixed(2)} against ${(alone / 1e12).toFixed(2)} TFLOP`,
    },
  ];
}
