/** This machine's MatMul rate: what a run's speed is a share of. */
import { countFlops } from "../graph/analyse.ts";
import { input, matmul } from "../graph/ops.ts";
import { Graph } from "../graph/tensor.ts";
import { f32, Session, type Value } from "./session.ts";

/** [rows, inner] · [inner, cols]. */
export interface Product {
  rows: number;
  inner: number;
  cols: number;
}

/**
 * What a layer of width 256 with 4,096 tokens multiplies: forward, backward to its input, and to its weights. A rate
 * over this mix is one that a training step can reach, but not pass: the three differ by a third among each other.
 */
const TRAINING_PRODUCTS: readonly Product[] = [
  { rows: 4096, inner: 256, cols: 704 },
  { rows: 4096, inner: 704, cols: 256 },
  { rows: 704, inner: 4096, cols: 256 },
];

/** A processor that was idle, or busy with other memory, takes a while to reach its rate. */
const WARM_UP_SECONDS = 0.6;

/** The median rate of `runs` runs over all of `products`, in FLOP/s. */
export async function measureMatmulRate(
  runs = 15,
  threads?: number,
  products = TRAINING_PRODUCTS,
): Promise<number> {
  const graph = new Graph();
  const feeds: Record<string, Value> = {};
  products.forEach(({ rows, inner, cols }, i) => {
    const operand = (name: string, shape: [number, number]) => {
      feeds[name] = f32(new Float32Array(shape[0] * shape[1]).fill(0.5), shape);
      return input(graph, name, "f32", shape);
    };
    graph.output(`product.${i}`, matmul(operand(`a.${i}`, [rows, inner]), operand(`b.${i}`, [inner, cols])));
  });
  const session = await Session.create(graph, { threads, name: "matmul-rate" });
  const fetches = session.allocateOutputs(session.outputs.map(({ name }) => name));
  const flops = countFlops(graph).total;
  const warm = performance.now() + 1000 * WARM_UP_SECONDS;
  while (performance.now() < warm) await session.run(feeds, fetches);
  const rates: number[] = [];
  for (let i = 0; i < runs; i++) {
    const start = performance.now();
    await session.run(feeds, fetches);
    rates.push(flops / ((performance.now() - start) / 1000));
  }
  await session.release();
  return rates.sort((a, b) => a - b)[runs >> 1];
}
