/**
 * The order of the house: lines of source, imports, the loop of unit tests, and whether a redesign kept speed and numbers.
 * `npm run bench -- house [--before COMMIT] [--quick]`: the code of a commit against the working tree, alternating in one run;
 * `--quick` takes two rounds, and leaves out the unit tests and the default recipe; `--no-training` leaves out the latter alone.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { EvaluationRecord } from "../src/events.ts";
import { evaluations } from "./first-light.ts";
import { Peer } from "./peer.ts";
import { median, type Row } from "./rows.ts";

/** The commit before the redesign of issue 16. */
const BEFORE = "edeca32";
const ROUNDS = 9;
const CHILD = join("bench", "house", "child.ts");

export async function benchHouse(words: readonly string[]): Promise<Row[]> {
  const quick = words.includes("--quick");
  const before = words.includes("--before") ? words[words.indexOf("--before") + 1] : BEFORE;
  const rows = [...lineRows(), importRow()];
  const folder = checkOut(before);
  try {
    rows.push(...(await speedRows(folder, quick ? 2 : ROUNDS)));
    if (!quick) rows.push(unitRow());
    if (!quick && !words.includes("--no-training")) rows.push(firstLightRow(folder));
  } finally {
    execFileSync("git", ["worktree", "remove", "--force", folder]);
  }
  return rows;
}

/** What a script prints as JSON; it exits with 1 where it found faults. */
function json<T>(script: string): T {
  const words = ["--import", "tsx", script, "--json"];
  return JSON.parse(spawnSync(process.execPath, words, { encoding: "utf8" }).stdout) as T;
}

function lineRows(): Row[] {
  const { rows } = json<{ rows: { name: string; lines: number }[] }>("scripts/size.ts");
  const linesOf = (wanted: string) => rows.find(({ name }) => name === wanted)!.lines;
  return [
    { name: "house/core-lines", value: linesOf("core"), unit: "lines", atMost: 9_000 },
    {
      name: "house/all-lines",
      value: linesOf("all"),
      unit: "lines",
      atMost: 24_000,
      note: "src without web",
    },
  ];
}

function importRow(): Row {
  const { upward, circular } = json<{ upward: string[]; circular: string[] }>("scripts/imports.ts");
  return {
    name: "house/cycles",
    value: upward.length + circular.length,
    unit: "imports",
    atMost: 0,
    note: `${upward.length} point upward, ${circular.length} are part of a cycle`,
  };
}

/** A worktree of the commit, with the packages that it names. */
function checkOut(commit: string): string {
  const folder = join(mkdtempSync(join(tmpdir(), "sputnik-before-")), "sputnik");
  execFileSync("git", ["worktree", "add", "--quiet", "--detach", folder, commit]);
  execFileSync("npm", ["ci", "--silent"], { cwd: folder, stdio: ["ignore", "ignore", "inherit"] });
  return folder;
}

/** The child of a commit is its own: it calls the code of that commit by the names of that commit. */
function childOf(folder: string): string {
  if (existsSync(join(folder, CHILD))) return CHILD;
  const child = join("bench", "house", "child.mjs");
  mkdirSync(join(folder, "bench", "house"));
  copyFileSync("bench/house/child-edeca32.mjs", join(folder, child));
  return child;
}

async function speedRows(folder: string, rounds: number): Promise<Row[]> {
  const before = await Peer.inFolder(folder, childOf(folder));
  const after = await Peer.inFolder(process.cwd(), CHILD);
  if (before === null || after === null) throw new Error("a side of the comparison did not start");
  const rows: Row[] = [];
  for (const [name, kind] of [
    ["house/step-before-over-after", "train"],
    ["house/decode-before-over-after", "decode"],
  ] as const) {
    const measure = async (side: Peer) => {
      const { ms, result } = await side.ask(kind);
      return { ms: median(ms as number[]), result };
    };
    // The first round warms both sides up.
    await measure(before);
    await measure(after);
    const pairs: { before: number; after: number; same: boolean }[] = [];
    for (let round = 0; round < rounds; round++) {
      // The sides take turns in going first.
      const first = await measure(round % 2 === 0 ? before : after);
      const second = await measure(round % 2 === 0 ? after : before);
      const [old, now] = round % 2 === 0 ? [first, second] : [second, first];
      pairs.push({ before: old.ms, after: now.ms, same: old.result === now.result });
    }
    const ratios = pairs.map((pair) => pair.before / pair.after);
    const milliseconds = (side: "before" | "after") => median(pairs.map((pair) => pair[side])).toFixed(0);
    const numbers = pairs.every(({ same }) => same) ? "the same numbers" : "other numbers";
    rows.push({
      name,
      value: median(ratios),
      unit: "x",
      atLeast: 1,
      spread: [Math.min(...ratios), Math.max(...ratios)],
      note: `${milliseconds("before")} ms before, ${milliseconds("after")} ms after; ${numbers}`,
    });
  }
  await before.quit();
  await after.quit();
  return rows;
}

function unitRow(): Row {
  const start = performance.now();
  const { status } = spawnSync("npm", ["run", "--silent", "test:unit"], { stdio: "ignore" });
  return {
    name: "house/unit-seconds",
    value: (performance.now() - start) / 1000,
    unit: "s",
    atMost: 60,
    note: status === 0 ? "npm run test:unit, all pass" : "npm run test:unit, with failures",
  };
}

/** The default recipe's evaluations by the code in `root`, run in a folder of its own. */
function trainDefault(root: string): { base: EvaluationRecord; final: EvaluationRecord } {
  const cwd = mkdtempSync(join(tmpdir(), "sputnik-default-"));
  execFileSync("npx", ["tsc", "-p", "tsconfig.build.json"], { cwd: root, stdio: "inherit" });
  const words = ["dist/cli/main.js", "recipes/tiny-r1-zero.yaml"].map((path) => join(root, path));
  execFileSync(process.execPath, [words[0], "train", words[1], "--quiet"], { cwd, stdio: "inherit" });
  return evaluations(join(cwd, "runs", "tiny-r1-zero"));
}

function firstLightRow(folder: string): Row {
  const [before, after] = [trainDefault(folder), trainDefault(process.cwd())];
  const figures = ({ base, final }: typeof after) =>
    [base.passAt1, final.passAt1, final.thoughtValidity, final.meanTokens].join(", ");
  return {
    name: "house/first-light-final",
    value: after.final.passAt1,
    unit: "pass@1 of the default recipe, seed 1",
    atLeast: 0.8,
    note:
      figures(before) === figures(after)
        ? "the same numbers as before"
        : `base and final pass@1, share of true equations, tokens: ${figures(before)} before, ${figures(after)} after`,
  };
}
