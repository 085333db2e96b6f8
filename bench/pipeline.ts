/** `npm run bench -- pipeline [--part NAME] [--seeds 1,2,3]`: the R1 recipe and its parts, one file of bench/pipeline each. */
import { benchEffort } from "./pipeline/effort.ts";
import { benchSpecialists } from "./pipeline/specialists.ts";
import { benchTinyR1 } from "./pipeline/tiny-r1.ts";
import type { Row } from "./rows.ts";

/** Each gets the seeds that it runs. */
const parts: Record<string, (seeds: readonly number[]) => Promise<Row[]>> = {
  "tiny-r1": benchTinyR1,
  specialists: benchSpecialists,
  effort: benchEffort,
};

export async function benchPipeline(words: readonly string[]): Promise<Row[]> {
  const option = (name: string, otherwise: string): string =>
    words.includes(name) ? words[words.indexOf(name) + 1] : otherwise;
  const seeds = option("--seeds", "1,2,3").split(",").map(Number);
  const chosen = option("--part", Object.keys(parts).join(",")).split(",");
  const rows: Row[] = [];
  for (const name of chosen) rows.push(...(await parts[name](seeds)));
  return rows;
}
