/**
 * What jax-js 0.1.25 misses on Node 20. Install both before jax-js is loaded.
 *
 * - A global `Worker`, without which it computes on one thread: made of worker_threads, with just what its pool uses
 *   (a blob URL, postMessage, onmessage, onerror).
 * - Iterator helpers (`iterator.map(...)`), which einsum and dotProductAttention call.
 */
import { resolveObjectURL } from "node:buffer";
import { Worker as NodeWorker } from "node:worker_threads";

const PRELUDE = `
const { parentPort } = require("node:worker_threads");
globalThis.self = globalThis;
globalThis.postMessage = (message) => parentPort.postMessage(message);
parentPort.on("message", (data) => globalThis.onmessage({ data }));
`;

class WebWorker {
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onerror: ((event: { message: string }) => void) | null = null;
  readonly #started: Promise<NodeWorker>;
  #node: NodeWorker | undefined;

  constructor(url: string | URL) {
    this.#started = this.#start(String(url));
    this.#started.catch((error: Error) => this.onerror?.({ message: error.message }));
  }

  async #start(url: string): Promise<NodeWorker> {
    const blob = resolveObjectURL(url);
    if (!blob) throw new Error(`no blob behind ${url}`);
    const worker = new NodeWorker(PRELUDE + (await blob.text()), { eval: true });
    worker.on("message", (data) => this.onmessage?.({ data }));
    worker.on("error", (error: Error) => this.onerror?.({ message: error.message }));
    this.#node = worker;
    return worker;
  }

  postMessage(message: unknown): void {
    if (this.#node) this.#node.postMessage(message);
    else void this.#started.then((worker) => worker.postMessage(message));
  }
}

/** The number of workers is what `navigator.hardwareConcurrency` says. */
export function installWebWorkers(threads: number): void {
  Object.defineProperty(globalThis, "Worker", { value: WebWorker, configurable: true });
  Object.defineProperty(globalThis, "navigator", {
    value: { hardwareConcurrency: threads },
    configurable: true,
  });
}

export function installIteratorHelpers(): void {
  const prototype = Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]()));
  const helpers = {
    *map(this: Iterable<unknown>, f: (value: unknown, index: number) => unknown) {
      let index = 0;
      for (const value of this) yield f(value, index++);
    },
    *filter(this: Iterable<unknown>, f: (value: unknown, index: number) => boolean) {
      let index = 0;
      for (const value of this) if (f(value, index++)) yield value;
    },
    toArray(this: Iterable<unknown>) {
      return [...this];
    },
  };
  for (const [name, value] of Object.entries(helpers))
    if (!(name in prototype))
      Object.defineProperty(prototype, name, { value, configurable: true, writable: true });
}
