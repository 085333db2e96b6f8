/** `sputnik train RECIPE --profile`: where the time of the training steps goes, in the model's own words. */
import color from "picocolors";
import { planRecipe } from "../plan/plan.ts";
import { type Profile, type ProfileRow, profileProgram } from "../plan/profile.ts";
import type { Recipe } from "../recipe/schema.ts";
import { Engine, type EngineOptions } from "../runtime/engine.ts";
import { printableJson } from "./printable.ts";
import { percent, runTime, table } from "./screen.ts";

const ROWS = 20;

export async function profile(
  recipe: Recipe,
  { json, engine }: { json?: boolean; engine?: EngineOptions },
): Promise<void> {
  const { config, stages } = planRecipe(recipe);
  const results: { stage: string; program: string; profile: Profile }[] = [];
  for (const stage of stages) {
    if (stage.kind === "evaluate") continue;
    for (const program of stage.programs) {
      const measured = await profileProgram(program, config.vocabSize, { engine: new Engine(engine) });
      results.push({ stage: stage.name, program: program.name, profile: measured });
      if (!json) print(`${stage.name}: ${program.name}`, measured);
    }
  }
  if (json) console.log(printableJson({ recipe: recipe.name, results }));
}

function print(title: string, { seconds, runs, byPath, byOp }: Profile): void {
  console.log(
    `\n${color.bold(title)}, ${(1000 * seconds).toFixed(1)} ms, the fastest of ${runs} runs on random numbers`,
  );
  const layers = mergeLayers(byPath);
  console.log(table(["line of the model", "share", "time", "operators"], layers.slice(0, ROWS).map(row)));
  const rest = layers.slice(ROWS);
  if (rest.length > 0)
    console.log(
      color.dim(
        `and ${rest.length} more lines with ${percent(
          rest.reduce((sum, { share }) => sum + share, 0),
          1,
        )}`,
      ),
    );
  console.log(
    `operators: ${byOp
      .slice(0, 8)
      .map(({ path, share }) => `${path} ${percent(share, 1)}`)
      .join(", ")}`,
  );
}

/** All layers' equal lines as one, "layers.*.attn.q": a deep model's table stays one screen. */
function mergeLayers(rows: readonly ProfileRow[]): ProfileRow[] {
  const merged = new Map<string, ProfileRow>();
  for (const entry of rows) {
    const path = entry.path.replace(/layers\.\d+\./, "layers.*.");
    const known = merged.get(path);
    if (known === undefined) merged.set(path, { ...entry, path });
    else {
      known.share += entry.share;
      known.seconds += entry.seconds;
    }
  }
  return [...merged.values()].sort((a, b) => b.share - a.share);
}

const row = ({ path, share, seconds, ops }: ProfileRow): string[] => [
  path,
  percent(share, 1),
  runTime(seconds),
  ops.length > 40 ? `${ops.slice(0, 37)}...` : ops,
];
