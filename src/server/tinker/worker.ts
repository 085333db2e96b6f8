/** The thread that computes: models, trainers and kept adapters by name, and orders one after another. */
import { parentPort, workerData } from "node:worker_threads";
import { toFailure } from "../../lib/failure.ts";
import { Engine } from "../../runtime/engine.ts";
import type { ThreadData, ThreadMessage, ThreadReply } from "./queue.ts";
import { Studio } from "./studio.ts";

const { models, threads } = workerData as ThreadData;
const studio = new Studio(models, new Engine({ threads }));

async function reply(message: Extract<ThreadMessage, { type: "order" }>): Promise<ThreadReply> {
  try {
    return { answer: await studio.follow(message.order) };
  } catch (error) {
    return { failure: toFailure(error) };
  }
}

parentPort?.on("message", async (message: ThreadMessage) => {
  if (message.type === "order") {
    parentPort?.postMessage(await reply(message));
    return;
  }
  // ONNX Runtime requires that sessions are released before their thread ends.
  await studio.release();
  parentPort?.close();
});
