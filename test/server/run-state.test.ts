import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { RunEvent } from "../../src/events.ts";
import { apply, emptyRun, GROUPS_KEPT, SAMPLED_STEPS_KEPT } from "../../src/server/run-state.ts";
import { finish, opening, replay, sampledGroups } from "./replay.ts";

function fold(events: RunEvent[]) {
  const state = emptyRun();
  for (const event of events) apply(state, event);
  return state;
}

const metrics = (step: number, values: Record<string, number | null>): RunEvent => {
  return { type: "metrics", stage: "base", step, totalSteps: 30, secondsLeft: null, metrics: values };
};

describe("curves", () => {
  test("hold every step, and null where a metric was absent", () => {
    const { curves } = fold([
      metrics(1, { loss: 3 }),
      metrics(2, { kl: 0.5 }),
      metrics(3, { loss: 2, kl: null }),
    ]);
    expect(curves.base).toEqual({ steps: [1, 2, 3], columns: { loss: [3, null, 2], kl: [null, 0.5, null] } });
  });

  test("of a run resumed at 10 after 17 count each step once, the resumed values winning", () => {
    const first = Array.from({ length: 17 }, (_, index) => metrics(index + 1, { loss: 1 }));
    const resumed = Array.from({ length: 20 }, (_, index) => metrics(index + 11, { loss: 2 }));
    const { steps, columns } = fold([...first, ...resumed]).curves.base!;
    expect(steps).toEqual(Array.from({ length: 30 }, (_, index) => index + 1));
    expect(columns.loss).toEqual(steps.map((step) => (step <= 10 ? 1 : 2)));
  });

  test("of stages and metrics that are named as objects' own parts are (X13)", () => {
    for (const stage of ["constructor", "toString", "hasOwnProperty"]) {
      const { curves } = fold([{ ...metrics(1, { constructor: 3, loss: 2 }), stage } as RunEvent]);
      expect(curves[stage]).toEqual({ steps: [1], columns: { constructor: [3], loss: [2] } });
    }
  });

  test("have columns as long as their steps, whatever comes in whatever order", () => {
    const point = fc.record({
      step: fc.integer({ min: 0, max: 20 }),
      values: fc.dictionary(fc.constantFrom("loss", "kl", "mfu"), fc.option(fc.float({ noNaN: true }))),
    });
    fc.assert(
      fc.property(fc.array(point), (points) => {
        const { curves } = fold(points.map(({ step, values }) => metrics(step, values)));
        const { steps, columns } = curves.base ?? { steps: [], columns: {} };
        expect(steps).toEqual([...new Set(steps)].sort((a, b) => a - b));
        for (const column of Object.values(columns)) expect(column).toHaveLength(steps.length);
      }),
    );
  });
});

describe("samples", () => {
  test("are thinned evenly, the first and the latest steps kept", () => {
    const groups = sampledGroups(1, 16);
    const events = Array.from({ length: 140 }, (_, index): RunEvent => {
      return { type: "samples", stage: "r1-zero", step: index + 1, groups };
    });
    const { samples } = fold(events);
    const steps = samples.map((kept) => kept.step);
    expect(samples[0]!.groups).toHaveLength(GROUPS_KEPT);
    expect(steps).toHaveLength(SAMPLED_STEPS_KEPT);
    expect(steps[0]).toBe(1);
    expect(steps.slice(-6)).toEqual([135, 136, 137, 138, 139, 140]);
    const gaps = steps.slice(1, -6).map((step, index) => step - steps[index]!);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(16);
  });

  test("of repeated steps are replaced", () => {
    const at = (step: number): RunEvent => ({ type: "samples", stage: "r1-zero", step, groups: [] });
    expect(fold([at(1), at(2), at(3), at(2)]).samples.map((kept) => kept.step)).toEqual([1, 2]);
  });
});

test("another run starts from nothing, the same run resumed keeps its curves", () => {
  const events = [...replay(5), ...finish()];
  expect(fold([...events, { ...opening, folder: "runs/other" }]).curves).toEqual({});
  const resumed = fold([...events, { ...opening, resumedAt: 200 }]);
  expect(resumed.curves.base!.steps).toHaveLength(300);
  expect(resumed.outcome).toBeNull();
});

test("says that another program takes a core while it does, and not when the run has ended or begins again", () => {
  const taken: RunEvent = { type: "cores", taken: true };
  expect(fold([opening, taken]).coresTaken).toBe(true);
  expect(fold([opening, taken, { type: "cores", taken: false }]).coresTaken).toBe(false);
  expect(fold([opening, taken, { ...opening, resumedAt: 3 }]).coresTaken).toBe(false);
  expect(fold([opening, taken, ...finish()]).coresTaken).toBe(false);
});
