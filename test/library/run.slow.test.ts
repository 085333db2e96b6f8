/** The library's `train`: a recipe as an object, typed events, and a signal that saves and resumes. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { loadModel, type RunEvent, train } from "../../src/index.ts";

const root = mkdtempSync(join(tmpdir(), "library-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const recipe = {
  name: "object",
  seed: 1,
  model: { layers: 1, hiddenSize: 16, heads: 2, intermediateSize: 24, maxPositions: 64 },
  tokenizer: { kind: "compact" },
  task: { kind: "countdown", numbers: [2] },
  stages: [
    {
      ...{ name: "base", kind: "pretrain", sequence: 32, batch: 4, steps: 30 },
      data: {
        ...{ kind: "countdown-attempts", numbers: [2], hint: 0, singles: 0.5 },
        ...{ maxAttempts: 2, goOn: 0, maxResult: 50 },
      },
      optimizer: { kind: "adamw", lr: 0.01 },
      schedule: { kind: "linear", warmup: 1, minLrRatio: 0.1 },
    },
    {
      ...{ name: "score", kind: "evaluate", label: "final", problems: 8, samples: 1, temperature: 1 },
      maxNewTokens: 24,
    },
  ],
};

const losses = (events: readonly RunEvent[]) =>
  events.flatMap((event) => (event.type === "metrics" ? [[event.step, event.metrics.loss]] : []));

describe("train", () => {
  it("runs a recipe that is an object, tells its events, and leaves a model", async () => {
    const events: RunEvent[] = [];
    const result = await train(recipe, { root, onEvent: (event) => void events.push(event) });
    expect(result).toMatchObject({ outcome: "finished", folder: join(root, "object") });
    expect(result.evaluations.map(({ label }) => label)).toEqual(["final"]);
    expect(losses(events)).toHaveLength(30);
    expect(new Set(events.map(({ type }) => type))).toContain("bill");
    const model = await loadModel(result.folder);
    expect((await model.generate("3, 4 make 7\n<think>\n", { maxNewTokens: 3 })).ids.length).toBeGreaterThan(
      0,
    );
    await model.release();

    // Stopped after some steps, the same call continues to the same numbers.
    const control = new AbortController();
    const parts: RunEvent[] = [];
    const options = {
      ...{ root, name: "parts", signal: control.signal },
      onEvent: (event: RunEvent) => {
        parts.push(event);
        if (event.type === "metrics" && event.step === 5) control.abort();
      },
    };
    const named = { ...recipe, name: "parts" };
    expect(await train(named, options)).toMatchObject({ outcome: "stopped" });
    expect(losses(parts).length).toBeLessThan(30);
    await train(named, { ...options, signal: undefined });
    expect(losses(parts)).toEqual(losses(events));
  });

  it("refuses a recipe with the field and its place, and a signal that is already aborted", async () => {
    await expect(train({ ...recipe, seed: "one" }, { root })).rejects.toThrow(/seed/);
    await expect(train(join(root, "none.yaml"))).rejects.toThrow(/none\.yaml/);
    await expect(train(recipe, { root, signal: AbortSignal.abort() })).rejects.toThrow(/abort/i);
  });
});
