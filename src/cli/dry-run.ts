/** `sputnik train RECIPE --dry-run`: what a recipe will take. Traced on the null device; nothing is written. */
import { availableParallelism, loadavg } from "node:os";
import color from "picocolors";
import type { DType } from "../graph/tensor.ts";
import { ratesFor } from "../ledger/prices.ts";
import { allParameters } from "../models/architecture.ts";
import { countParameters, type ParameterSpec } from "../models/layers.ts";
import { checkSources } from "../recipe/check-sources.ts";
import { costOf, planRecipe, type StagePlan, stageFlops } from "../recipe/plan.ts";
import type { Recipe } from "../recipe/schema.ts";
import { recipeWarnings } from "../recipe/sense.ts";
import { measureMatmulRate } from "../runtime/measure.ts";
import { bytes, duration, short, table, whole } from "./screen.ts";

/** What training and sampling reach of the MatMul rate; `npm run bench -- train` and `decode` measure both. */
const SHARE = { train: 0.6, sample: 0.15 };

export async function dryRun(
  recipe: Recipe,
  { json, threads }: { json?: boolean; threads?: number },
): Promise<void> {
  checkSources(recipe);
  const plan = planRecipe(recipe);
  const specs = allParameters(plan.config);
  const rate = await measureMatmulRate(undefined, threads);
  const stages = plan.stages.map((stage) => describeStage(stage, rate));
  const parameters = countParameters(specs);
  const flops = stages.reduce((sum, stage) => sum + stage.flops, 0);
  const seconds = stages.reduce((sum, stage) => sum + stage.seconds, 0);
  const rates = ratesFor({ device: null, hardware: recipe.hardware, measuresEnergy: false });
  const hours = seconds / 3600;
  const bill = {
    wattHours: rates.watts === null ? null : rates.watts * hours,
    dollars: rates.dollarsPerHour === null ? null : rates.dollarsPerHour * hours,
    method: rates.method,
  };
  const memory = Math.max(...stages.map((stage) => stage.bytes));
  const warnings = recipeWarnings(recipe);
  if (json) {
    const tensors = specs.map(({ name, shape }) => ({ name, shape }));
    const assumed = { matmulFlopsPerSecond: rate, share: SHARE };
    console.log(
      JSON.stringify({
        name: recipe.name,
        config: plan.config,
        parameters,
        tensors,
        stages,
        memoryBytes: memory,
        flops,
        seconds,
        assumed,
        bill,
        warnings,
      }),
    );
    return;
  }
  console.log(
    `${color.bold(recipe.name)}: ${whole(parameters)} parameters, ${bytes(4 * parameters)} in f32\n`,
  );
  console.log(table(["parameter", "shape", "copies", "numbers"], parameterRows(specs)));
  for (const stage of stages) printStage(stage);
  console.log(
    `\n${color.bold("in all")}  ${short(flops, "FLOP")}, about ${duration(seconds)}, ${bytes(memory)} for the largest stage's tensors`,
  );
  console.log(
    `Time: this machine's MatMul rate, measured now as ${short(rate, "FLOP/s")}, of which training is taken to reach ${SHARE.train} and sampling ${SHARE.sample}.`,
  );
  if (loadavg()[0] > availableParallelism() + 0.5)
    console.log(
      `${color.yellow("note")} other programs are computing now, so this rate is too low and the time too long.`,
    );
  const known = (value: number | null, show: (value: number) => string): string =>
    value === null ? "unknown" : show(value);
  console.log(
    `Bill: ${known(bill.wattHours, (wh) => `${wh.toFixed(1)} Wh`)}, ${known(bill.dollars, (usd) => `$${usd.toFixed(4)}`)}. ${bill.method}`,
  );
  for (const warning of warnings) console.log(`${color.yellow("note")} ${warning}`);
}

function describeStage(stage: StagePlan, rate: number) {
  const flops = stageFlops(stage);
  const programs = stage.programs.map((program) => {
    const own = new Set(
      [...program.graph.inputs.keys()].filter((name) => name.includes("model.") || name.includes("lm_head")),
    );
    const shapes = [...program.graph.inputs]
      .filter(([name]) => !own.has(name))
      .map(([name, { dtype, shape }]) => typed(name, dtype, shape, program.sizes));
    return {
      name: program.name,
      inputs: shapes,
      sizes: program.sizes,
      runsPerStep: program.runsPerStep,
      ...costOf(program),
    };
  });
  const total = flops.train + flops.sample;
  return {
    name: stage.name,
    kind: stage.kind,
    steps: stage.steps,
    programs,
    assumptions: stage.assumptions,
    flopsPerStep: total / stage.steps,
    flops: total,
    seconds: (flops.train / SHARE.train + flops.sample / SHARE.sample) / rate,
    // One session runs at a time, but each keeps what it holds.
    bytes:
      programs.reduce((sum, { persistentBytes }) => sum + persistentBytes, 0) +
      Math.max(...programs.map(({ peakBytes }) => peakBytes)),
  };
}

function typed(
  name: string,
  dtype: DType,
  shape: readonly (number | string)[],
  sizes: Record<string, number>,
): string {
  return `${name} ${dtype} [${shape.map((dim) => (typeof dim === "number" ? dim : (sizes[dim] ?? dim))).join(", ")}]`;
}

function printStage(stage: ReturnType<typeof describeStage>): void {
  const { name, kind, steps, flopsPerStep, flops, seconds } = stage;
  console.log(
    `\n${color.bold(name)} (${kind}): ${steps} x ${short(flopsPerStep, "FLOP")} = ${short(flops, "FLOP")}, about ${duration(seconds)}`,
  );
  const rows = stage.programs.map((program) => [
    program.name,
    String(program.nodes),
    short(program.runsPerStep),
    short(program.flopsPerRun, "FLOP"),
    bytes(program.persistentBytes),
    bytes(program.peakBytes),
  ]);
  console.log(table(["graph", "nodes", "runs a step", "a run", "inputs, outputs", "peak activations"], rows));
  for (const program of stage.programs)
    console.log(
      color.dim(
        `${program.name}: ${program.inputs.slice(0, 6).join(", ")}${program.inputs.length > 6 ? ", ..." : ""}`,
      ),
    );
  for (const assumption of stage.assumptions) console.log(`Assumed: ${assumption}.`);
}

/** One row for the parameters that all layers, or all experts, have. */
function parameterRows(specs: readonly ParameterSpec[]): string[][] {
  const groups = new Map<string, { shape: string; copies: number; numbers: number }>();
  for (const spec of specs) {
    const name = spec.name.replace(/\.(layers|experts)\.\d+\./g, ".$1.*.");
    const group = groups.get(name) ?? { shape: `[${spec.shape.join(", ")}]`, copies: 0, numbers: 0 };
    group.copies++;
    group.numbers += countParameters([spec]);
    groups.set(name, group);
  }
  return [...groups].map(([name, { shape, copies, numbers }]) => [
    name,
    shape,
    String(copies),
    whole(numbers),
  ]);
}
