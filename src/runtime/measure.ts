/** What an engine does in a second: products of matrices, passes over memory, and nodes. */
import { countFlops, type Speeds } from "../graph/analyse.ts";
import { add, input, matmul, mul } from "../graph/ops.ts";
import { Graph, sizeOf } from "../graph/tensor.ts";
import { Engine } from "./engine.ts";
import { f32, type Value } from "./value.ts";

/** [rows, inner] · [inner, cols]. */
export interface Product {
  rows: number;
  inner: number;
  cols: number;
}

/**
 * What a layer of width 256 multiplies for 4,096 tokens: forward, backward to its input, and to its weights. A training
 * step can reach the rate of this mix, but not pass it; the rates of the three differ by a third.
 */
const TRAINING_PRODUCTS: readonly Product[] = [
  { rows: 4096, inner: 256, cols: 704 },
  { rows: 4096, inner: 704, cols: 256 },
  { rows: 704, inner: 4096, cols: 256 },
];

/** A processor that was idle takes a while to reach its rate. */
const WARM_UP_SECONDS = 0.6;

/** Elements of an activation of 4,096 tokens and width 256, and passes over them. */
const ACTIVATION = 4096 * 256;
const PASSES = 16;
/** Nodes of a graph that computes next to nothing, each with its own input and output. */
const SMALL_NODES = 100;

const half = (shape: readonly number[]): Value => f32(new Float32Array(sizeOf(shape)).fill(0.5), shape);

/** The median rate of `runs` runs over all of `products`, in FLOP/s. */
export async function measureMatmulRate(
  engine = new Engine(),
  runs = 15,
  products = TRAINING_PRODUCTS,
): Promise<number> {
  const graph = new Graph();
  products.forEach(({ rows, inner, cols }, i) => {
    const [a, b] = [
      input(graph, `a.${i}`, "f32", [rows, inner]),
      input(graph, `b.${i}`, "f32", [inner, cols]),
    ];
    graph.output(`product.${i}`, matmul(a, b));
  });
  return countFlops(graph).total / (await medianSeconds(engine, graph, runs, WARM_UP_SECONDS));
}

/** All three speeds, in about two seconds. */
export async function measureSpeeds(engine = new Engine()): Promise<Speeds> {
  const flops = await measureMatmulRate(engine);

  const passes = new Graph();
  const [x, y] = ["x", "y"].map((name) => input(passes, name, "f32", [ACTIVATION]));
  let total = x;
  // The sum's operand is read again later, as in training, so the engine cannot write the result over it.
  for (let i = 0; i < PASSES / 2; i++) total = add(total, mul(total, y));
  passes.output("total", total);
  const bytes = (PASSES * 3 * 4 * ACTIVATION) / (await medianSeconds(engine, passes, 15, 0.2));

  const small = new Graph();
  for (let i = 0; i < SMALL_NODES; i++) small.output(`y${i}`, mul(input(small, `x${i}`, "f32", [1]), 2));
  const nodes = (3 * SMALL_NODES) / (await medianSeconds(engine, small, 51, 0.1));
  return { flops, bytes, nodes };
}

/** The median of `runs` runs with inputs of 0.5, after `warmUp` seconds of them. */
async function medianSeconds(engine: Engine, graph: Graph, runs: number, warmUp: number): Promise<number> {
  const session = await engine.session(graph, "measure");
  const feeds = Object.fromEntries(session.inputs.map(({ name, shape }) => [name, half(shape as number[])]));
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

/** By engine: measuring takes a second, and a process that runs several recipes needs it once. */
const rates = new WeakMap<Engine, Promise<number>>();

/** As `measureMatmulRate`, once for each engine. */
export function matmulRate(engine: Engine): Promise<number> {
  const known = rates.get(engine) ?? measureMatmulRate(engine);
  rates.set(engine, known);
  return known;
}
