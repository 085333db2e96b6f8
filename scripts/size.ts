/**
 * Lines of our source by folder, against the limits of scripts/size-limits.json: `npm run size [-- --json]`. A limit only falls:
 * where one is above the lowest that it ever had in git's history, CHANGELOG.md has a line that says why.
 * `npm run size -- --lower` lowers every limit to what is there, rounded up to the next ten, and adds those of new folders.
 */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

type Limits = Record<string, number>;

const LIMITS_FILE = "scripts/size-limits.json";
/** What an afternoon's reading covers. */
const CORE = ["runtime", "graph", "models", "sample", "train"];
const FILE_LIMIT = 400;

/** Physical lines, comments included. */
const files = readdirSync("src", { recursive: true, encoding: "utf8" })
  .filter((path) => /\.(ts|tsx|css)$/.test(path))
  .map((path) => ({
    path: join("src", path),
    folder: path.split(/[\\/]/)[0],
    lines: readFileSync(join("src", path), "utf8").trimEnd().split("\n").length,
  }));

const limits = JSON.parse(readFileSync(LIMITS_FILE, "utf8")) as Limits;
// In the order of the limits, from the lowest layer to the highest.
const folders = [...new Set([...Object.keys(limits), ...files.map(({ folder }) => folder)])].filter((name) =>
  files.some(({ folder }) => folder === name),
);
const within: Record<string, string[]> = {
  ...Object.fromEntries(folders.map((folder) => [folder, [folder]])),
  core: CORE,
  all: folders.filter((folder) => folder !== "web"),
};
const rows = Object.entries(within).map(([name, parts]) => {
  const counted = files.filter(({ folder }) => parts.includes(folder));
  return { name, lines: counted.reduce((total, { lines }) => total + lines, 0), files: counted.length };
});

/** The lowest limit of each row in the history of the file; empty outside a git clone. */
function lowestLimits(): Limits {
  const lowest: Limits = {};
  const git = (...words: string[]) =>
    execFileSync("git", words, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  try {
    const commits = git("log", "--format=%H", "--diff-filter=AM", "--", LIMITS_FILE).trim().split("\n");
    for (const commit of commits.filter(Boolean))
      for (const [name, limit] of Object.entries(
        JSON.parse(git("show", `${commit}:${LIMITS_FILE}`)) as Limits,
      ))
        lowest[name] = Math.min(limit, lowest[name] ?? limit);
  } catch {
    return {};
  }
  return lowest;
}

if (process.argv.includes("--lower")) {
  for (const { name, lines } of rows)
    limits[name] = Math.min(limits[name] ?? Number.POSITIVE_INFINITY, 10 * Math.ceil(lines / 10));
  writeFileSync(LIMITS_FILE, `${JSON.stringify(limits, null, 2)}\n`);
}
const lowest = lowestLimits();
const changes = readFileSync("CHANGELOG.md", "utf8").replace(/(\d),(\d)/g, "$1$2");
/** A line such as "- Size: graph 3,530 to 3,600, because ...". */
const isExplained = (name: string): boolean =>
  new RegExp(`^- Size: ${name} \\d+ to ${limits[name]}\\b.{20}`, "m").test(changes);

const faults: string[] = [];
for (const { name, lines } of rows) {
  if (!(name in limits)) faults.push(`src/${name} has no limit in ${LIMITS_FILE}`);
  else if (lines > limits[name])
    faults.push(`${name} has ${lines} lines, ${lines - limits[name]} above its limit of ${limits[name]}`);
}
for (const [name, limit] of Object.entries(limits)) {
  if (!(name in within)) faults.push(`${LIMITS_FILE} has a limit for ${name}, which is not there`);
  if (limit > (lowest[name] ?? limit) && !isExplained(name))
    faults.push(
      `the limit of ${name} rose from ${lowest[name]} to ${limit}: CHANGELOG.md needs a line "- Size: ${name} ${lowest[name]} to ${limit}, because ..."`,
    );
}
for (const { path, lines } of files)
  if (lines > FILE_LIMIT)
    faults.push(`${path} has ${lines} lines, above ${FILE_LIMIT}: it holds more than one idea`);

if (process.argv.includes("--json")) console.log(JSON.stringify({ rows, limits, faults }));
else {
  for (const { name, lines, files } of rows) {
    const amount = `${String(lines).padStart(7)} of ${String(limits[name] ?? "?").padStart(6)}`;
    const over = lines > limits[name] ? "  TOO LONG" : "";
    console.log(`${name.padEnd(12)}${amount}${String(files).padStart(5)} files${over}`);
  }
  for (const fault of faults) console.error(fault);
}
process.exit(faults.length === 0 ? 0 : 1);
