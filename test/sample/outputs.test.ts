/** A step's arrays: one set for all batch sizes. */
import { expect, it } from "vitest";
import type { Session } from "../../src/runtime/session.ts";
import { StepOutputs } from "../../src/sample/outputs.ts";

const session = {
  outputs: [
    { name: "logits", dtype: "f32", shape: ["batch", 10] },
    { name: "weights", dtype: "f32", shape: ["batch", 10] },
    { name: "fresh.keys.0", dtype: "f32", shape: ["batch", 2, "seq", 3] },
    { name: "fresh.values.0", dtype: "f32", shape: ["batch", 2, 1, 3] },
  ],
} as unknown as Session;
const planes = ["keys.0", "values.0"].map((name) => ({ name, heads: 2, width: 3 }));

it("every batch size has its shapes, and the beginning of the largest one's memory", () => {
  const outputs = new StepOutputs(session, planes);
  const steps = [1, 4, 64, 2, 16, 64, 1].map((batch) => ({ batch, step: outputs.of(batch) }));
  const buffers = new Set<ArrayBufferLike>();
  for (const { batch, step } of steps.slice(2)) {
    expect(step.fetches.logits.shape).toEqual([batch, 10]);
    expect(step.fetches["fresh.keys.0"].shape).toEqual([batch, 2, 1, 3]);
    expect(step.logits.length).toBe(10 * batch);
    expect(step.fresh.map(({ length }) => length)).toEqual([6 * batch, 6 * batch]);
    expect(step.logits).toBe(step.fetches.logits.data);
    expect(step.weights).toBe(step.fetches.weights.data);
    expect(step.fresh[1]).toBe(step.fetches["fresh.values.0"].data);
    for (const { data } of Object.values(step.fetches)) {
      expect(data.byteOffset).toBe(0);
      buffers.add(data.buffer);
    }
  }
  // Four outputs, 64 rows each; what smaller batches had before is let go.
  expect([...buffers].map(({ byteLength }) => byteLength).sort((a, b) => a - b)).toEqual(
    [6, 6, 10, 10].map((width) => 4 * 64 * width),
  );
  expect(outputs.of(1)).toBe(outputs.of(1));
  expect(outputs.of(1)).not.toBe(steps[0].step);
});
