/** A run's files as the events that made them: what a page opened later, or after a resume, needs to know. */
import type { RunEvent } from "../events.ts";
import { allParameters } from "../models/architectures.ts";
import { countParameters } from "../models/layers.ts";
import { recipeShape } from "../recipe/model.ts";
import { stageInfos } from "../recipe/resolve.ts";
import { runPaths } from "./folder.ts";
import type { RunData } from "./reader.ts";

/** In the order of the run; the last one is `done` for a finished run. */
export function* replay(run: RunData): Generator<RunEvent> {
  const { recipe, info, folder } = run;
  const stages = stageInfos(recipe);
  const parameters = countParameters(allParameters(recipeShape(recipe).config));
  const { name, seed, startedAt } = info;
  yield { type: "run", name, folder, seed, parameters, stages, startedAt, resumedAt: null };
  for (const [index, stage] of stages.entries()) {
    const metrics = run.metrics.filter((line) => line.stage === stage.name);
    const planned = recipe.stages[index];
    const evaluation =
      planned.kind === "evaluate" ? run.evaluations.find(({ label }) => label === planned.label) : undefined;
    if (metrics.length === 0 && evaluation === undefined) continue;
    yield { type: "stage", index, stage };
    for (const line of metrics) yield { type: "metrics", ...line, secondsLeft: null };
    for (const line of run.samples.filter((sample) => sample.stage === stage.name))
      yield { type: "samples", ...line };
    if (evaluation !== undefined) yield { type: "evaluation", evaluation: evaluation };
  }
  if (run.bill !== null) yield { type: "bill", bill: run.bill };
  if (info.finishedAt !== null) yield { type: "done", folder, report: runPaths(folder).report };
}
