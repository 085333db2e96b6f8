/** Mutation testing by StrykerJS with vitest, a folder at a time. */
// In worker threads, where StrykerJS runs tests, it would be too late, and every file with a session would fail unseen.
import "../../src/runtime/no-telemetry.ts";
import { Stryker } from "@stryker-mutator/core";
import type { Part } from "./folders.ts";
import { type Score, together } from "./score.ts";

/** Mutants run side by side. */
const WORKERS = 2;

/** The parts of a folder, one after another. */
export async function strykerScore(name: string, parts: readonly Part[]): Promise<Score> {
  const scores: Score[] = [];
  for (const part of parts) scores.push(await partScore(name, part));
  return together(scores);
}

async function partScore(name: string, { mutate, tests }: Part): Promise<Score> {
  process.env.SPUTNIK_MUTATE_TESTS = JSON.stringify(tests);
  const results = await new Stryker({
    testRunner: "vitest",
    plugins: ["@stryker-mutator/vitest-runner"],
    // The test runner adds its option to StrykerJS's own; its type is not among them.
    ...{ vitest: { configFile: "vitest.mutate.config.ts", related: false } },
    mutate: [...mutate],
    coverageAnalysis: "perTest",
    concurrency: WORKERS,
    timeoutMS: 10_000,
    tempDirName: `.cache/stryker-${name}`,
    ignorePatterns: ["/.cache", "/runs", "/dist", "/bench"],
    warnings: {
      slow: false,
      general: true,
      unknownOptions: true,
      preprocessorErrors: true,
      unserializableOptions: true,
    },
    reporters: ["progress-append-only"],
    allowConsoleColors: false,
  }).runMutationTest();
  const score: Score = { killed: 0, survivors: [], explained: 0 };
  for (const result of results) {
    const { status, fileName, location, replacement, mutatorName } = result;
    // Where a mutant keeps a test file from loading, no test of it runs, and StrykerJS takes it for a survivor.
    const unloadable = status === "Survived" && result.testsCompleted === 0;
    if (status === "Killed" || status === "Timeout" || unloadable) score.killed++;
    else if (status === "Ignored") score.explained++;
    else if (status === "Survived" || status === "NoCoverage") {
      const place = `${fileName.replace(/^.*?(src\/)/, "$1")}:${location.start.line}:${location.start.column}`;
      score.survivors.push(`${place} ${mutatorName} -> ${JSON.stringify(replacement ?? "").slice(0, 90)}`);
    }
  }
  return score;
}
