/**
 * The speedrun (rules in bench/SPEEDRUN.md): wall time of a recipe from random weights to 0.80 on Countdown with 3 numbers.
 * `npm run speedrun [-- RECIPE] [--seeds 1,2,3] [--record]`; RECIPE is a name below bench/speedrun, `--record` writes RECIPE.json.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { EvaluationRecord } from "../src/events.ts";
import type { BillFile } from "../src/ledger/bill.ts";
import { Engine } from "../src/runtime/engine.ts";
import { measureMatmulRate } from "../src/runtime/measure.ts";
import { onnxruntimeVersion } from "../src/runtime/onnxruntime-folder.ts";
import { circumstances, median, type Row } from "./rows.ts";

/** What a run has to reach on held-out problems. */
const TARGET = { problems: 1000, lowerEnd: 0.8, trueEquations: 0.95 };
/** The MatMul rate that times are normalised to, in FLOP/s. */
const RATE = 150e9;

interface Attempt {
  seed: number;
  /** From the start of the process to its end. */
  seconds: number;
  /** Seconds times this machine's MatMul rate over `RATE`. */
  normalised: number;
  /** FLOP/s of a MatMul on 2 threads, the mean of before and after. */
  rate: number;
  passAt1: number;
  interval: [number, number];
  trueEquations: number | null;
  reached: boolean;
  stages: { stage: string; seconds: number; flops: number }[];
}

export async function benchSpeedrun(words: readonly string[]): Promise<Row[]> {
  const name = words.find((word, i) => !word.startsWith("--") && words[i - 1] !== "--seeds") ?? latest();
  const seeds = optionOf(words, "--seeds", "1,2,3").split(",").map(Number);
  const attempts: Attempt[] = [];
  for (const seed of seeds) attempts.push(await attempt(name, seed));
  if (words.includes("--record")) {
    const record = { name, ...circumstances(onnxruntimeVersion()), target: TARGET, attempts };
    writeFileSync(`bench/speedrun/${name}.json`, `${JSON.stringify(record, null, 2)}\n`);
  }
  const minutes = (of: (one: Attempt) => number): Pick<Row, "value" | "spread"> => {
    const values = attempts.map((one) => of(one) / 60);
    return { value: median(values), spread: [Math.min(...values), Math.max(...values)] };
  };
  const shown = attempts.map(
    ({ seed, passAt1, interval, trueEquations }) =>
      `seed ${seed}: ${passAt1.toFixed(3)} from ${interval[0].toFixed(3)}, true ${trueEquations?.toFixed(3)}`,
  );
  return [
    { name: "speedrun/minutes", ...minutes(({ seconds }) => seconds), unit: "min", atMost: 7, note: name },
    {
      name: "speedrun/normalised-minutes",
      ...minutes(({ normalised }) => normalised),
      unit: "min at 150 GFLOP/s",
    },
    {
      name: "speedrun/reached",
      value: attempts.filter(({ reached }) => reached).length,
      unit: `of ${attempts.length} runs`,
      atLeast: attempts.length,
      note: shown.join("; "),
    },
  ];
}

const optionOf = (words: readonly string[], option: string, otherwise: string): string =>
  words.includes(option) ? words[words.indexOf(option) + 1] : otherwise;

/** The recipe of the newest record, by the table in SPEEDRUN.md. */
function latest(): string {
  const rows = readFileSync("bench/SPEEDRUN.md", "utf8").matchAll(/^\| \d+ +\| \[([a-z0-9-]+)\]/gm);
  const newest = [...rows].at(-1);
  if (newest === undefined)
    throw new Error("There is no record yet: name a recipe of bench/speedrun, such as default.");
  return newest[1];
}

async function attempt(name: string, seed: number): Promise<Attempt> {
  const cwd = mkdtempSync(join(tmpdir(), "sputnik-speedrun-"));
  const recipe = join(cwd, "speedrun.yaml");
  const text = readFileSync(`bench/speedrun/${name}.yaml`, "utf8");
  writeFileSync(recipe, text.replace(/^seed: \d+$/m, `seed: ${seed}`));
  const engine = new Engine({ threads: 2 });
  const before = await measureMatmulRate(engine);
  const start = performance.now();
  const words = [resolve("dist/cli/main.js"), "train", recipe, "--fresh", "--quiet", "--threads", "2"];
  const { status } = spawnSync("node", words, { cwd, stdio: "inherit", env: { ...process.env, CI: "true" } });
  const seconds = (performance.now() - start) / 1000;
  if (status !== 0) throw new Error(`the run of ${name} ended with ${status}`);
  const rate = (before + (await measureMatmulRate(engine))) / 2;
  const run = join(cwd, "runs", /^name: (\S+)$/m.exec(text)![1]);
  const final = readFileSync(join(run, "evaluations.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as EvaluationRecord)
    .at(-1)!;
  const { lines } = JSON.parse(readFileSync(join(run, "bill.json"), "utf8")) as BillFile;
  return {
    ...{ seed, seconds, normalised: (seconds * rate) / RATE, rate },
    ...{ passAt1: final.passAt1, interval: final.interval, trueEquations: final.thoughtValidity },
    reached:
      final.problems >= TARGET.problems &&
      final.interval[0] >= TARGET.lowerEnd &&
      (final.thoughtValidity ?? 0) >= TARGET.trueEquations,
    stages: lines.map(({ stage, seconds, flops }) => ({ stage, seconds, flops })),
  };
}
