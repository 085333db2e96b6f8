/**
 * `npm run mutate [-- FOLDER...]`: mutation testing, in about an hour on 2 cores. StrykerJS mutates what needs no session;
 * the committed mutants of test/mutants cover what does. Lists the survivors and exits 1 where a score is below 0.85.
 * `--patches` tries the committed mutants alone, `--stryker` StrykerJS's.
 */
import { FOLDERS } from "./folders.ts";
import { mutationScores } from "./run.ts";
import { LEAST, scoreOf } from "./score.ts";

const words = process.argv.slice(2);
const flags = words.filter((word) => word.startsWith("--"));
const names = words.filter((word) => !word.startsWith("--"));
const unknown = [
  ...names.filter((name) => !(name in FOLDERS)),
  ...flags.filter((flag) => !["--patches", "--stryker"].includes(flag)),
];
if (unknown.length > 0) {
  console.error(
    `Unknown: ${unknown.join(", ")}. Give one or more of ${Object.keys(FOLDERS).join(", ")}, and --patches or --stryker.`,
  );
  process.exit(2);
}
let low = false;
for (const name of names.length > 0 ? names : Object.keys(FOLDERS)) {
  const { [name]: score } = await mutationScores([name], {
    stryker: !flags.includes("--patches"),
    patches: !flags.includes("--stryker"),
  });
  const { killed, survivors, explained } = score;
  for (const survivor of survivors) console.log(`survived: ${survivor}`);
  console.log(
    `${name}: ${scoreOf(score).toFixed(3)} (${killed} of ${killed + survivors.length} killed, ${explained} explained)`,
  );
  // Without any mutant there is no score, and none below the limit.
  low ||= scoreOf(score) < LEAST;
}
process.exit(low ? 1 : 0);
