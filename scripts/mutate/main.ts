/**
 * `npm run mutate [-- FOLDER...]`: mutation testing, in about an hour on 2 cores. StrykerJS mutates what needs no session;
 * the committed mutants of test/mutants cover what does. Lists the survivors and exits 1 where a score is below 0.85.
 * `--patches` tries the committed mutants alone, `--stryker` StrykerJS's.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { committed } from "../../test/mutants/index.ts";
import { FOLDERS } from "./folders.ts";
import { patchScore } from "./patches.ts";
import { type Score, scoreOf, together } from "./score.ts";
import { strykerScore } from "./stryker.ts";

const LEAST = 0.85;

const flags = process.argv.slice(2).filter((word) => word.startsWith("--"));
const asked = process.argv.slice(2).filter((word) => !word.startsWith("--"));
const unknown = asked.find((name) => !(name in FOLDERS));
if (unknown !== undefined) {
  console.error(`Unknown folder "${unknown}". One or more of: ${Object.keys(FOLDERS).join(", ")}.`);
  process.exit(2);
}
const scores: Record<string, Score> = {};
for (const name of asked.length > 0 ? asked : Object.keys(FOLDERS)) {
  const parts: Score[] = [];
  if (!flags.includes("--patches")) parts.push(await strykerScore(name, FOLDERS[name]));
  if (!flags.includes("--stryker")) parts.push(await patchScore(committed[name] ?? []));
  scores[name] = together(parts);
}
mkdirSync(".cache", { recursive: true });
writeFileSync(".cache/mutation.json", JSON.stringify(scores, null, 1));
for (const [name, score] of Object.entries(scores)) {
  const { killed, survivors, explained } = score;
  for (const survivor of survivors) console.log(`survived: ${survivor}`);
  console.log(
    `${name}: ${scoreOf(score).toFixed(3)} (${killed} of ${killed + survivors.length} killed, ${explained} explained)`,
  );
}
process.exit(Object.values(scores).every((score) => scoreOf(score) >= LEAST) ? 0 : 1);
