/** recipes/effort.yaml by seed: the length of thoughts and the accuracy at the lowest and at the highest effort. */
import { resolve } from "node:path";
import type { EvaluationRecord } from "../../src/events.ts";
import type { Row } from "../rows.ts";
import { extent, gain, mean, recipeYaml, runRecipe, scratchRuns } from "./runs.ts";

const LEVELS = [1, 5, 9];

export async function benchEffort(seeds: readonly number[]): Promise<Row[]> {
  const runs: EvaluationRecord[][] = [];
  for (const seed of seeds) {
    const recipe = { ...recipeYaml("effort"), seed, model: { from: resolve("models/tiny-r1-zero") } };
    const { evaluations } = await runRecipe(scratchRuns(), recipe);
    runs.push(LEVELS.map((level) => evaluations.get(`effort-${level}`)!));
  }
  const ratios = runs.map((levels) => levels.at(-1)!.meanTokens / levels[0].meanTokens);
  const curve = LEVELS.map((level, i) => {
    const at = runs.map((levels) => levels[i]);
    const of = (name: "meanTokens" | "passAt1") => mean(at.map((record) => record[name]));
    return `${level}: ${of("passAt1").toFixed(3)} in ${of("meanTokens").toFixed(0)} tokens`;
  });
  return [
    {
      name: "pipeline/effort-ratio",
      ...{ value: mean(ratios), spread: extent(ratios), unit: "x tokens", atLeast: 2 },
      note: curve.join("; "),
    },
    {
      name: "pipeline/effort-gain",
      ...gain(runs.map((levels) => [levels[0], levels.at(-1)!])),
      ...{ unit: "pass@1", atLeast: 0.1 },
    },
  ];
}
