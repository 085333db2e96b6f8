/** `sputnik train RECIPE --dry-run`: what a recipe will take. Traced on the null device; nothing is written. */
import { availableParallelism, loadavg } from "node:os";
import color from "picocolors";
import type { Speeds } from "../graph/analyse.ts";
import type { DType, Shape } from "../graph/tensor.ts";
import { type Rates, ratesFor } from "../ledger/prices.ts";
import { allParameters } from "../models/architectures.ts";
import { countParameters, type ParameterSpec } from "../models/layers.ts";
import { costOf, planRecipe, type StagePlan } from "../plan/plan.ts";
import type { Expected } from "../plan/programs.ts";
import { checkSources } from "../recipe/check.ts";
import type { Note } from "../recipe/check-data.ts";
import type { RecipeSource } from "../recipe/load.ts";
import type { Recipe } from "../recipe/schema.ts";
import { recipeWarnings } from "../recipe/validate.ts";
import { Engine, type EngineOptions } from "../runtime/engine.ts";
import { measureSpeeds } from "../runtime/measure.ts";
import { printable, printableJson } from "./printable.ts";
import { bytes, duration, runTime, short, table, whole } from "./screen.ts";

export async function dryRun(
  { recipe, notes, source }: { recipe: Recipe; notes: Note[]; source: RecipeSource },
  { json, engine, passRate, answerTokens }: { json?: boolean; engine?: EngineOptions } & Expected,
): Promise<void> {
  notes.push(...checkSources(recipe, source));
  const plan = planRecipe(recipe, { passRate, answerTokens });
  const specs = allParameters(plan.config);
  const speeds = await measureSpeeds(new Engine(engine));
  const stages = plan.stages.map((stage) => describeStage(stage, speeds));
  const parameters = countParameters(specs);
  const flops = stages.reduce((sum, stage) => sum + stage.flops, 0);
  const seconds = stages.reduce((sum, stage) => sum + stage.seconds, 0);
  const rates = ratesFor({ hardware: recipe.hardware, measuresEnergy: false });
  const hours = seconds / 3600;
  const bill = {
    wattHours: rates.watts === null ? null : rates.watts * hours,
    dollars: rates.dollarsPerHour === null ? null : rates.dollarsPerHour * hours,
    method: rates.method,
  };
  const memory = Math.max(...stages.map((stage) => stage.bytes));
  const warnings = [
    ...recipeWarnings(recipe),
    ...notes.flatMap(({ level, message }) => (level === "warning" ? [message] : [])),
  ];
  if (json) {
    const tensors = specs.map(({ name, shape }) => ({ name, shape }));
    console.log(
      printableJson({
        name: recipe.name,
        config: plan.config,
        parameters,
        tensors,
        stages,
        memoryBytes: memory,
        flops,
        seconds,
        speeds,
        bill,
        warnings,
        notes,
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
    `Time: an operator takes the longer of its products at ${short(speeds.flops, "FLOP/s")} and its memory traffic at ${short(speeds.bytes, "B/s")}, plus ${(1e6 / speeds.nodes).toFixed(1)} us, at the speeds that this machine has now.`,
  );
  if (loadavg()[0] > availableParallelism() + 0.5)
    console.log(
      `${color.yellow("note")} other programs are computing now, so the speeds are lower and the time is longer than on an idle machine.`,
    );
  console.log(billLine(rates, hours));
  for (const warning of warnings) console.log(`${color.yellow("note")} ${printable(warning)}`);
  for (const { level, message } of notes) if (level === "info") console.log(`note ${printable(message)}`);
}

/** The energy and the cost of so many hours; for an unknown one, the recipe key that would give it. */
export function billLine(
  { watts, dollarsPerHour }: Pick<Rates, "watts" | "dollarsPerHour">,
  hours: number,
): string {
  const energy =
    watts === null
      ? "energy is known once the recipe says what this machine draws (hardware.watts)"
      : `${(watts * hours).toFixed(1)} Wh at ${watts} W (hardware.watts)`;
  const cost =
    dollarsPerHour === null
      ? "cost is known once the recipe says what an hour of it costs (hardware.dollarsPerHour)"
      : `$${(dollarsPerHour * hours).toFixed(4)} at $${dollarsPerHour} an hour (hardware.dollarsPerHour)`;
  return `Bill: ${energy}; ${cost}.`;
}

function describeStage(stage: StagePlan, speeds: Speeds) {
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
      ...costOf(program, speeds),
    };
  });
  const sum = (of: (program: (typeof programs)[number]) => number): number =>
    programs.reduce((total, program) => total + program.runsPerStep * of(program), 0);
  const flopsPerStep = sum(({ flopsPerRun }) => flopsPerRun);
  return {
    name: stage.name,
    kind: stage.kind,
    steps: stage.steps,
    programs,
    assumptions: stage.assumptions,
    flopsPerStep,
    flops: flopsPerStep * stage.steps,
    seconds: sum(({ secondsPerRun }) => secondsPerRun) * stage.steps,
    // One session runs at a time, but each keeps what it holds.
    bytes:
      programs.reduce((sum, { persistentBytes }) => sum + persistentBytes, 0) +
      Math.max(0, ...programs.map(({ peakBytes }) => peakBytes)),
  };
}

function typed(name: string, dtype: DType, shape: Shape, sizes: Record<string, number>): string {
  return `${name} ${dtype} [${shape.map((dim) => (typeof dim === "string" ? (sizes[dim] ?? dim) : dim)).join(", ")}]`;
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
    runTime(program.secondsPerRun),
    bytes(program.persistentBytes),
    bytes(program.peakBytes),
  ]);
  console.log(
    table(["graph", "nodes", "runs a step", "a run", "time", "inputs, outputs", "peak activations"], rows),
  );
  for (const program of stage.programs)
    console.log(
      color.dim(
        `${program.name}: ${program.inputs.slice(0, 6).join(", ")}${program.inputs.length > 6 ? ", ..." : ""}`,
      ),
    );
  for (const assumption of stage.assumptions) console.log(`Assumed: ${printable(assumption)}.`);
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
