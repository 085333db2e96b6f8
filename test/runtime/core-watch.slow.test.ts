/** Spinning and yielding compute the same bits; and another program that takes cores is noticed. */
import { spawn } from "node:child_process";
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { availableParallelism } from "node:os";
import { describe, expect, it, vi } from "vitest";
import { lower } from "../../src/graph/lower.ts";
import { input, matmul } from "../../src/graph/ops.ts";
import { Graph } from "../../src/graph/tensor.ts";
import { Random } from "../../src/lib/random.ts";
import { CoreWatch, coreWatch, idleOf, type Watch, waitedSince } from "../../src/runtime/contention.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { InferenceSession } from "../../src/runtime/onnxruntime.ts";
import { allocate, f32, type HostValue, host, type Session } from "../../src/runtime/session.ts";
import { trainedOn } from "../../src/train/language-model-stage.ts";
import { traceStep } from "../../src/train/step.ts";

/** Says what it is told to say. */
class SetWatch implements Watch {
  contended = false;
  measured = 0;
  measure<T>(_session: { threads: number; switching: number }, run: () => Promise<T>): Promise<T> {
    this.measured++;
    return run();
  }
}

describe("a session whose threads yield", () => {
  // Wide enough that its products, sums and norms are cut between two threads.
  const size = {
    vocabSize: 96,
    layers: 2,
    hiddenSize: 64,
    heads: 4,
    kvHeads: 2,
    headDim: 16,
    intermediateSize: 176,
  };
  const config = { ...size, maxPositions: 128, ropeTheta: 10_000, normEps: 1e-6, tieEmbeddings: false };
  const [batch, sequence] = [4, 96];
  const options = { batch, sequence, documentMask: false, recompute: false };
  const { specs, loss } = trainedOn(config, options);
  const adam = { betas: [0.9, 0.95] as [number, number], epsilon: 1e-8, weightDecay: 0.1, clip: 1 };
  const graph = traceStep(specs, loss, {
    kind: "muon",
    lr: 0.01,
    adamLr: 0.002,
    momentum: 0.95,
    ...adam,
  });
  const random = new Random(1, "step");
  const feeds: Record<string, HostValue> = {};
  for (const [name, { dtype, shape }] of graph.inputs) {
    const value = allocate(dtype, shape as number[]);
    value.data.forEach((_, i) => {
      if (name === "positions") value.data[i] = i % sequence;
      else value.data[i] = dtype === "i32" ? random.integer(0, 95) : Math.abs(0.1 * random.normal());
    });
    feeds[name] = value;
  }

  it("gives every output of a training step bit for bit, on two threads and on three", async () => {
    for (const threads of [2, 3]) {
      const watch = new SetWatch();
      const session = await new Engine({ threads, watch }).prepare(
        lower(graph, { provider: "cpu", name: "step" }),
      );
      const bits = async () =>
        Object.entries(await session.run(feeds)).map(([name, value]) => {
          const { buffer, byteOffset, byteLength } = host(value).data;
          return [name, Buffer.from(buffer, byteOffset, byteLength).toString("base64")];
        });
      const spinning = await bits();
      expect(session.yielding).toBe(false);
      watch.contended = true;
      expect(await bits()).toEqual(spinning);
      expect(session.yielding).toBe(true);
      watch.contended = false;
      expect(await bits()).toEqual(spinning);
      expect(session.yielding).toBe(false);
      expect(watch.measured).toBe(3);
      expect(spinning.length).toBeGreaterThan(2 * specs.length);
      await session.release();
    }
  });
});

/** A product that takes some milliseconds on two threads. */
async function product(
  watch?: Watch,
  threads: number | null = 2,
): Promise<{ session: Session; run: () => Promise<HostValue> }> {
  const graph = new Graph();
  const operand = (name: string) => input(graph, name, "f32", [512, 512]);
  graph.output("product", matmul(operand("a"), operand("b")));
  const session = await new Engine({ threads: threads ?? undefined, watch }).session(graph, "test");
  const half = f32(new Float32Array(512 * 512).fill(0.5), [512, 512]);
  return { session, run: async () => host((await session.run({ a: half, b: half })).product) };
}

