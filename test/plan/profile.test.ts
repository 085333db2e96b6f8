import { expect, test } from "vitest";
import { pathOf, summariseTrace, type TraceEvent } from "../../src/plan/profile.ts";

test.each([
  ["layers.0.attn.q.grad.MatMul#12_kernel_time", "layers.0.attn.q.grad"],
  ["layers.3.mlp.up.FusedMatMul#7_kernel_time", "layers.3.mlp.up"],
  [
    "optimizer.model.layers.0.mlp.up_proj.weight.Mul#99_kernel_time",
    "optimizer.model.layers.0.mlp.up_proj.weight",
  ],
  ["fused Transpose_token_12_kernel_time", "(runtime) fused Transpose_token"],
])("%s belongs to %s", (name, path) => expect(pathOf(name)).toBe(path));

test("the fastest run counts, the first one does not", () => {
  const run = (start: number, q: number, up: number): TraceEvent[] => [
    { name: "model_run", ts: start, dur: 100, cat: "Session" },
    {
      name: "layers.0.attn.q.MatMul#1_kernel_time",
      cat: "Node",
      ts: start + 1,
      dur: q,
      args: { op_name: "MatMul" },
    },
    {
      name: "layers.0.mlp.up.MatMul#2_kernel_time",
      cat: "Node",
      ts: start + 50,
      dur: up,
      args: { op_name: "MatMul" },
    },
  ];
  const { runs, seconds, byPath, byOp } = summariseTrace([
    ...run(0, 1, 1),
    ...run(1000, 40, 50),
    ...run(2000, 10, 30),
  ]);
  expect(runs).toBe(2);
  expect(seconds).toBeCloseTo(40e-6, 12);
  expect(byPath.map(({ path, share }) => [path, share])).toEqual([
    ["layers.0.mlp.up", 0.75],
    ["layers.0.attn.q", 0.25],
  ]);
  expect(byOp).toHaveLength(1);
});
