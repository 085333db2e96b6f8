// A worker with a session of its own: it answers "ready", then runs until it is told to stop or is terminated.
import { parentPort, workerData } from "node:worker_threads";
import * as ort from "onnxruntime-node";

const session = await ort.InferenceSession.create(workerData.model, {
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
});
const x = new ort.Tensor("float32", new Float32Array(workerData.size ** 2).fill(1 / workerData.size), [
  workerData.size,
  workerData.size,
]);

parentPort.postMessage("ready");
parentPort.on("message", async (runs) => {
  let out;
  for (let i = 0; i < runs; i++) out = (await session.run({ x })).out;
  parentPort.postMessage(out.data[0]);
});
