// A worker with a session of its own. A number asks for so many runs, "stop" for an end after the present one.
import { parentPort, workerData } from "node:worker_threads";
import * as ort from "../../dist/runtime/onnxruntime.js";

const { model, size } = workerData;
const session = await ort.InferenceSession.create(model, { intraOpNumThreads: 1, interOpNumThreads: 1 });
const x = new ort.Tensor("float32", new Float32Array(size ** 2).fill(1 / size), [size, size]);

let stopped = false;
parentPort.on("message", async (message) => {
  if (message === "stop") {
    stopped = true;
    parentPort.close();
    return;
  }
  let out;
  for (let i = 0; i < message && !stopped; i++) out = (await session.run({ x })).out;
  if (stopped) await session.release();
  else parentPort.postMessage(out.data[0]);
});
parentPort.postMessage("ready");
