/** This machine's MatMul rate: what a run's speed is a share of. */
import { input, matmul } from "../graph/ops.ts";
import { Graph } from "../graph/tensor.ts";
import { f32, Session } from "./session.ts";

/** Sizes of the measured product, [rows, inner] · [inner, cols]: a layer's, so that the share is of what is reachable. */
const PRODUCT = { rows: 4096, inner: 256, cols: 704 };

/** A processor that was idle, or busy with other memory, takes a while to reach its rate. */
const WARM_UP_SECONDS = 0.6;

/** The median rate of `runs` products, in FLOP/s. */
export async function measureMatmulRate(runs = 40, threads?: number, product = PRODUCT): Promise<number> {
  const { rows, inner, cols } = product;
  const graph = new Graph();
  graph.output(
    "product",
    matmul(input(graph, "a", "f32", [rows, inner]), input(graph, "b", "f32", [inner, cols])),
  );
  const session = await Session.create(graph, { threads, name: "matmul-rate" });
  const feeds = {
    a: f32(new Float32Array(rows * inner).fill(0.5), [rows, inner]),
    b: f32(new Float32Array(inner * cols).fill(0.25), [inner, cols]),
  };
  const fetches = session.allocateOutputs(["product"]);
  const warm = performance.now() + 1000 * WARM_UP_SECONDS;
  while (performance.now() < warm) await session.run(feeds, fetches);
  const rates: number[] = [];
  for (let i = 0; i < runs; i++) {
    const start = performance.now();
    await session.run(feeds, fetches);
    rates.push((2 * rows * inner * cols) / ((performance.now() - start) / 1000));
  }
  await session.release();
  return rates.sort((a, b) => a - b)[runs >> 1];
}
