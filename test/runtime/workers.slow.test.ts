/**
 * D1: sessions in several workers. The gate for each version of ONNX Runtime.
 *
 * What onnxruntime-node 1.30 stands: any number of workers with a session each, ended between two runs or while idle.
 * What it does not: `terminate()` during a run. The run comes back to an environment that is being torn down, throws a
 * `Napi::Error` in C++, and the whole process aborts. So a worker of ours is asked to stop, or is a process.
 */
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { describe, expect, it } from "vitest";
import { lower } from "../../src/graph/lower.ts";
import { input, matmul } from "../../src/graph/ops.ts";
import { Graph } from "../../src/graph/tensor.ts";
import { temporaryFolder } from "../checkpoint/temporary.ts";

const ROUNDS = 50;
/** A run of nine such products takes some milliseconds, so that a worker is met in the middle of one. */
const SIZE = 256;
/** Fifty workers on a machine that may be busy. */
const TIMEOUT = 300_000;

function products(): Uint8Array {
  const graph = new Graph();
  const x = input(graph, "x", "f32", [SIZE, SIZE]);
  let y = matmul(x, x);
  for (let i = 0; i < 8; i++) y = matmul(y, x);
  graph.output("out", y);
  return lower(graph).bytes;
}

const model = products();
const folder = temporaryFolder();

async function start(): Promise<Worker> {
  const worker = new Worker(new URL("./worker.mjs", import.meta.url), { workerData: { model, size: SIZE } });
  expect((await once(worker, "message"))[0]).toBe("ready");
  return worker;
}

/** The first element of the product: a matrix of 1/n is its own square. */
async function ask(worker: Worker): Promise<number> {
  worker.postMessage(1);
  return (await once(worker, "message"))[0];
}

const right = expect.closeTo(1 / SIZE, 6);

describe("D1: a session in each worker", () => {
  it(
    `two workers, one ended amid its runs, a third started: ${ROUNDS} rounds`,
    async () => {
      const steady = await start();
      for (let round = 0; round < ROUNDS; round++) {
        const leaving = await start();
        leaving.postMessage(1000);
        const answer = ask(steady);
        leaving.postMessage("stop");
        const [code] = await once(leaving, "exit");
        expect(code).toBe(0);
        expect(await answer).toEqual(right);
        if (round % 10 === 0) {
          const third = await start();
          expect(await Promise.all([ask(third), ask(steady)])).toEqual([right, right]);
          // Idle workers may be terminated.
          await third.terminate();
        }
      }
      await steady.terminate();
    },
    TIMEOUT,
  );

  it(
    "terminate() during a run aborts the process, which is why it is never called there",
    () => {
      const file = join(folder, "products.onnx");
      writeFileSync(file, model);
      const script = new URL("./terminate.mjs", import.meta.url).pathname;
      const { signal, stderr } = spawnSync(process.execPath, [script, file, String(SIZE)], {
        encoding: "utf8",
      });
      // Should this fail one day because the process lives: the note above, and the rule, can go.
      expect(signal).toBe("SIGABRT");
      expect(stderr).toMatch(/Napi::Error/);
    },
    TIMEOUT,
  );
});
