/**
 * Threads for the WebAssembly backend of TensorFlow.js on Node, where it switches them off. Its Emscripten module asks
 * for a `Worker` on a blob URL, which worker_threads do not open: this class starts the worker from the same source and
 * hands it the module's file in place of the blob.
 */
import { createRequire } from "node:module";
import { Worker } from "node:worker_threads";
import * as wasm from "@tensorflow/tfjs-backend-wasm";
import * as tf from "@tensorflow/tfjs";

const require = createRequire(import.meta.url);
const MODULE = "@tensorflow/tfjs-backend-wasm/wasm-out/tfjs-backend-wasm-threaded-simd";

// Published with its escaped line breaks already turned into real ones, inside a string literal.
const SOURCE = (require(`${MODULE}.worker.js`).wasmWorkerContents as string).replaceAll("\n", "\\n");

class ModuleWorker extends Worker {
  constructor() {
    super(SOURCE, { eval: true });
  }

  override postMessage(message: { cmd?: string }, transfer?: readonly []): void {
    const patched = message.cmd === "load" ? { ...message, urlOrBlob: require.resolve(`${MODULE}.js`) } : message;
    super.postMessage(patched, transfer);
  }
}

export async function startWasm(threads: number): Promise<void> {
  if (threads > 1) {
    // The module assigns node's own Worker to the global: the setter keeps ours.
    Object.defineProperty(globalThis, "Worker", { get: () => ModuleWorker, set: () => {}, configurable: true });
    tf.env().set("WASM_HAS_MULTITHREAD_SUPPORT", true);
    tf.env().set("WASM_HAS_SIMD_SUPPORT", true);
    wasm.setThreadsCount(threads);
  }
  await tf.setBackend("wasm");
  await tf.ready();
}
