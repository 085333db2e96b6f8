/**
 * Imports in src/ point to lower layers, and never in a circle: `npm run imports`, a part of `npm run check`.
 * Type-only imports count. We use no dependency-cruiser: the versions that are maintained need Node 22.
 */
import { readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import ts from "typescript";

/** Folders and files of src/ from the lowest to the highest. Neighbours in a row may not import each other. */
const LAYERS = [
  ["lib"],
  ["graph"],
  ["runtime"],
  ["ledger", "tokenizer", "models"],
  ["checkpoint"],
  ["sample", "tasks"],
  ["data"],
  ["events.ts"],
  ["train", "eval"],
  ["recipe"],
  ["run"],
  ["plan", "server"],
  ["library"],
  ["index.ts"],
  ["web", "cli"],
];

/** Faults that are tolerated for now. Lines may only be deleted here, and a line without its fault must be. */
const KNOWN: readonly string[] = [];

const files = readdirSync("src", { recursive: true, encoding: "utf8" })
  .map((path) => posix.join("src", path.replaceAll("\\", "/")))
  .filter((path) => /\.tsx?$/.test(path));

/** The files that each file imports, by relative path. */
const imports = new Map(
  files.map((file) => {
    const { importedFiles } = ts.preProcessFile(readFileSync(file, "utf8"));
    const names = importedFiles.map(({ fileName }) => fileName).filter((name) => name.startsWith("."));
    return [file, [...new Set(names.map((name) => posix.join(posix.dirname(file), name)))]];
  }),
);

const rowOf = (file: string): number => LAYERS.findIndex((row) => row.includes(file.split("/")[1]));

/** Whether `to` is in a lower row than `from`, or in the same folder. */
const pointsDown = (from: string, to: string): boolean =>
  to.startsWith("src/") &&
  (rowOf(to) < rowOf(from) || (from.split("/")[1] === to.split("/")[1] && from.split("/").length > 2));

function reaches(from: string, goal: string, seen = new Set<string>()): boolean {
  if (from === goal) return true;
  if (seen.has(from)) return false;
  seen.add(from);
  return (imports.get(from) ?? []).some((next) => reaches(next, goal, seen));
}

const edges = [...imports].flatMap(([from, targets]) => targets.map((to) => ({ from, to })));
const named = (faulty: typeof edges): string[] => faulty.map(({ from, to }) => `${from} -> ${to}`).sort();
const upward = named(edges.filter(({ from, to }) => !pointsDown(from, to)));
const circular = named(edges.filter(({ from, to }) => reaches(to, from)));

const faults = [
  ...files.filter((file) => rowOf(file) < 0).map((file) => `${file} is in no layer of scripts/imports.ts`),
  ...upward.filter((edge) => !KNOWN.includes(edge)).map((edge) => `points upward: ${edge}`),
  ...circular.filter((edge) => !KNOWN.includes(edge)).map((edge) => `is part of a circle: ${edge}`),
  ...KNOWN.filter((edge) => !upward.includes(edge) && !circular.includes(edge)).map(
    (edge) => `is mended, so delete it from KNOWN in scripts/imports.ts: ${edge}`,
  ),
];
if (process.argv.includes("--json")) console.log(JSON.stringify({ upward, circular }));
else {
  for (const fault of faults) console.error(fault);
  console.log(
    `imports: ${edges.length}, of these upward ${upward.length}, in circles ${circular.length}, known ${KNOWN.length}`,
  );
}
process.exit(faults.length === 0 ? 0 : 1);
