/** Lines of our source by folder, against the limits that we give ourselves: `npm run size`. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Physical lines, comments included. A folder that needs more is a reason to delete first. */
const LIMITS: Record<string, number> = {
  runtime: 1200,
  graph: 3530,
  models: 2440,
  "events.ts": 130,
  sample: 2390,
  train: 3170,
  checkpoint: 6150,
  tokenizer: 4790,
  tasks: 2990,
  eval: 820,
  ledger: 350,
  recipe: 2500,
  run: 2850,
  plan: 560,
  server: 1370,
  web: 2870,
  cli: 3060,
};

/** What an afternoon's reading covers. */
const CORE = ["runtime", "graph", "models", "sample", "train"];
const CORE_LIMIT = 12650;
const FILE_LIMIT = 400;

const files = readdirSync("src", { recursive: true, encoding: "utf8" })
  .filter((path) => /\.(ts|tsx|css)$/.test(path))
  .map((path) => ({
    path: join("src", path),
    folder: path.split(/[\\/]/)[0],
    lines: readFileSync(join("src", path), "utf8").trimEnd().split("\n").length,
  }));

const faults: string[] = [];
const sum = (folders: readonly string[]): number =>
  files.filter(({ folder }) => folders.includes(folder)).reduce((total, { lines }) => total + lines, 0);

function row(name: string, lines: number, limit: number, count?: number): void {
  const over = lines > limit;
  if (over) faults.push(`${name} has ${lines} lines, ${lines - limit} above its limit of ${limit}`);
  const amount = count === undefined ? "" : `${String(count).padStart(4)} files`;
  console.log(
    `${name.padEnd(12)}${String(lines).padStart(7)} of ${String(limit).padStart(6)}${amount}${over ? "  TOO LONG" : ""}`,
  );
}

for (const folder of new Set(files.map((file) => file.folder))) {
  if (!(folder in LIMITS)) faults.push(`src/${folder} has no limit in scripts/size.ts`);
}
for (const [folder, limit] of Object.entries(LIMITS)) {
  row(folder, sum([folder]), limit, files.filter((file) => file.folder === folder).length);
}
row("core", sum(CORE), CORE_LIMIT);
console.log(`all${String(sum(Object.keys(LIMITS))).padStart(16)}`);
for (const { path, lines } of files) {
  if (lines > FILE_LIMIT)
    faults.push(`${path} has ${lines} lines, above ${FILE_LIMIT}: it holds more than one idea`);
}
for (const fault of faults) console.error(fault);
process.exit(faults.length === 0 ? 0 : 1);
