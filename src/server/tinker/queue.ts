/**
 * The queue of the thread that computes. Orders are followed one after another; prompts that wait for the same weights and
 * settings are sampled together, since a batch of rows takes little longer than one row.
 */
import type { Worker } from "node:worker_threads";
import type { Failure } from "../../lib/failure.ts";
import { FailureError } from "../../lib/failure.ts";
import { startThread } from "../../runtime/thread.ts";
import type { Answers, Compute, Order, OrderOf, PromptAnswer } from "./orders.ts";

/** Follows one order, whose answer is of its type. */
export type Follow = (order: Order) => Promise<unknown>;

interface Waiting {
  order: Order;
  resolve: (answer: unknown) => void;
  reject: (error: unknown) => void;
}

/** Completions that are sampled together, at most: an order of another client waits that long. */
const MOST_COMPLETIONS = 512;
/** Milliseconds without a new prompt, after which those that wait are sampled: a client sends many at once. */
const GATHER_MS = 20;
/** Milliseconds that the first prompt waits for others, at most. */
const MOST_GATHER_MS = 500;

export class OrderQueue implements Compute {
  private readonly follow: Follow;
  private readonly end: () => Promise<void>;
  private readonly waiting: Waiting[] = [];
  private busy = false;
  /** When the newest order came, in milliseconds. */
  private newest = 0;

  /** @param follow follows an order; it is not called again until its answer is there */
  constructor(follow: Follow, end: () => Promise<void> = async () => {}) {
    this.follow = follow;
    this.end = end;
  }

  run<Type extends Order["type"]>(order: OrderOf<Type>): Promise<Answers[Type]> {
    return new Promise((resolve, reject) => {
      this.newest = performance.now();
      this.waiting.push({ order, resolve: (answer) => resolve(answer as Answers[Type]), reject });
      void this.advance();
    });
  }

  async close(): Promise<void> {
    for (const { reject } of this.waiting.splice(0)) reject(new Error("The server is closing."));
    await this.end();
  }

  private async advance(): Promise<void> {
    if (this.busy) return;
    this.busy = true;
    for (let first = this.waiting[0]; first !== undefined; first = this.waiting[0]) {
      if (first.order.type === "sample") await this.gather();
      // Closing may have emptied the queue meanwhile.
      const together = this.take();
      if (together.length > 0) await this.answer(together);
    }
    this.busy = false;
  }

  /** Waits until no more prompts come. */
  private async gather(): Promise<void> {
    const start = performance.now();
    for (let now = start; now - start < MOST_GATHER_MS; now = performance.now()) {
      const left = this.newest + GATHER_MS - now;
      if (left <= 0) return;
      await new Promise((resolve) => setTimeout(resolve, left));
    }
  }

  /** The next order, with those that are followed in the same go. */
  private take(): Waiting[] {
    const first = this.waiting.shift();
    if (first === undefined) return [];
    const { order } = first;
    if (order.type !== "sample") return [first];
    const key = keyOf(order);
    const together = [first];
    let room = MOST_COMPLETIONS - completions(order);
    for (let i = 0; i < this.waiting.length; ) {
      const { order: other } = this.waiting[i];
      if (other.type === "sample" && keyOf(other) === key && completions(other) <= room) {
        room -= completions(other);
        together.push(...this.waiting.splice(i, 1));
      } else i++;
    }
    return together;
  }

  private async answer(together: readonly Waiting[]): Promise<void> {
    const [{ order }] = together;
    try {
      if (order.type !== "sample") return together[0].resolve(await this.follow(order));
      const prompts = together.flatMap((one) => (one.order as OrderOf<"sample">).prompts);
      const answers = (await this.follow({ ...order, prompts })) as PromptAnswer[];
      for (const one of together)
        one.resolve(answers.splice(0, (one.order as OrderOf<"sample">).prompts.length));
    } catch (error) {
      // A prompt that the model cannot answer does not fail the others.
      if (together.length > 1) for (const one of together) await this.answer([one]);
      else together[0].reject(error);
    }
  }
}

const keyOf = ({ weights, sampling, stop }: OrderOf<"sample">): string =>
  JSON.stringify([weights, sampling, stop]);

const completions = ({ prompts }: OrderOf<"sample">): number =>
  prompts.reduce((total, { count }) => total + count, 0);

/** What the thread is told, and what it replies. */
export type ThreadMessage = { type: "order"; order: Order } | { type: "close" };
export type ThreadReply = { answer: unknown } | { failure: Failure };

export interface ThreadData {
  /** Paths of the models, by name. */
  models: ReadonlyMap<string, string>;
  threads: number | undefined;
}

/** Orders that a thread of its own follows: ONNX Runtime blocks it, and the server answers meanwhile. */
export function computeThread(data: ThreadData): Compute {
  const worker = startThread("worker", import.meta.url, { workerData: data });
  let ended: Error | null = null;
  const end = (error: Error): void => {
    ended ??= error;
  };
  worker.on("error", end);
  worker.on("exit", () => end(new Error("The thread that computes has ended: start the server again.")));
  return new OrderQueue(
    (order) => (ended === null ? ask(worker, order) : Promise.reject(ended)),
    () => closed(worker),
  );
}

function ask(worker: Worker, order: Order): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      worker.off("message", onMessage);
      worker.off("exit", onExit);
    };
    const onMessage = (reply: ThreadReply): void => {
      stop();
      if ("failure" in reply) reject(new FailureError(reply.failure));
      else resolve(reply.answer);
    };
    const onExit = (): void => {
      stop();
      reject(new Error("The thread that computes has ended: start the server again."));
    };
    worker.on("message", onMessage);
    worker.on("exit", onExit);
    worker.postMessage({ type: "order", order } satisfies ThreadMessage);
  });
}

/** The thread ends once it has let go of its sessions. */
function closed(worker: Worker): Promise<void> {
  return new Promise((resolve) => {
    worker.once("exit", () => resolve());
    worker.postMessage({ type: "close" } satisfies ThreadMessage);
  });
}
