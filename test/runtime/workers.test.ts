/** D1: sessions in several workers, some of them terminated while they compute. The gate for each version of the runtime. */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { expect, it } from "vitest";
import { lower } from "../../src/graph/lower.ts";
import { input, matmul } from "../../src/graph/ops.ts";
import { Graph } from "../../src/graph/tensor.ts";

const ROUNDS = 50;
/** A product of this width takes some milliseconds, so that a worker is caught in the middle of a run. */
const SIZE = 256;

function product(): Uint8Array {
  const graph = new Graph();
  const x = input(graph, "x", "f32", [SIZE, SIZE]);
  let y = matmul(x, x);
  for (let i = 0; i < 8; i++) y = matmul(y, x);
  graph.output("out", y);
  return lower(graph).bytes;
}

async function start(model: Uint8Array): Promise<Worker> {
  const worker = new Worker(new URL("./worker.mjs", import.meta.url), { workerData: { model, size: SIZE } });
  const [message] = await once(worker, "message");
  expect(message).toBe("ready");
  return worker;
}

async function ask(worker: Worker, runs: number): Promise<number> {
  worker.postMessage(runs);
  return (await once(worker, "message"))[0];
}

it(`D1: two workers, one terminated during a run, a third started, ${ROUNDS} rounds`, async () => {
  const model = product();
  const steady = await start(model);
  for (let round = 0; round < ROUNDS; round++) {
    const doomed = await start(model);
    doomed.postMessage(1000);
    const answer = ask(steady, 1);
    await doomed.terminate();
    // A matrix of 1/n is its own square.
    expect(await answer).toBeCloseTo(1 / SIZE, 6);
    if (round % 10 === 0) {
      const third = await start(model);
      expect(await Promise.all([ask(third, 1), ask(steady, 1)])).toEqual([
        expect.closeTo(1 / SIZE, 6),
        expect.closeTo(1 / SIZE, 6),
      ]);
      await third.terminate();
    }
  }
  await steady.terminate();
}, 120_000);
