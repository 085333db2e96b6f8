/** A step's arrays: one set for all batch sizes. */
import { expect, it } from "vitest";
import { bindShape, type DType } from "../../src/graph/tensor.ts";
import { allocate, host } from "../../src/runtime/value.ts";
import { StepOutputs } from "../../src/sample/outputs.ts";

const shapes = {
  logits: ["batch", 10],
  weights: ["batch", 10],
  "new.keys.0": ["batch", 2, "seq", 3],
  "new.values.0": ["batch", 2, 1, 3],
};
const session = {
  outputs: Object.entries(shapes).map(([name, shape]) => ({ name, dtype: "f32" as DType, shape })),
  allocateOutputs: (names: readonly string[], sizes: Record<string, number> = {}) =>
    Object.fromEntries(
      names.map((name) => [name, allocate("f32", bindShape(shapes[name as keyof typeof shapes], sizes))]),
    ),
};

it("every batch size has its shapes, and the beginning of the largest one's memory", () => {
  const outputs = new StepOutputs(session);
  const steps = [1, 4, 64, 2, 16, 64, 1].map((batch) => ({ batch, step: outputs.of(batch) }));
  const buffers = new Set<ArrayBufferLike>();
  for (const { batch, step } of steps.slice(2)) {
    expect(step.logits.shape).toEqual([batch, 10]);
    expect(step["new.keys.0"].shape).toEqual([batch, 2, 1, 3]);
    expect(Object.values(step).map((value) => host(value).data.length)).toEqual(
      [10, 10, 6, 6].map((width) => width * batch),
    );
    for (const { data } of Object.values(step).map(host)) {
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
