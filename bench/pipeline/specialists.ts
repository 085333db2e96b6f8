/** recipes/specialists.yaml by seed: one student from two specialists, beside the average of their weights. */
import type { EvaluationRecord } from "../../src/events.ts";
import type { Row } from "../rows.ts";
import { extent, type FinishedRun, gain, mean, recipeYaml, runRecipe, scratchRuns } from "./runs.ts";

const TASKS = ["countdown", "instructions"];

export async function benchSpecialists(seeds: readonly number[]): Promise<Row[]> {
  const runs: FinishedRun[] = [];
  for (const seed of seeds) runs.push(await runRecipe(scratchRuns(), { ...recipeYaml("specialists"), seed }));
  const record = (run: FinishedRun, model: string, task: string): EvaluationRecord =>
    run.evaluations.get(`${model}-on-${task}`)!;
  const score = (run: FinishedRun, model: string): number =>
    mean(TASKS.map((task) => record(run, model, task).passAt1));
  const specialists = (run: FinishedRun): number =>
    mean(TASKS.map((task) => record(run, `${task}-specialist`, task).passAt1));
  const pairs = (model: string) =>
    runs.flatMap((run) =>
      TASKS.map((task): [EvaluationRecord, EvaluationRecord] => [
        record(run, model, task),
        record(run, "student", task),
      ]),
    );
  const overAverage = gain(pairs("average"));
  const shares = runs.map((run) => score(run, "student") / specialists(run));
  return [
    {
      name: "pipeline/opd-minus-merge",
      ...overAverage,
      unit: "mean pass@1 of both tasks",
      atLeast: overAverage.value - overAverage.spread[0],
      note: `average of weights ${mean(runs.map((run) => score(run, "average"))).toFixed(3)}`,
    },
    {
      name: "pipeline/opd-share-of-specialists",
      ...{ value: mean(shares), spread: extent(shares), unit: "of the specialists' own", atLeast: 0.95 },
      note: `specialists ${mean(runs.map(specialists)).toFixed(3)}`,
    },
    {
      name: "pipeline/opd-minus-one-sample",
      ...gain(pairs("student-sampled")),
      unit: "mean pass@1 of both tasks",
    },
  ];
}
