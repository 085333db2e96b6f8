/** Each file of examples/ runs as a stranger would run it, says what its first lines promise, and stays short. */
import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, describe, expect, it } from "vitest";

const folder = mkdtempSync(join(tmpdir(), "examples-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const LINES = 60;

/** The output of an example, run in an empty folder. */
async function run(name: string, ...words: string[]): Promise<string> {
  const command = [
    "--import",
    resolve("node_modules/tsx/dist/loader.mjs"),
    resolve("examples", name),
    ...words,
  ];
  const env = { ...process.env, TSX_TSCONFIG_PATH: resolve("tsconfig.json") };
  const { stdout } = await promisify(execFile)(process.execPath, command, { cwd: folder, env });
  return stdout;
}

const numbers = (text: string, pattern: RegExp): number[] =>
  [...text.matchAll(pattern)].map(([, value]) => Number(value));

/** What each example prints. */
const EXAMPLES: Record<string, (name: string) => Promise<void>> = {
  "reward.ts": async (name) => {
    const lengths = numbers(await run(name, "3"), /: ([\d.]+) tokens a completion/g);
    expect(lengths).toHaveLength(3);
  },
  "loss.ts": async (name) => {
    const losses = numbers(await run(name), /loss ([\d.]+)/g);
    expect(losses).toHaveLength(10);
    expect(losses[9]).toBeLessThan(losses[0] / 2);
  },
  "op.ts": async (name) => {
    const [y, slope] = (await run(name)).split("\n").map((line) => numbers(line, /(-?[\d.]+)/g));
    [-2, 0, 3].forEach((x, i) => {
      expect(y[i]).toBeCloseTo(Math.log1p(Math.exp(x)), 5);
      expect(slope[i]).toBeCloseTo(1 / (1 + Math.exp(-x)), 5);
    });
  },
  "lora.ts": async (name) => {
    const output = await run(name, resolve("recipes/data/two-numbers.jsonl"));
    const [before, after] = numbers(output, /^(?:before|after): (\d+) %/gm);
    expect(after).toBeGreaterThan(before + 20);
    expect(output).toMatch(/<answer>/);
  },
  "compare.ts": async (name) => {
    const output = await run(name);
    expect(output).toMatch(/difference -?[\d.]+ points \[-?[\d.]+, -?[\d.]+\]: (real|may be chance)/);
  },
  "step.ts": async (name) => {
    const output = await run(name, join(folder, "step.onnx"));
    expect(output).toContain("weights 0.50, -1.00, 2.00");
  },
  "null-device.ts": async (name) => {
    const output = await run(name);
    expect(output).toContain("parameters: 671.0 billion");
    expect(output).toMatch(/training: 2[45]\d GFLOP a token/);
  },
};

describe("examples/", () => {
  const files = readdirSync("examples").filter((name) => name.endsWith(".ts"));

  it.each(files)(`%s has at most ${LINES} lines and imports the package alone`, (name) => {
    const text = readFileSync(join("examples", name), "utf8");
    expect(text.trimEnd().split("\n").length).toBeLessThanOrEqual(LINES);
    for (const [, source] of text.matchAll(/from "([^"]+)"/g))
      expect(source).toMatch(/^(sputnik-r1(\/\w+)?|node:\w+|onnxruntime-node)$/);
  });

  it.each(Object.entries(EXAMPLES))("%s runs", (name, check) => check(name), 180_000);
});
