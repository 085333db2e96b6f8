/** The one way to a session, the table of devices, and what SPUTNIK_DEBUG shows. */
import { afterEach, describe, expect, it, vi } from "vitest";
import { countFlops } from "../../src/graph/analyse.ts";
import { registeredOps } from "../../src/graph/op.ts";
import { input, rmsNorm } from "../../src/graph/ops.ts";
import { Graph } from "../../src/graph/tensor.ts";
import { devices } from "../../src/runtime/device.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { f32, read } from "../../src/runtime/value.ts";

function norm(): Graph {
  const graph = new Graph();
  const x = input(graph, "x", "f32", ["batch", 4]);
  graph.output("y", rmsNorm(x, input(graph, "w", "f32", [4]), 0));
  return graph;
}

describe("an engine", () => {
  it("prepares a graph with its device's fused forms, or composed", async () => {
    const engine = new Engine({ threads: 1 });
    for (const composed of [false, true]) {
      const session = await engine.session(norm(), "norm", { composed });
      expect([session.name, session.forms.rmsNorm.fused]).toEqual(["norm", composed ? 0 : 1]);
      const { y } = await session.run({ x: f32([3, 3, -3, 3], [1, 4]), w: f32([1, 1, 1, 2]) });
      expect([...(await read(y, "f32"))]).toEqual([1, 1, -1, 2]);
      await session.release();
    }
  });

  it("without a device that computes lowers and counts, and refuses to run", async () => {
    const engine = new Engine({ device: "null" });
    const lowered = engine.lower(norm(), "norm");
    expect(lowered.forms.rmsNorm).toEqual({ fused: 0, composed: { "no fused form on null": 1 } });
    expect(countFlops(norm(), { batch: 8 }).total).toBeGreaterThan(0);
    await expect(engine.prepare(lowered)).rejects.toThrow(
      'the device "null" runs nothing; "norm" needs one that computes, such as "cpu"',
    );
  });
});

it("every fused form is one of a device in the table", () => {
  const providers = registeredOps().flatMap((op) => op.providers);
  expect(providers.length).toBeGreaterThan(0);
  for (const provider of providers) expect(Object.keys(devices)).toContain(provider);
});

describe("SPUTNIK_DEBUG", () => {
  afterEach(() => {
    vi.unstubAllEnvs();
    vi.restoreAllMocks();
  });

  it.each([
    ["", []],
    ["1", []],
    ["2", [/^session norm: [\d.]+ s on cpu, rmsNorm: 1 fused$/]],
    ["3", [/^session norm/, /^run norm: batch=2 [\d.]+ ms$/]],
  ])("%j", async (level, expected) => {
    vi.stubEnv("SPUTNIK_DEBUG", level);
    const lines: string[] = [];
    vi.spyOn(console, "error").mockImplementation((line) => lines.push(line));
    const session = await new Engine({ threads: 1 }).session(norm(), "norm");
    await session.run({ x: f32(new Float32Array(8), [2, 4]), w: f32([1, 1, 1, 1]) });
    await session.release();
    expect(lines).toEqual(expected.map((line) => expect.stringMatching(line)));
  });
});
