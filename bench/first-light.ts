/**
 * The default recipe from a fresh clone to the final report, three seeds: minutes and memory of `npm ci && npm start` as a
 * stranger runs it, pass@1 of the base, of the end, and the truth of the thoughts; then the 4-number recipe.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { EvaluationRecord } from "../src/events.ts";
import { median, type Row } from "./rows.ts";
import { type Timed, timed } from "./timed.ts";

const SEEDS = [1, 2, 3];

/** The first and the last evaluation of a run's folder. */
export function evaluations(folder: string): { base: EvaluationRecord; final: EvaluationRecord } {
  const lines = readFileSync(join(folder, "evaluations.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as EvaluationRecord);
  const find = (label: string) => lines.find((line) => line.label === label) as EvaluationRecord;
  return { base: find("base"), final: find("final") };
}

/** The recipe with another seed, in the clone. */
function withSeed(clone: string, recipe: string, seed: number): string {
  const text = readFileSync(join(clone, "recipes", `${recipe}.yaml`), "utf8").replace(
    /^seed: \d+$/m,
    `seed: ${seed}`,
  );
  const file = join(clone, `${recipe}-seed${seed}.yaml`);
  writeFileSync(file, text);
  return file;
}

/** Pools the evaluations of several seeds: 3 x 1,000 problems, with the 95 % interval of the pooled share. */
function pooled(records: readonly EvaluationRecord[]): { value: number; spread: [number, number] } {
  const value = records.reduce((total, r) => total + r.passAt1, 0) / records.length;
  const count = records.reduce((total, r) => total + r.problems, 0);
  const half = 1.96 * Math.sqrt((value * (1 - value)) / count);
  return { value, spread: [value - half, value + half] };
}

/** `--three-numbers` leaves out the 4-number recipe. */
export async function benchFirstLight(words: readonly string[]): Promise<Row[]> {
  const clone = join(mkdtempSync(join(tmpdir(), "sputnik-")), "sputnik");
  execFileSync("git", ["clone", "--quiet", ".", clone], { stdio: "inherit" });
  const install = await timed("npm", ["ci"], clone);
  const start = await timed("npm", ["start"], clone);
  const runs = [evaluations(join(clone, "runs", "tiny-r1-zero"))];
  const sputnik = join(clone, "dist", "cli", "main.js");
  for (const seed of SEEDS.slice(1)) {
    const name = `tiny-r1-zero-${seed}`;
    await timed(
      "node",
      [sputnik, "train", withSeed(clone, "tiny-r1-zero", seed), "--name", name, "--quiet"],
      clone,
    );
    runs.push(evaluations(join(clone, "runs", name)));
  }
  const rows = rowsOfDefault(runs, install, start);
  if (words.includes("--three-numbers")) return rows;
  const four = await timed("node", [sputnik, "train", "recipes/tiny-r1-zero-4.yaml", "--quiet"], clone);
  const hard = evaluations(join(clone, "runs", "tiny-r1-zero-4"));
  return [
    ...rows,
    {
      name: "first-light/gain-4",
      value: hard.final.passAt1 - hard.base.passAt1,
      unit: "pass@1, 4 numbers",
      atLeast: 0.2,
      note: `${hard.base.passAt1.toFixed(3)} to ${hard.final.passAt1.toFixed(3)} in ${(four.seconds / 60).toFixed(1)} min`,
    },
  ];
}

function rowsOfDefault(runs: ReturnType<typeof evaluations>[], install: Timed, start: Timed): Row[] {
  const base = pooled(runs.map((r) => r.base));
  const final = pooled(runs.map((r) => r.final));
  const gains = runs.map((r) => r.final.passAt1 - r.base.passAt1);
  const validity = runs.map((r) => r.final.thoughtValidity as number);
  const extent = (values: readonly number[]): [number, number] => [Math.min(...values), Math.max(...values)];
  const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
  return [
    {
      name: "first-light/minutes",
      value: (install.seconds + start.seconds) / 60,
      unit: "min",
      atMost: 15,
      note: "npm ci and npm start in a fresh clone",
    },
    {
      name: "first-light/memory-gb",
      value: Math.max(install.gigabytes, start.gigabytes),
      unit: "GiB resident",
      atMost: 4,
    },
    {
      name: "first-light/base-pass1",
      ...base,
      unit: `pass@1, ${SEEDS.length} seeds`,
      atLeast: 0.05,
      atMost: 0.4,
    },
    { name: "first-light/rl-gain", value: mean(gains), spread: extent(gains), unit: "pass@1", atLeast: 0.45 },
    {
      name: "first-light/final-pass1",
      ...final,
      unit: `pass@1, ${SEEDS.length} seeds`,
      atLeast: 0.8,
      note: `by seed ${runs.map((r) => r.final.passAt1.toFixed(3)).join(", ")}`,
    },
    {
      name: "first-light/thought-validity",
      value: median(validity),
      spread: extent(validity),
      unit: "share of true equations",
      atLeast: 0.95,
    },
  ];
}
