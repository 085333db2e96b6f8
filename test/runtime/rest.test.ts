/** A session between its runs: what it gives back, and when that is worth it. */
import { describe, expect, it } from "vitest";
import { input } from "../../src/graph/ops/source.ts";
import { add, mul, sum } from "../../src/graph/ops.ts";
import { Graph } from "../../src/graph/tensor.ts";
import { allocate, Session } from "../../src/runtime/session.ts";

/** [size, size] -> the sum of x (x + 1) x, over intermediate values of 4 size² bytes each. */
function cubic(size: number): Graph {
  const graph = new Graph();
  const x = input(graph, "x", "f32", [size, size]);
  const y = input(graph, "y", "f32", [size, size]);
  graph.output("total", sum(mul(mul(x, add(x, y)), mul(y, y)), [0, 1]));
  return graph;
}

function values(size: number) {
  const [x, y] = [allocate("f32", [size, size]), allocate("f32", [size, size])];
  (x.data as Float32Array).fill(2);
  (y.data as Float32Array).fill(1);
  return { x, y };
}

/** What a session computes with: another one after it was prepared anew. */
const engine = (session: Session): unknown => Reflect.get(session, "inference");

describe("a session that rests", () => {
  it("gives back the memory of its runs and computes the same afterwards", async () => {
    const session = await Session.create(cubic(4000), { threads: 1 });
    const feeds = values(4000);
    // 2 (2 + 1) 1² for each of 16 million.
    const total = async () => Number((await session.run(feeds)).total!.data[0]);
    const before = process.memoryUsage.rss();
    expect((await total()) / 16e6).toBeCloseTo(6, 2);
    // Until preparing it anew is a tenth of what it ran.
    const start = performance.now();
    while (performance.now() - start < 15_000 * session.creationSeconds) await total();
    const [held, prepared] = [process.memoryUsage.rss(), engine(session)];
    expect(held - before).toBeGreaterThan(100e6);
    await session.rest();
    expect(engine(session)).not.toBe(prepared);
    expect(held - process.memoryUsage.rss()).toBeGreaterThan(100e6);
    expect((await total()) / 16e6).toBeCloseTo(6, 2);
    await session.release();
  });

  it("does nothing where preparing it costs more than a tenth of its runs, or while it runs", async () => {
    const session = await Session.create(cubic(4), { threads: 1 });
    const prepared = engine(session);
    await session.rest();
    expect(engine(session)).toBe(prepared);
    const feeds = values(4);
    const start = performance.now();
    while (performance.now() - start < 20_000 * session.creationSeconds) await session.run(feeds);
    const running = session.run(feeds);
    await session.rest();
    expect(engine(session)).toBe(prepared);
    await running;
    await session.rest();
    expect(engine(session)).not.toBe(prepared);
    expect(Number((await session.run(feeds)).total!.data[0])).toBe(96);
    await session.release();
  });
});