it("changes while runs wait for each other, and loses none of them", async () => {
  const watch = new SetWatch();
  const { session, run } = await product(watch);
  const runs: Promise<HostValue>[] = [];
  for (let i = 0; i < 12; i++) {
    watch.contended = i % 3 === 1;
    runs.push(run());
    if (i % 4 === 3) await runs[i];
  }
  for (const { data } of await Promise.all(runs)) expect(data[0]).toBe(128);
  await session.release();
});

it("asks the system once how many threads it may have, not at each run", async () => {
  const { session, run } = await product(new SetWatch(), null);
  const { readFileSync } = fs;
  const read: unknown[] = [];
  try {
    fs.readFileSync = ((path, options) => {
      if (String(path).includes("cgroup")) read.push(path);
      return readFileSync(path, options);
    }) as typeof readFileSync;
    syncBuiltinESMExports();
    for (let i = 0; i < 3; i++) expect((await run()).data[0]).toBe(128);
  } finally {
    fs.readFileSync = readFileSync;
    syncBuiltinESMExports();
    await session.release();
  }
  expect(read).toEqual([]);
});

it("goes on as it is where it cannot be prepared anew", async () => {
  const watch = new SetWatch();
  const { session, run } = await product(watch);
  const create = vi.spyOn(InferenceSession, "create").mockRejectedValueOnce(new Error("bad allocation"));
  watch.contended = true;
  for (let i = 0; i < 2; i++) expect((await run()).data[0]).toBe(128);
  expect(create).toHaveBeenCalledTimes(1);
  expect(session.yielding).toBe(false);
  create.mockRestore();
  await session.release();
});

it("one thread has none to wait for: nothing is watched or changed", async () => {
  const watch = new SetWatch();
  watch.contended = true;
  const { session, run } = await product(watch, 1);
  expect((await run()).data[0]).toBe(128);
  expect(watch.measured).toBe(0);
  await session.release();
});

it("programs that take every core are noticed within seconds", async () => {
  const { session, run } = await product();
  const others = Array.from({ length: availableParallelism() }, () =>
    spawn(process.execPath, ["-e", "for(;;);"], { stdio: "ignore" }),
  );
  try {
    const end = performance.now() + 20_000;
    while (!coreWatch.contended && performance.now() < end) await run();
    expect(coreWatch.contended).toBe(true);
    expect((await run()).data[0]).toBe(128);
  } finally {
    for (const other of others) other.kill("SIGKILL");
    await session.release();
  }
}, 40_000);

describe("what Linux counts", () => {
  it("idle and I/O wait of the cores that the process may use", () => {
    const stat = [
      "cpu  10 20 30 4000 500 6 7 8 0 0",
      "cpu0 1 2 3 1000 50 6 7 8 0 0",
      "cpu1 1 2 3 2000 60 6 7 8 0 0",
      "cpu2 1 2 3 4000 70 6 7 8 0 0",
      "cpu11 1 2 3 8000 80 6 7 8 0 0",
      "intr 1 2 3",
    ].join("\n");
    expect(idleOf(stat, "0-1")).toBe(31.1);
    expect(idleOf(stat, "2")).toBe(40.7);
    expect(idleOf(stat, "0,2-11")).toBe(10.5 + 40.7 + 80.8);
    expect(idleOf(stat, "5")).toBeNull();
  });

  it("waiting, thread by thread: one that ended takes nothing away, a new one brings its own", () => {
    const before = new Map([
      ["1", 5],
      ["2", 100],
    ]);
    const after = new Map([
      ["1", 5.5],
      ["3", 0.25],
    ]);
    expect(waitedSince(before, after)).toBe(0.75);
  });
});

it("threads that wait while nothing is computed are no other program", async () => {
  let waited = 0;
  const watch = new CoreWatch(() => ({
    ...{ at: performance.now() / 1000, ownCpu: 0, idle: 0, waited: new Map([["1", waited]]) },
  }));
  const run = (seconds: number, waits = 0) =>
    watch.measure({ threads: 2, switching: 0 }, async () => {
      const start = performance.now();
      while (performance.now() - start < 1000 * seconds);
      waited += waits;
    });
  await run(0.3);
  // A session is prepared, for example: its threads wait for each other, and for the garbage collector's.
  waited += 5;
  await new Promise((resolve) => setTimeout(resolve, 150));
  await run(0.3);
  await run(0.3);
  expect(watch.contended).toBe(false);
  await run(0.6, 0.5);
  expect(watch.contended).toBe(true);
});
