/** What a recipe is assumed to sample, against the scheduler that will do it. */
import { describe, expect, it, test } from "vitest";
import { completionLengths, decodeSteps } from "../../src/plan/programs.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { measureSpeeds } from "../../src/runtime/measure.ts";
import { Scheduler } from "../../src/sample/scheduler.ts";

describe("lengths of answers", () => {
  it("have the mean that was asked for, and reach the limit as seldom as random stops would", () => {
    const lengths = completionLengths(4000, 90, 360);
    const mean = lengths.reduce((sum, length) => sum + length, 0) / lengths.length;
    // The limit takes e^-4 of the mean, and rounding up adds half a token.
    expect(mean).toBeCloseTo(90 * (1 - Math.exp(-4)) + 0.5, 0);
    expect(lengths.filter((length) => length === 360).length / 4000).toBeCloseTo(Math.exp(-359 / 90), 3);
    expect(Math.min(...lengths)).toBe(1);
  });

  it("have no trend: each eighth of them has the mean of all", () => {
    const lengths = completionLengths(800, 50, 400);
    const meanOf = (part: number[]) => part.reduce((sum, length) => sum + length, 0) / part.length;
    for (let i = 0; i < 8; i++)
      expect(Math.abs(meanOf(lengths.slice(100 * i, 100 * (i + 1))) / meanOf(lengths) - 1)).toBeLessThan(0.1);
  });
});

/** The same lengths through the real scheduler: its steps, rows and windows. */
function scheduled(lengths: number[], maxBatch: number, promptTokens: number) {
  const prompt = new Array<number>(promptTokens).fill(1);
  const requests = lengths.map((maxNewTokens, i) => ({ prompt, maxNewTokens, key: ["test", i] }));
  const scheduler = new Scheduler(requests, maxBatch);
  let [steps, rows, read, window] = [0, 0, 0, 0];
  while (!scheduler.done()) {
    scheduler.admit();
    const needed = Math.max(...scheduler.active.map(({ position }) => position + 1));
    while (window < needed) window += 32;
    steps++;
    rows += scheduler.batchSize();
    read += scheduler.batchSize() * window;
    for (const row of scheduler.active) {
      row.position++;
      row.ids.push(1);
    }
    for (let i = scheduler.active.length - 1; i >= 0; i--)
      if (scheduler.active[i].ids.length >= scheduler.active[i].request.maxNewTokens) scheduler.release(i);
  }
  return { steps, batch: Math.round(rows / steps), past: Math.round(read / rows) };
}

test.each([
  [128, 90, 360, 128, 14],
  [1000, 96, 384, 128, 17],
  [256, 120, 480, 128, 17],
  [10, 5, 20, 4, 40],
  [3, 2, 8, 128, 1],
  // More than are ever decoded at once.
  [400, 20, 60, 300, 8],
  [600, 20, 60, 1000, 8],
])(
  "%d answers of %d tokens up to %d, in batches of %d behind prompts of %d",
  (samples, mean, limit, maxBatch, prompt) => {
    const lengths = completionLengths(samples, mean, limit);
    expect(decodeSteps(lengths, maxBatch, prompt)).toEqual(scheduled(lengths, maxBatch, prompt));
  },
);

test("a machine's speeds are of their kind", async () => {
  const { flops, bytes, nodes } = await measureSpeeds(new Engine({ threads: 1 }));
  // From a slow and busy core to more than any has.
  expect(flops > 1e8 && flops < 1e13).toBe(true);
  expect(bytes > 1e8 && bytes < 1e12).toBe(true);
  expect(nodes > 1e3 && nodes < 1e8).toBe(true);
}, 60_000);
