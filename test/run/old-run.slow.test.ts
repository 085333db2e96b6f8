/** Runs of an earlier version, whose recipe has keys that were renamed since (src/recipe/schema.ts). */
import fs from "node:fs";
import os from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { isUserError } from "../../src/lib/errors.ts";
import { loadRecipe, parseRecipe, problemsOf } from "../../src/recipe/load.ts";
import { evaluationSettings } from "../../src/run/evaluation-settings.ts";
import { findModel, trainedTask } from "../../src/run/find-model.ts";
import { type MetricsLine, readJson, resumeOrCreate } from "../../src/run/folder.ts";
import type { RunInfo } from "../../src/run/info.ts";
import { readRun } from "../../src/run/reader.ts";
import { replay } from "../../src/run/replay.ts";
import { renderReport } from "../../src/run/report/report.ts";
import { Run } from "../../src/run/run.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { temporaryFolder } from "../checkpoint/temporary.ts";

const OLD = "test/fixtures/old-run";
const NEW_KEYS: readonly (readonly [string, string])[] = [
  ["width:", "hiddenSize:"],
  ["ffn:", "intermediateSize:"],
  ["rate:", "lr:"],
  ["adamRate:", "adamLr:"],
  ["decay:", "weightDecay:"],
  ["final:", "minLrRatio:"],
  ["slots:", "maxBatch:"],
  ["sharePrompt:", "sharedPrefix:"],
];
const written = fs.readFileSync(join(OLD, "tiny.yaml"), "utf8");
const renamed = NEW_KEYS.reduce(
  (text, [from, to]) => text.replaceAll(new RegExp(`(?<![A-Za-z])${from}`, "g"), to),
  written,
);

async function run(root: string, recipeFile: string): Promise<ReturnType<typeof readRun>> {
  const recipeText = fs.readFileSync(recipeFile, "utf8");
  const recipe = parseRecipe(recipeText, recipeFile);
  const folder = resumeOrCreate(recipe, { root, name: "tiny-stopped", recipeText });
  try {
    const hooks = { emit() {}, shouldStop: () => false, engine: new Engine() };
    expect(await new Run(recipe, folder, hooks).run()).toBe("finished");
  } finally {
    folder.close();
  }
  return readRun(folder.folder);
}

/** Without what depends on the machine's speed. */
const numbers = (lines: MetricsLine[]) =>
  lines.map(({ metrics, ...line }) => ({
    ...line,
    ...Object.fromEntries(Object.entries(metrics).filter(([name]) => !/second|mfu/.test(name))),
  }));

describe("a run of an earlier version", () => {
  test("is resumed by its own copy of the recipe and goes on with the numbers of a fresh run", async () => {
    const root = temporaryFolder();
    fs.cpSync(join(OLD, "stopped"), join(root, "tiny-stopped"), { recursive: true });
    const resumed = await run(root, join(root, "tiny-stopped", "recipe.yaml"));
    expect(resumed.info.sessions.length).toBe(2);
    expect(resumed.metrics.length).toBe(24);
    // Another processor rounds differently.
    if (resumed.info.cpu !== os.cpus()[0]?.model.trim()) return;
    const fresh = temporaryFolder();
    fs.writeFileSync(join(fresh, "tiny.yaml"), renamed);
    const again = await run(fresh, join(fresh, "tiny.yaml"));
    expect(numbers(resumed.metrics)).toEqual(numbers(again.metrics));
    expect(resumed.evaluations).toEqual(again.evaluations);
    expect(resumed.samples).toEqual(again.samples);
  });

  test("is resumed by the person's recipe with the present keys, and by no other", () => {
    const root = temporaryFolder();
    fs.cpSync(join(OLD, "stopped"), join(root, "tiny-stopped"), { recursive: true });
    const open = (text: string) =>
      resumeOrCreate(parseRecipe(text, "tiny.yaml"), { root, name: "tiny-stopped" });
    expect(() => open(renamed.replace("lr: 0.02", "lr: 0.01"))).toThrow(
      "stages.0.optimizer.lr: 0.02 there, 0.01",
    );
    for (const _ of ["first", "second"]) {
      const folder = open(renamed);
      expect(folder.resumed).toBe(true);
      folder.close();
    }
    expect(readJson<RunInfo>(join(root, "tiny-stopped", "run.json"))?.sessions.length).toBe(3);
  });

  test("is reported, replayed, evaluated and chatted with", () => {
    const folder = join(OLD, "finished");
    const { markdown, figures } = renderReport(readRun(folder));
    expect(markdown).toContain("Nothing was learned");
    expect(figures.map(({ file }) => file)).toContain("base-loss.svg");
    const events = [...replay(readRun(folder))];
    expect(events.filter(({ type }) => type === "metrics").length).toBe(24);
    expect(events.at(-1)?.type).toBe("done");
    const found = findModel(folder);
    expect(found.step).toBe(26);
    expect(trainedTask(found)).toMatchObject({ kind: "countdown", numbers: [2] });
    const config = { maxPositions: 64 } as Parameters<typeof evaluationSettings>[1]["config"];
    expect(evaluationSettings(found, { config, tokenizerConfig: {}, generation: {} }, {})).toMatchObject({
      ...{ problems: 4, samples: 2, temperature: 0.6, maxNewTokens: 20 },
    });
  });
});

test("a person's recipe with old keys is refused with the present ones", () => {
  try {
    loadRecipe(join(OLD, "tiny.yaml"));
  } catch (error) {
    if (!isUserError(error, "recipe")) throw error;
    const problems = problemsOf(error);
    expect(new Set(problems.map(({ suggestion }) => `${suggestion}:`))).toEqual(
      new Set(NEW_KEYS.map(([, to]) => to)),
    );
    expect(problems[0]).toMatchObject({
      line: 3,
      message: expect.stringMatching(/"width".*mean "hiddenSize"\?$/),
    });
    return;
  }
  throw new Error("the recipe was accepted");
});
