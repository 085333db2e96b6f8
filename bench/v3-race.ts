/**
 * V3's design against the dense one in equal time: both train at once, each on a core of its own and on one thread, on
 * the documents of the house's recipes and with their optimizer, the same for both.
 */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { median, type Row } from "./rows.ts";
import type { Entry, Finish } from "./v3-racer.ts";

const SEEDS = [1, 2, 3];
const SECONDS = 180;

const SIDES = {
  dense: { recipe: "recipes/tiny-r1-zero.yaml" },
  // What helped V3: more of a head rotated (the loss waits for heads that copy), and chosen experts at full weight.
  v3: {
    recipe: "recipes/tiny-v3-zero.yaml",
    model: { nopeDim: 16, ropeDim: 32, kvLoraRank: 64, routedScale: 2 },
  },
} satisfies Record<string, Omit<Entry, "seed" | "seconds">>;

const run = promisify(execFile);
const racer = fileURLToPath(new URL("v3-racer.ts", import.meta.url));

/** One side, held to a core where the system can (Linux). */
async function race(entry: Entry, core: number): Promise<Finish> {
  const command = [process.execPath, "--import", "tsx", racer, JSON.stringify(entry)];
  if (process.platform === "linux") command.unshift("taskset", "-c", String(core));
  const { stdout } = await run(command[0], command.slice(1));
  return JSON.parse(stdout) as Finish;
}

/**
 * Validation loss of the dense model minus that of V3's, nats a token, the mean over seeds. The sides change cores with
 * each seed.
 */
export async function denseMinusV3(): Promise<Row> {
  const races: { dense: Finish; v3: Finish }[] = [];
  for (const [i, seed] of SEEDS.entries()) {
    const shared = { seed, seconds: SECONDS };
    const [dense, v3] = await Promise.all([
      race({ ...SIDES.dense, ...shared }, i % 2),
      race({ ...SIDES.v3, ...shared }, 1 - (i % 2)),
    ]);
    races.push({ dense, v3 });
  }
  const gains = races.map(({ dense, v3 }) => dense.loss - v3.loss);
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  const side = (name: "dense" | "v3") => {
    const finishes = races.map((result) => result[name]);
    return `${mean(finishes.map(({ loss }) => loss)).toFixed(3)} after ${median(finishes.map(({ steps }) => steps))} steps`;
  };
  return {
    name: "v3/loss-dense-minus-v3",
    value: mean(gains),
    unit: "nats a token",
    atLeast: 0,
    spread: [Math.min(...gains), Math.max(...gains)],
    note: `dense ${side("dense")}, V3 ${side("v3")}, ${SECONDS} s a seed on one core each`,
  };
}
