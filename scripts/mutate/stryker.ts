/** Mutation testing by StrykerJS with vitest, a folder at a time. */
// In worker threads, where StrykerJS runs tests, it would be too late, and every file with a session would fail unseen.
import "../../src/runtime/no-telemetry.ts";
import { Stryker } from "@stryker-mutator/core";
import type { Folder } from "./folders.ts";
import type { Score } from "./score.ts";

/** Mutants run side by side. */
const WORKERS = 2;

export async function strykerScore(name: string, { mutate, tests }: Folder): Promise<Score> {
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
  for (const { status, fileName, location, replacement, mutatorName } of results) {
    if (status === "Killed" || status === "Timeout") score.killed++;
    else if (status === "Ignored") score.explained++;
    else if (status === "Survived" || status === "NoCoverage") {
      const place = `${fileName.replace(/^.*?(src\/)/, "$1")}:${location.start.line}:${location.start.column}`;
      score.survivors.push(`${place} ${mutatorName} -> ${JSON.stringify(replacement ?? "").slice(0, 90)}`);
    }
  }
  return score;
}
