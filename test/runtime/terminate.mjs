// Terminates workers while they compute, in a process that may die of it: `node terminate.mjs MODEL SIZE`.
import "../../dist/runtime/no-telemetry.js";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { Worker } from "node:worker_threads";

const [, , file, size] = process.argv;
const workerData = { model: readFileSync(file), size: Number(size) };
for (let round = 0; round < 20; round++) {
  const worker = new Worker(new URL("./worker.mjs", import.meta.url), { workerData });
  await once(worker, "message");
  worker.postMessage(1000);
  await setTimeout(5 + round);
  await worker.terminate();
}
