/** `sputnik graph RECIPE`: the typed graph of each program of a stage, and which form its ops take on this device. */
import color from "picocolors";
import { printGraph } from "../graph/print.ts";
import { usageError } from "../lib/errors.ts";
import { planRecipe } from "../plan/plan.ts";
import { parseRecipe, readRecipe } from "../recipe/load.ts";
import { resolvePaths } from "../recipe/paths.ts";
import { Engine } from "../runtime/engine.ts";
import { printable, printableJson } from "./printable.ts";
import { table } from "./screen.ts";

export function graph(file: string, { stage, json }: { stage?: string; json?: boolean }): void {
  const { recipe } = resolvePaths(parseRecipe(readRecipe(file), file), file);
  const { stages } = planRecipe(recipe);
  const chosen = stage === undefined ? stages[0] : stages.find(({ name }) => name === stage);
  if (chosen === undefined)
    throw usageError(
      `${file} has no stage "${stage}".`,
      `Choose one of ${stages.map(({ name }) => name).join(", ")}.`,
    );
  const engine = new Engine();
  const programs = chosen.programs.map(({ name, graph, sizes }) => {
    const { forms } = engine.lower(graph, name);
    return { name, sizes, graph: printGraph(graph), forms };
  });
  if (json) {
    console.log(printableJson({ stage: chosen.name, device: engine.device, programs }));
    return;
  }
  for (const { name, graph, forms } of programs) {
    console.log(`${color.bold(`${printable(chosen.name)}, ${name}`)}\n${printable(graph)}\n`);
    const rows = Object.entries(forms).flatMap(([op, { fused, composed }]) => [
      ...(fused === 0 ? [] : [[op, String(fused), "fused", ""]]),
      ...Object.entries(composed).map(([reason, count]) => [op, String(count), "composed", reason]),
    ]);
    console.log(`${table(["op", "nodes", `form on ${engine.device}`, "why"], rows)}\n`);
  }
}
