/** What this machine does in a second: products of matrices, passes over memory, and nodes. */
import { countFlops, type Speeds } from "../graph/analyse.ts";
import { add, input, matmul, mul } from "../graph/ops.ts";
import { Graph } from "../graph/tensor.ts";
import { f32, type HostValue, Session } from "./session.ts";

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
  const feeds: Record<string, HostValue> = {};
  products.forEach(({ rows, inner, cols }, i) => {
    const operand = (name: string, shape: [number, number]) => {
      feeds[name] = f32(new Float32Array(shape[0] * shape[1]).fill(0.5), shape);
      return input(graph, name, "f32", shape);
    };
    graph.output(`product.${i}`, matmul(operand(`a.${i}`, [rows, inner]), operand(`b.${i}`, [inner, cols])));
  });
  return countFlops(graph).total / (await medianSeconds(graph, feeds, runs, WARM_UP_SECONDS, threads));
}

/** The median of `runs` runs, after `warmUp` seconds of them. */
async function medianSeconds(
  graph: Graph,
  feeds: Record<string, HostValue>,
  runs: number,
  warmUp: number,
  threads?: number,
): Promise<number> {
  const session = await Session.create(graph, { threads, name: "measure" });
  const fetches = session.allocateOutputs(session.outputs.map(({ name }) => name));
  const warm = performance.now() + 1000 * warmUp;
  while (performance.now() < warm) await session.run(feeds, fetches);
  const seconds: number[] = [];
  for (let i = 0; i < runs; i++) {
    const start = performance.now();
    await session.run(feeds, fetches);
    seconds.push((performance.now() - start) / 1000);
  }
  await session.release();
  return seconds.sort((a, b) => a - b)[runs >> 1];
}

/** Numbers of an activation of 4,096 tokens and width 256, and passes over them. */
const ACTIVATION = 4096 * 256;
const PASSES = 16;
/** Nodes of a graph that does next to nothing, each with an input and an output of its own. */
const SMALL_NODES = 100;

/** All three speeds, in about two seconds. */
export async function measureSpeeds(threads?: number): Promise<Speeds> {
  const flops = await measureMatmulRate(undefined, threads);
  const half = (size: number): HostValue => f32(new Float32Array(size).fill(0.5), [size]);

  const passes = new Graph();
  const [x, y] = ["x", "y"].map((name) => input(passes, name, "f32", [ACTIVATION]));
  let total = x;
  // A product's operand is still needed, as in training: it cannot be written over it.
  for (let i = 0; i < PASSES / 2; i++) total = add(total, mul(total, y));
  passes.output("total", total);
  const ends = { x: half(ACTIVATION), y: half(ACTIVATION) };
  const bytes = (PASSES * 3 * 4 * ACTIVATION) / (await medianSeconds(passes, ends, 15, 0.2, threads));

  const small = new Graph();
  const feeds: Record<string, HostValue> = {};
  for (let i = 0; i < SMALL_NODES; i++) {
    feeds[`x${i}`] = half(1);
    small.output(`y${i}`, mul(input(small, `x${i}`, "f32", [1]), 2));
  }
  const nodes = (3 * SMALL_NODES) / (await medianSeconds(small, feeds, 51, 0.1, threads));
  return { flops, bytes, nodes };
}
