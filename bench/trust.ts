/**
 * What makes the figures of a run believable: nothing leaves the machine or stays on it, tests notice what is broken,
 * intervals hold what they promise, and templates render as transformers renders them.
 */
import { mutationScores } from "../scripts/mutate/run.ts";
import { LEAST, scoreOf } from "../scripts/mutate/score.ts";
import type { Row } from "./rows.ts";
import { trustCoverage } from "./trust-coverage.ts";
import { benchLeaks } from "./trust-leaks.ts";
import { trustTemplates } from "./trust-templates.ts";

export async function benchTrust(): Promise<Row[]> {
  return [...(await benchLeaks()), ...trustCoverage(), trustTemplates(), ...(await mutationRows())];
}

async function mutationRows(): Promise<Row[]> {
  return Object.entries(await mutationScores()).map(([name, score]) => ({
    name: `trust/mutation-score-${name}`,
    value: scoreOf(score),
    unit: "mutants killed over all",
    atLeast: LEAST,
    note: `${score.killed} of ${score.killed + score.survivors.length}, ${score.explained} explained in place`,
  }));
}
