/**
 * `npm run mutate [-- FOLDER...]`: mutation testing, in about an hour on 2 cores. StrykerJS mutates what needs no session;
 * the committed mutants of test/mutants cover what does. Lists the survivors and exits 1 where a score is below 0.85.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { mutants } from "../../test/mutants/index.ts";
import { FOLDERS } from "./folders.ts";
import { patchScore } from "./patches.ts";
import { type Score, scoreOf, together } from "./score.ts";
import { strykerScore } from "./stryker.ts";

const LEAST = 0.85;

const asked = process.argv.slice(2);
const unknown = asked.find((name) => !(name in FOLDERS));
if (unknown !== undefined) {
  console.error(`Unknown folder "${unknown}". One or more of: ${Object.keys(FOLDERS).join(", ")}.`);
  process.exit(2);
}
const scores: Record<string, Score> = {};
for (const name of asked.length > 0 ? asked : Object.keys(FOLDERS)) {
  const patches = mutants.filter(({ file }) => file.startsWith(`src/${name}/`));
  scores[name] = together([await strykerScore(name, FOLDERS[name]), await patchScore(patches)]);
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
