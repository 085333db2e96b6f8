/** Mutation testing of the named folders. */
import { committed } from "../../test/mutants/index.ts";
import { FOLDERS } from "./folders.ts";
import { patchScore } from "./patches.ts";
import { type Score, together } from "./score.ts";
import { strykerScore } from "./stryker.ts";

/** Which kinds of mutants are tried. */
export interface Kinds {
  stryker: boolean;
  patches: boolean;
}

export async function mutationScores(
  names: readonly string[] = Object.keys(FOLDERS),
  { stryker, patches }: Kinds = { stryker: true, patches: true },
): Promise<Record<string, Score>> {
  const scores: Record<string, Score> = {};
  for (const name of names) {
    const parts: Score[] = [];
    if (stryker) parts.push(await strykerScore(name, FOLDERS[name]));
    if (patches) parts.push(await patchScore(committed[name] ?? []));
    scores[name] = together(parts);
  }
  return scores;
}
